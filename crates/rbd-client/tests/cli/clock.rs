use proto::rbd::v1 as wire;
use serde_json::json;

use crate::harness::{Lab, Serving};

fn manual() -> Lab {
    Lab::with(osd_sim::Config { clock: clock::Clock::manual(), ..osd_sim::Config::default() })
}

/// A client with Ceph's constants that owns the lock of an image of its own.
async fn owner(lab: &Lab) -> Serving {
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm", "--clock", "manual", "--preset", "ceph"]).await;
    serving.client.acquire_lock(wire::AcquireLockRequest {}).await.expect("the lock is free");
    serving
}

fn address(serving: &Serving) -> String {
    serving.line["address"].as_str().expect("it serves somewhere").to_owned()
}

/// Invariant: time that passes does not kill those who are alive. Many times every timeout of the watch passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_owner_is_owner_after_ten_minutes_that_passed_in_one_call() {
    let lab = manual();
    let mut owner = owner(&lab).await;
    let before = lab.json(&["status", "vm"]).await;
    let (osd, client) = (lab.address(), address(&owner));
    let advanced = lab.json(&["clock", "advance", "10m", "--at", &client]).await;
    let clocks = json!([{ "at": osd, "now_ms": 600_000 }, { "at": client, "now_ms": 600_000 }]);
    assert_eq!(advanced, json!({ "clocks": clocks, "silent": [] }));
    let held = owner.client.lock_owner(wire::LockOwnerRequest {}).await.expect("it answers").into_inner();
    assert!(held.owner.expect("there is one").is_self);
    assert_eq!(lab.json(&["status", "vm"]).await["watchers"][0]["cookie"], before["watchers"][0]["cookie"]);
}

/// As `rbd` has it: reads and writes are recorded beside them when what is recorded is a minute old, by the OSD's time.
#[tokio::test(flavor = "multi_thread")]
async fn info_tells_when_the_image_was_last_read_and_written() {
    let lab = manual();
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm", "--clock", "manual", "--preset", "ceph"]).await;
    let client = address(&serving);
    let told = async || {
        let info = lab.json(&["info", "vm"]).await;
        let time = |name: &str| info[name].as_str().expect("a time")[11..19].to_owned();
        [time("create_timestamp"), time("access_timestamp"), time("modify_timestamp")]
    };
    let pass = async |span: &str| lab.ok(&["clock", "advance", span, "--at", &client]).await;
    let mut use_it = async || {
        lab.ok(&["export", "vm", "-"]).await;
        let write = wire::WriteRequest { offset: 0, data: vec![1].into() };
        serving.client.write(write).await.expect("it can be written");
        // Asks the header, and so comes behind the record.
        serving.client.lock_owner(wire::LockOwnerRequest {}).await.expect("it answers");
    };
    pass("59s").await;
    use_it().await;
    assert_eq!(told().await, ["00:00:00", "00:00:00", "00:00:00"]);
    pass("1s").await;
    use_it().await;
    assert_eq!(told().await, ["00:00:00", "00:01:00", "00:01:00"]);
    pass("59s").await;
    use_it().await;
    assert_eq!(told().await, ["00:00:00", "00:01:00", "00:01:00"]);
    pass("1s").await;
    use_it().await;
    assert_eq!(told().await, ["00:00:00", "00:02:00", "00:02:00"]);
    pass("2m").await;
    lab.ok(&["export", "vm", "-", "--rbd-atime-update-interval", "0"]).await;
    assert_eq!(told().await, ["00:00:00", "00:02:00", "00:02:00"]);
}

/// The OSD alone: its clients' time stands still, and they answer all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_own_time_stands_still_answers_the_osd() {
    let lab = manual();
    let owner = owner(&lab).await;
    assert_eq!(lab.json(&["clock", "advance", "10m"]).await["silent"], json!([]));
    assert_eq!(lab.json(&["status", "vm"]).await["watchers"][0]["client"], owner.gid());
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_shown_as_they_are() {
    let lab = manual();
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm", "--clock", "manual", "--preset", "ceph"]).await;
    let (osd, client) = (lab.address(), address(&serving));
    lab.ok(&["clock", "advance", "1500ms"]).await;
    let clock = |at: &str, now_ms| json!({ "at": at, "clock": "manual", "now_ms": now_ms, "step_ms": 5000 });
    let shown = lab.json(&["clock", "show", "--at", &client]).await;
    assert_eq!(shown, json!([clock(&osd, 1500), clock(&client, 0)]));
    let plain = lab.ok(&["clock", "show"]).await;
    assert!(plain.starts_with("AT") && plain.contains("manual  1.500 s  5.000 s"), "{plain}");
}

