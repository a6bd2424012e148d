//! Several clients that write while something else goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, ensure};
use harness::remote::no_limits;
use system_tests::scenario::{BOUND, OBJECT_BYTES, Scenario};
use tokio::time::{Duration, Instant};

/// How long a flatten may take while three clients write without pause. Without them the same one takes about a second;
/// each hand-over costs it at most the lock hold, which doubles with each attempt (100 ms with the ci preset).
const FLATTEN_BOUND: Duration = Duration::from_secs(45);

/// Catalogue row 167 and 10.10 item 9 across processes. Guards I2, I5.
#[tokio::test(flavor = "multi_thread")]
async fn a_flatten_ends_within_its_bound_while_three_clients_write_without_pause() -> Result<()> {
    const OBJECTS: u64 = 96;
    let mut scenario = Scenario::start(OBJECTS, 3, &[]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3_u64)
        .map(|writer| {
            let (stop, mut stub) = (stop.clone(), scenario.clients[writer as usize].stub());
            // Each has a byte of every object for itself, and writes its round there.
            tokio::spawn(async move {
                let mut last = vec![None; OBJECTS as usize];
                for round in 1_u8.. {
                    for object in 0..OBJECTS {
                        if stop.load(Ordering::Relaxed) {
                            return Ok((writer, last));
                        }
                        let offset = object * OBJECT_BYTES + 7 * writer;
                        let data = vec![round].into();
                        stub.write(proto::rbd::v1::WriteRequest { offset, data }).await?;
                        last[object as usize] = Some(round);
                    }
                    ensure!(round < u8::MAX, "the flatten never ended");
                }
                Ok((writer, last))
            })
        })
        .collect();

    let begin = Instant::now();
    let end = scenario.client(2).flatten(no_limits()).ended(FLATTEN_BOUND).await?;
    let took = begin.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        let (writer, last) = writer.await??;
        for (object, round) in (0_u64..).zip(last) {
            if let Some(round) = round {
                scenario.content[(object * OBJECT_BYTES + 7 * writer) as usize] = round;
                written += 1;
            }
        }
    }
    assert!(end.is_ok(), "{end:?} after {took:?}");
    assert!(written > 0, "somebody wrote meanwhile");
    scenario.check_content().await?;
    scenario.check_detached().await
}

/// Catalogue rows 167 and 186: the lock moves to the writer, and every acknowledged write is there.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_take_turns_and_lose_nothing() -> Result<()> {
    let mut scenario = Scenario::start(8, 2, &[]).await?;
    for turn in 0..10_u64 {
        let number = 1 + (turn % 2) as usize;
        scenario.write(number, turn * 5000, format!("turn {turn}").as_bytes()).await?;
    }
    let (first, second) = (scenario.client(1).gid, scenario.client(2).gid);
    let story = scenario.story().await?;
    assert_eq!(story.owners(), [first, second].repeat(5));
    assert_eq!(story.of_kind("lock_broken").len(), 0);
    let read = scenario.client(1).read(9 * 5000, 6).await?;
    assert_eq!(&read[..], b"turn 9");
    tokio::time::timeout(BOUND, scenario.check_content()).await?
}
