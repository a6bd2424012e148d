//! Watch and notify.

use std::process::Stdio;
use std::time::Duration;

use clock::Clock;
use osd_sim::Config;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::AsyncWriteExt;

use crate::lab::{CLIENT_TIME_MAX, Lab};

/// `rados watch` goes on until it is told to end.
#[tokio::test(flavor = "multi_thread")]
async fn rados_watches_and_notifies() {
    let lab = Lab::new();
    if lab.output("rados -p rbd create object").await.is_none() {
        return;
    }
    let mut command = lab.command("rados -p rbd watch object");
    let mut watcher = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
    lab.event("watch").await;
    let watchers = lab.output("rados -p rbd listwatchers object").await.unwrap_or_default();
    assert!(watchers.starts_with("watcher=127.0.0.1:0/") && watchers.contains(" client."), "{watchers}");
    let notified = lab.output("rados -p rbd notify object hello").await.unwrap_or_default();
    assert!(notified.starts_with("reply client.") && notified.contains("|....hello|"), "{notified}");
    watcher.stdin.take().expect("it is piped").write_all(b"\n").await.expect("it reads");
    let ended = tokio::time::timeout(CLIENT_TIME_MAX, watcher.wait_with_output()).await;
    let output = ended.expect("it does not hang").expect("it ends");
    let heard = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(heard.contains("NOTIFY cookie ") && heard.contains("|....hello|"), "{heard}");
    assert_eq!(lab.output("rados -p rbd listwatchers object").await.as_deref(), Some(""));
}

/// A client that was killed does not answer: its watch expires after the grace, and the notify ends without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_watcher_is_not_waited_for() {
    let lab = Lab::new();
    if lab.output("rados -p rbd create object").await.is_none() {
        return;
    }
    let mut command = lab.command("rados -p rbd watch object");
    let mut watcher = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it is installed");
    lab.event("watch").await;
    watcher.kill().await.expect("it runs");
    let began = tokio::time::Instant::now();
    lab.output("rados -p rbd notify object hello").await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(lab.output("rados -p rbd listwatchers object").await.as_deref(), Some(""));
}

/// What is said between a C or Python program and another one: payloads byte for byte, and who has not answered.
#[tokio::test(flavor = "multi_thread")]
async fn python_programs_watch_notify_and_are_told_what_became_of_it() {
    let lab = Lab::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ceph/librados.py");
    let Some(output) = lab.output(&format!("/usr/bin/python3 {script}")).await else { return };
    assert_eq!(output, "done");
}

/// Nobody pings by the OSD's clock: it asks on each connection, and librados answers, if it runs.
#[tokio::test(flavor = "multi_thread")]
async fn under_a_manual_clock_who_runs_keeps_the_watch_and_who_is_stopped_loses_it() {
    let lab = Lab::of(Config { clock: Clock::manual(), ..Config::default() });
    if lab.output("rados -p rbd create object").await.is_none() {
        return;
    }
    let mut command = lab.command("rados -p rbd watch object");
    let watcher = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it is installed");
    let gid = lab.event("watch").await.gid;
    let clock = lab.server.clock();
    let unheard = clock.advance(Duration::from_secs(600)).await.expect("the clock is manual");
    assert_eq!(unheard, [], "it has answered each time");
    let pid = Pid::from_raw(watcher.id().expect("it runs").cast_signed()).expect("a pid");
    kill_process(pid, Signal::STOP).expect("it runs");
    // Until none of its threads runs, one of them may answer.
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).expect("it is a child");
    let unheard = clock.advance(Duration::from_secs(29)).await.expect("the clock is manual");
    assert_eq!(unheard.iter().map(|watch| watch.gid).collect::<Vec<_>>(), [gid]);
    clock.advance(Duration::from_secs(1)).await.expect("the clock is manual");
    assert_eq!(lab.event("watch_expired").await.gid, gid);
    kill_process(pid, Signal::CONT).expect("it was stopped");
}