/// A frozen client is told from a live one, and named.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_is_named() {
    let lab = manual();
    let owner = owner(&lab).await;
    crate::harness::signal(&owner.child, "STOP").await;
    let advanced = lab.ok(&["clock", "advance", "29s"]).await;
    let silent = format!("silent: client.{} ", owner.gid());
    assert!(advanced.contains(&silent) && advanced.contains("of rbd/rbd_header."), "{advanced}");
    assert_eq!(lab.json(&["clock", "advance", "1s"]).await["silent"], json!([]));
    assert_eq!(lab.json(&["status", "vm"]).await["watchers"], json!([]), "it expired after 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_clock_is_named_and_no_other_one_moves() {
    let lab = manual();
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm"]).await;
    let client = address(&serving);
    let message = lab.fails(&["clock", "advance", "30s", "--at", &client], 1).await;
    assert!(message.contains(&client) && message.contains("--clock manual"), "{message}");
    assert_eq!(lab.json(&["clock", "show"]).await[0]["now_ms"], 0);
    let message = Lab::start().await.fails(&["clock", "advance", "30s"], 1).await;
    assert!(message.contains("--clock manual"), "{message}");
}

/// Each clock has its limit: the OSD's is the shortest watch timeout, 30 s, the client's its objecter_timeout, 15 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_which_somebody_could_expire_is_refused_and_nothing_moves() {
    let lab = manual();
    let owner = owner(&lab).await;
    let (osd, client) = (lab.address(), address(&owner));
    for (step, at, rule) in [
        ("30s", &[][..], format!("--step 30s: a step is below 30s at {osd}")),
        ("24h", &[], format!("--step 1day: a step is below 30s at {osd}")),
        ("15s", &["--at", &client], format!("--step 15s: a step is below 15s at {client}")),
    ] {
        let message = lab.fails(&[&["clock", "advance", "24h", "--step", step], at].concat(), 22).await;
        assert!(message.contains(&rule), "{rule}: {message}");
    }
    for clock in lab.json(&["clock", "show", "--at", &client]).await.as_array().expect("an array") {
        assert_eq!(clock["now_ms"], 0, "{clock}");
    }
}

/// Invariant: time that passes does not kill those who are alive, in the longest step that is taken either.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_steps_kill_nobody() {
    let lab = manual();
    let mut owner = owner(&lab).await;
    let watched = async || lab.json(&["status", "vm"]).await["watchers"][0]["cookie"].clone();
    let (client, cookie) = (address(&owner), watched().await);
    for arguments in [&["10m", "--step", "29999ms"][..], &["10m", "--step", "14999ms", "--at", &client]] {
        let advanced = lab.json(&[&["clock", "advance"], arguments].concat()).await;
        assert_eq!(advanced["silent"], json!([]), "{arguments:?}");
        assert_eq!(watched().await, cookie, "{arguments:?}");
    }
    let held = owner.client.lock_owner(wire::LockOwnerRequest {}).await.expect("it answers").into_inner();
    assert!(held.owner.expect("there is one").is_self);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_too_much_time_and_nobody_there_are_refused_by_name() {
    let lab = manual();
    for (arguments, status, rule) in [
        (&["advance", "0s"][..], 22, "by_ms is 0"),
        (&["advance", "25h"], 22, "ADVANCE_MAX"),
        (&["advance", "24h", "--step", "1ms"], 22, "ADVANCE_STEPS_MAX"),
        (&["advance", "1s", "--patience", "61s"], 22, "PATIENCE_MAX"),
        (&["advance", "soon"], 22, "'soon'"),
        (&["advance", "1500us"], 22, "'1500us' is not a whole number of milliseconds"),
        (&["advance", "10s", "--step", "1ns"], 1, "'1ns' is not a whole number of milliseconds"),
        (&["advance", "10s", "--step", "0s"], 1, "'0s' is no time"),
        (&["advance", "10s", "--patience", "0s"], 1, "'0s' is no time"),
        (&["advance", "1s", "--at", "127.0.0.1:1"], 107, "127.0.0.1:1"),
        (&["advance", "1s", "--at", "127.0.0.1:1", "--at", "127.0.0.1:1"], 22, "named once"),
    ] {
        let message = lab.fails(&[&["clock"][..], arguments].concat(), status).await;
        assert!(message.contains(rule), "{rule}: {message}");
    }
    assert_eq!(lab.json(&["clock", "show"]).await[0]["now_ms"], 0);
}
