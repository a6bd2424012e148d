use proto::rbd::v1 as wire;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    time::timeout,
};

use crate::harness::{Lab, PATIENCE, signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_by_hand_keeps_others_out_until_it_is_removed() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["lock", "add", "vm", "maintenance"]).await;
    lab.fails(&["lock", "add", "vm", "other"], 16).await;

    let status = lab.ok(&["status", "vm"]).await;
    assert!(status.starts_with("Watchers: none\nLocked by hand: client."), "{status}");
    let locks = lab.json(&["lock", "ls", "vm"]).await;
    assert_eq!(locks[0]["id"], "maintenance");
    let locker = locks[0]["locker"].as_str().expect("a name").to_owned();
    assert!(locker.starts_with("client."), "{locker}");

    lab.ok(&["lock", "rm", "vm", "maintenance", &locker]).await;
    assert_eq!(lab.json(&["lock", "ls", "vm"]).await, json!([]));
    lab.fails(&["lock", "rm", "vm", "maintenance", &locker], 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_lock_is_held_by_all_who_name_its_tag() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["lock", "add", "vm", "first", "--shared", "readers"]).await;
    lab.ok(&["lock", "add", "vm", "second", "--shared", "readers"]).await;
    lab.fails(&["lock", "add", "vm", "third", "--shared", "writers"], 16).await;
    let locks = lab.ok(&["lock", "ls", "vm"]).await;
    assert!(
        locks.starts_with("There are 2 shared locks on this image.\nLock tag: readers\nLocker"),
        "{locks}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_who_watches_and_who_owns_the_lock() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    assert_eq!(lab.json(&["status", "vm"]).await, json!({"watchers": [], "lockers": []}));

    let mut serving = lab.serve(&["vm", "--name", "the-owner"]).await;
    serving
        .client
        .write(wire::WriteRequest { offset: 0, data: vec![1].into() })
        .await
        .expect("it gets the lock");
    let status = lab.json(&["status", "vm"]).await;
    assert_eq!(status["watchers"][0]["client"], serving.gid());
    assert_eq!(status["watchers"][0]["name"], "the-owner");
    assert_eq!(status["watchers"][0]["connected"], true);
    assert_eq!(status["lockers"][0]["client"], serving.gid());
    assert_eq!(status["lockers"][0]["tag"], "internal");
    let plain = lab.ok(&["status", "vm"]).await;
    let [watcher, gid] = [&status["watchers"][0], &json!(serving.gid())];
    let (address, cookie) = (watcher["address"].as_str().expect("it has one"), &watcher["cookie"]);
    // What `rbd` prints, and more behind it.
    let line = format!(
        "Watchers:\n\twatcher={address} client.{gid} cookie={cookie} name=\"the-owner\" connected=yes "
    );
    assert!(plain.starts_with(&line), "{plain}");
    assert!(plain.contains(&format!("Lock owner: client.{gid} \"auto ")), "{plain}");
    let xml = lab.ok(&["status", "vm", "--format", "xml"]).await;
    let element =
        format!("<watcher><address>{address}</address><client>{gid}</client><cookie>{cookie}</cookie>");
    assert!(xml.starts_with(&format!("<status><watchers>{element}")), "{xml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_live_owner_is_broken_only_by_force_and_the_owner_is_fenced() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.fails(&["lock", "break", "vm"], 2).await;
    let mut serving = lab.serve(&["vm"]).await;
    serving
        .client
        .write(wire::WriteRequest { offset: 0, data: vec![1].into() })
        .await
        .expect("it gets the lock");

    lab.fails(&["lock", "break", "vm"], 16).await;
    lab.ok(&["lock", "break", "vm", "--force"]).await;
    assert_eq!(lab.json(&["status", "vm"]).await["lockers"], json!([]));
    assert_eq!(lab.json(&["blocklist", "ls"]).await[0]["client"], serving.gid());
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_notifies_until_it_is_interrupted() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut watch = lab.command(["watch", "vm", "--format", "json"]).spawn().expect("the program starts");
    let mut err = BufReader::new(watch.stderr.take().expect("it is piped")).lines();
    let mut out = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    let first = timeout(PATIENCE, err.next_line()).await.expect("it watches in time");
    assert!(first.expect("it can be read").expect("it says so").starts_with("Watching rbd/vm"));

    lab.ok(&["snap", "create", "vm@base"]).await;
    let seen = async {
        while let Some(line) = out.next_line().await.expect("it can be read") {
            let line: Value = serde_json::from_str(&line).expect("each line is JSON");
            if line["notify"] == "header_update" {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, seen).await.expect("the notify comes in time"));

    signal(&watch, "INT").await;
    let status = timeout(PATIENCE, watch.wait()).await.expect("it ends in time").expect("it is our child");
    assert_eq!(status.code(), Some(0));
    assert_eq!(lab.json(&["status", "vm"]).await["watchers"], json!([]));
}

async fn watching(lab: &Lab) -> Child {
    let mut watch = lab.command(["watch", "vm"]).spawn().expect("the program starts");
    let mut err = BufReader::new(watch.stderr.take().expect("it is piped")).lines();
    let first = timeout(PATIENCE, err.next_line()).await.expect("it watches in time");
    assert!(first.expect("it can be read").expect("it says so").starts_with("Watching"));
    watch
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_when_nobody_reads_what_it_prints() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut watch = watching(&lab).await;
    drop(watch.stdout.take());
    lab.ok(&["snap", "create", "vm@base"]).await;
    let status = timeout(PATIENCE, watch.wait()).await.expect("it ends in time").expect("it is our child");
    assert_eq!(status.code(), Some(0));
    assert_eq!(lab.json(&["status", "vm"]).await["watchers"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_when_it_is_interrupted_though_the_osd_has_gone() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut watch = watching(&lab).await;
    drop(lab);
    signal(&watch, "TERM").await;
    let status = timeout(PATIENCE, watch.wait()).await.expect("it ends in time").expect("it is our child");
    assert_eq!(status.code(), Some(0));
}
