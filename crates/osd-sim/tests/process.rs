//! The program as a process: what the machine does to it.

mod common;

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use common::program::{BOUND, Program};
use common::{Watcher, connect_to, create, names, session, vector};
use proto::osd::v1::{self as wire, watch_event::Event, watch_request::Request};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

#[tokio::test]
async fn no_watch_expires_because_the_osd_stood_still() {
    let program = Program::start("exec \"$0\" --osd-client-watch-timeout 500ms").await;
    let mut osd = connect_to(&program.address).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut watcher = Watcher::open(&mut osd, gid).await;
    watcher.register("header", 1);
    assert_eq!(watcher.result().await, (1, None));
    program.signal(Signal::STOP);
    watcher.say(Request::Ping(wire::Ping { sequence: 7 }));
    // Longer than the watch's timeout.
    sleep(Duration::from_millis(1000)).await;
    program.signal(Signal::CONT);
    let event = watcher.event().await.expect("its stream is there").expect("its stream is there");
    assert!(matches!(event, Event::Pong(wire::Pong { sequence: 7 })), "{event:?}");
    let request = wire::ListWatchersRequest { pool: "rbd".to_owned(), object: "header".to_owned() };
    let watchers = osd.list_watchers(request).await.expect("the object is there").into_inner().watchers;
    assert_eq!(watchers.len(), 1);
    assert!(!names(&mut osd, 0).await.contains(&"watch_expired".to_owned()));
    // From then on it has been silent.
    let event = watcher.event().await.expect("its stream is there").expect("its stream is there");
    assert!(matches!(event, Event::Disconnected(_)), "{event:?}");
}

#[tokio::test]
async fn an_events_file_that_nobody_reads_delays_neither_connections_nor_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("events");
    let made = Command::new("mkfifo").arg(&pipe).status().await.expect("there is mkfifo");
    assert!(made.success());
    let mut program = Program::start(&events_to(&pipe)).await;
    let mut osd = connect_to(&program.address).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "object", vec![create()])).await.expect("it is created");
    let told = Instant::now();
    program.signal(Signal::TERM);
    let status = timeout(BOUND, program.child.wait()).await.expect("it ends").expect("it was started");
    assert!(status.success(), "{status:?}");
    assert!(told.elapsed() < Duration::from_secs(5), "calls in flight may take longer, the file not");
}

fn events_to(file: &Path) -> String {
    format!("exec \"$0\" --events {}", file.display())
}

#[tokio::test]
async fn without_descriptors_it_waits_warns_once_and_goes_on() {
    let mut program = Program::start("ulimit -n 64; exec \"$0\"").await;
    let mut osd = connect_to(&program.address).await;
    let gid = session(&mut osd).await;
    let address = program.address.to_string();
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).expect("they queue up")).collect();
    program.says("no connection is accepted").await;
    let before = program.cpu_ticks();
    sleep(Duration::from_secs(1)).await;
    let used = program.cpu_ticks() - before;
    assert!(used < 30, "{used} hundredths of a second of CPU in a second");
    osd.operate(vector(gid, 1, "object", vec![create()])).await.expect("who is there is served");
    drop(crowd);
    let mut late = connect_to(&program.address).await;
    session(&mut late).await;
    program.signal(Signal::TERM);
    let mut warnings = 0;
    while let Some(line) = program.said.next_line().await.expect("it is text") {
        warnings += usize::from(line.contains("no connection is accepted"));
    }
    assert_eq!(warnings, 0, "besides the first");
}

/// It names the input and the rule, and ends at once.
#[tokio::test]
async fn a_start_that_cannot_be_is_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let [directory, missing] = [directory.path().to_path_buf(), directory.path().join("missing/events")];
    let [directory, missing] = [&directory, &missing].map(|path| path.to_str().expect("it is UTF-8"));
    let cases = [
        (["--listen", "127.0.0.1:99999"], 2, ["'127.0.0.1:99999'", "65535"]),
        (["--listen", "localhost:0"], 2, ["'localhost:0'", "IP:PORT"]),
        (["--listen", ""], 2, ["''", "IP:PORT"]),
        (["--ceph", "nonsense"], 2, ["'nonsense'", "IP:PORT"]),
        (["--listen", &taken], 1, [&taken, "Address already in use"]),
        (["--events", directory], 1, [directory, "Is a directory"]),
        (["--events", missing], 1, [missing, "No such file"]),
        (["--preset", "nope"], 2, ["'nope'", "ceph, ci"]),
        (["--pool", ""], 1, ["a pool needs a name", "EINVAL"]),
    ];
    for (arguments, status, told) in cases {
        let program = Command::new(env!("CARGO_BIN_EXE_osd-sim")).args(arguments).kill_on_drop(true).output();
        let ended = timeout(BOUND, program).await.expect("it ends").expect("it was started");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {err}");
        assert!(told.iter().all(|part| err.contains(part)), "{arguments:?}: {err}");
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
}
