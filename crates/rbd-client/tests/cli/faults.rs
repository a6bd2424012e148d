use serde_json::json;
use tokio::{process::Command, time::timeout};

use crate::harness::{Lab, PATIENCE, ended, signal};

fn breakable() -> Lab {
    Lab::with(osd_sim::Config { enable_faults: true, ..osd_sim::Config::ci() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_added_listed_and_removed() {
    let lab = breakable();
    let add = ["fault", "add", "notify", "drop", "--client", "client.4107", "--notify", "async-complete"];
    assert_eq!(lab.json(&[&add[..], &["--times", "2"]].concat()).await, json!({ "id": 1 }));
    let rule = json!([{
        "id": 1,
        "direction": "notify",
        "when": "--client 4107 --notify async-complete --times 2",
        "action": "drop",
        "matches": 0,
        "hits": 0,
        "held": 0,
    }]);
    assert_eq!(lab.json(&["fault", "ls"]).await, rule);
    assert!(lab.ok(&["fault", "ls"]).await.starts_with("RULE  DIRECTION  ACTION"));
    lab.ok(&["fault", "rm", "1"]).await;
    assert_eq!(lab.json(&["fault", "ls"]).await, json!([]));
    let message = lab.fails(&["fault", "rm", "1"], 2).await;
    assert!(message.contains("fault ls"), "{message}");
}

/// What `fault ls` prints, typed into a shell behind `fault add`.
async fn typed_again(lab: &Lab, rule: &serde_json::Value) {
    let part = |name: &str| rule[name].as_str().expect("a text").to_owned();
    let [direction, action, when] = ["direction", "action", "when"].map(part);
    let program = env!("CARGO_BIN_EXE_rbd-client");
    let line = format!("'{program}' --osd {} fault add {direction} {action} {when}", lab.address());
    let typed = Command::new("sh").args(["-c", &line]).output().await.expect("there is a shell");
    assert!(typed.status.success(), "{line}: {}", String::from_utf8_lossy(&typed.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_as_it_is_listed_is_accepted_again_and_means_the_same() {
    let lab = breakable();
    let rules: [&[&str]; 7] = [
        &["request", "drop"],
        &["request", "drop", "--client", "client.7", "--skip", "2", "--times", "3"],
        &["request", "delay=1s", "--op", "rbd.*", "--probability", "0.1", "--seed", "7"],
        &["reply", "error=EIO", "--object", "rbd data?$HOME", "--in-pool", "it's", "--probability", "0.5"],
        &["notify", "duplicate=40ms", "--client", "owner-*", "--notify", "async-complete"],
        &["ack", "hold", "--payload-field", "77"],
        &["ack", "drop", "--payload-prefix", "3204"],
    ];
    for rule in rules {
        lab.ok(&[&["fault", "add"], rule].concat()).await;
        let mut first = lab.json(&["fault", "ls"]).await[0].take();
        lab.ok(&["fault", "reset"]).await;
        typed_again(&lab, &first).await;
        let second = lab.json(&["fault", "ls"]).await[0].take();
        lab.ok(&["fault", "reset"]).await;
        first["id"] = second["id"].clone();
        assert_eq!(first, second, "{rule:?}");
    }
}

/// Whoever takes the lock next finishes what the removal of a snapshot left, also when it is a command that has something else
/// to do, and its user hears nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_the_lock_finishes_what_the_removal_of_a_snapshot_left() {
    let lab = breakable();
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@s"]).await;
    lab.ok(&["fault", "add", "request", "error=EIO", "--op", "remove_snap_id", "--times", "2"]).await;
    lab.ok(&["snap", "rm", "vm@s"]).await;
    lab.ok(&["fault", "add", "request", "delay=300ms", "--op", "omap_remove"]).await;
    for size in ["8M", "12M", "16M"] {
        let ended = lab.run(["resize", "--size", size, "vm"]).await;
        assert_eq!((ended.status, ended.err.contains("WARN")), (0, false), "{size}: {}", ended.err);
    }
    let rados = lab.rados().await;
    let io = rados.io_ctx("rbd").await.expect("the pool is there");
    let header = librbd::names::header(&librbd::image_id(&io, "vm").await.expect("the image is there"));
    let reply = io.operate(&header, rados::ObjectOp::new().omap_list("", "reclaim_", 0)).await;
    let left = reply.and_then(|reply| reply.omap(0)).expect("the header is there");
    assert!(left.entries.is_empty(), "{:?}", left.entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_fails_an_op_of_another_run_of_the_program() {
    let lab = breakable();
    lab.ok(&["fault", "add", "request", "error=EDQUOT", "--op", "rbd.dir_add_image", "--client", "victim*"])
        .await;
    lab.ok(&["create", "--size", "4M", "spared"]).await;
    let message = lab.fails(&["--name", "victim-1", "create", "--size", "4M", "vm"], 122).await;
    assert!(message.contains("EDQUOT") && message.contains("fault rule 1"), "{message}");
    let rules = lab.json(&["fault", "ls"]).await;
    assert_eq!(rules[0]["hits"], 1);
    lab.ok(&["fault", "reset"]).await;
    lab.ok(&["--name", "victim-1", "create", "--size", "4M", "vm"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_goes_on_when_it_is_released() {
    let lab = breakable();
    lab.ok(&["fault", "add", "request", "hold", "--op", "rbd.dir_add_image"]).await;
    let creating = lab.command(["create", "--size", "4M", "vm"]).spawn().expect("the program starts");
    let is_held = async { while lab.json(&["fault", "ls"]).await[0]["held"] == 0 {} };
    timeout(PATIENCE, is_held).await.expect("it is held in time");
    assert_eq!(lab.ok(&["ls"]).await, "");
    assert_eq!(lab.json(&["fault", "release", "1"]).await, json!({ "released": 1 }));
    assert_eq!(ended(creating).await.status, 0);
    assert_eq!(lab.ok(&["ls"]).await, "vm\n");
}

/// One of them does it, the other one asks it to, and both have succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn two_flattens_of_one_clone_at_once_both_succeed() {
    let lab = breakable();
    let data: Vec<u8> = (0..4 << 16).map(|index: u32| (index % 251) as u8).collect();
    assert_eq!(lab.run_with_input(&["import", "-", "vm", "--object-size", "64K"], &data).await.status, 0);
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["clone", "vm@base", "child"]).await;
    lab.ok(&["fault", "add", "request", "hold", "--op", "rbd.copyup", "--times", "1"]).await;
    lab.ok(&["fault", "add", "notify", "delay=1ms", "--notify", "flatten"]).await;
    let happened = async |rule: usize, what: &str| {
        let looking = async { while lab.json(&["fault", "ls"]).await[rule][what] == 0 {} };
        timeout(PATIENCE, looking).await.expect("it happens in time");
    };
    let flatten = || lab.command(["flatten", "child"]).spawn().expect("the program starts");
    let owner = flatten();
    happened(0, "held").await;
    let requester = flatten();
    happened(1, "hits").await;
    lab.ok(&["fault", "release", "1"]).await;
    for flatten in [owner, requester] {
        let ended = ended(flatten).await;
        assert_eq!(ended.status, 0, "{}", ended.err);
    }
    assert!(lab.json(&["info", "child"]).await.get("parent").is_none());
    lab.ok(&["snap", "rm", "vm@base"]).await;
    lab.ok(&["rm", "vm"]).await;
    assert!(lab.run(["export", "child", "-"]).await.out == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_can_befall_nothing_is_refused_by_name() {
    let lab = breakable();
    let message = lab.fails(&["fault", "add", "request", "drop", "--op", "wriet"], 22).await;
    assert!(message.contains("op 'wriet'"), "{message}");
    let message = lab.fails(&["fault", "add", "request", "explode"], 22).await;
    assert!(message.contains("'explode'"), "{message}");
}

/// What is empty or of no effect on the wire would befall more than its author meant.
#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_would_narrow_nothing_is_refused() {
    let lab = breakable();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--op", ""], 1, "--op"),
        (&["--object", ""], 1, "--object"),
        (&["--in-pool", ""], 1, "--in-pool"),
        (&["--client", "client.0"], 1, "'client.0'"),
        (&["--pool", "images"], 22, "--in-pool"),
        (&["--seed", "3"], 22, "--probability"),
        (&["--probability", "1", "--seed", "3"], 1, "'1' is not a probability"),
    ];
    for (options, status, part) in cases {
        let message = lab.fails(&[&["fault", "add", "request", "drop"], options].concat(), status).await;
        assert!(message.contains(part), "{options:?}: {message}");
    }
    assert_eq!(lab.json(&["fault", "ls"]).await, json!([]));
    lab.ok(&["--pool", "images", "fault", "ls"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_osd_without_faults_says_how_to_get_them() {
    let message = Lab::start().await.fails(&["fault", "ls"], 1).await;
    assert!(message.contains("--enable-faults"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_bounds_the_opening_of_the_image_too() {
    let lab = breakable();
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["fault", "add", "request", "hold", "--op", "rbd.get_*"]).await;
    let message = lab.fails(&["resize", "--size", "8M", "vm", "--timeout", "1s"], 110).await;
    assert!(message.contains("resize rbd/vm: ETIMEDOUT: ") && message.contains("1s"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_writes_hang_leaves_nothing_when_it_is_interrupted() {
    let lab = breakable();
    lab.ok(&["fault", "add", "request", "hold", "--op", "write"]).await;
    std::fs::write(lab.path("disk"), [1; 1 << 16]).expect("the file is written");
    let import = lab.command(["import", "disk", "vm"]).spawn().expect("the program starts");
    while lab.json(&["fault", "ls"]).await[0]["held"] == 0 {}
    signal(&import, "INT").await;
    let ended = ended(import).await;
    assert_eq!(ended.status, 125, "{}", ended.err);
    assert!(!ended.err.contains("is left"), "{}", ended.err);
    lab.ok(&["fault", "reset"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "");
    assert_eq!(lab.data_objects().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_when_nobody_listens_to_its_progress() {
    let lab = breakable();
    std::fs::write(lab.path("disk"), [1; 1 << 20]).expect("the file is written");
    lab.ok(&["fault", "add", "request", "hold", "--op", "write", "--times", "1"]).await;
    let arguments = ["import", "disk", "vm", "--object-size", "64K"];
    let mut import = lab.command(arguments).spawn().expect("the program starts");
    while lab.json(&["fault", "ls"]).await[0]["held"] == 0 {}
    drop(import.stderr.take());
    lab.ok(&["fault", "release"]).await;
    let status = timeout(PATIENCE, import.wait()).await.expect("it ends in time").expect("it is our child");
    assert_eq!(status.code(), Some(0));
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 1 << 20);
}

/// As `rbd du`: an image that cannot be looked at keeps nobody from seeing the others, and the first error is the exit status.
#[tokio::test(flavor = "multi_thread")]
async fn du_goes_on_behind_an_image_that_fails_and_exits_with_the_first_error() {
    let lab = breakable();
    for name in ["a", "b", "c", "d"] {
        lab.ok(&["create", "--size", "4M", name]).await;
    }
    for (name, error) in [("b", "error=EDQUOT"), ("c", "error=EIO")] {
        let id = lab.json(&["info", name]).await["id"].as_str().expect("it has one").to_owned();
        let header = format!("rbd_header.{id}");
        lab.ok(&["fault", "add", "request", error, "--op", "rbd.get_header", "--object", &header]).await;
    }
    let ended = lab.run(["du"]).await;
    assert_eq!(ended.status, 122, "{}", ended.err);
    let out = String::from_utf8(ended.out).expect("it is text");
    let shown: Vec<_> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(shown, ["NAME", "a", "d", "<TOTAL>"]);
    for expected in ["du rbd: EDQUOT: image b: ", "du: image c: EIO: ", "Disk usage: failed."] {
        assert!(ended.err.contains(expected), "{expected}: {}", ended.err);
    }
}
