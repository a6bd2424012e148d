//! Op vectors and calls.

use errno::Errno;
use futures_util::future::{join_all, try_join_all};
use harness::proxy::{Link, Proxy};
use rados::{IoCtx, ObjectOp, Submitted};

use crate::{
    fake::{Fake, STREAM_ENDER},
    support::{config, connect, soon},
};

const IN_FLIGHT_OPS_MAX: u32 = 200;

struct Fixture {
    fake: Fake,
    proxy: Proxy,
    io: IoCtx,
}

impl Fixture {
    async fn start() -> Self {
        Self::with_limit(IN_FLIGHT_OPS_MAX).await
    }

    async fn with_limit(in_flight_ops_max: u32) -> Self {
        let fake = Fake::start(in_flight_ops_max).await;
        let proxy = Proxy::start(fake.address()).await.unwrap();
        let rados = connect(proxy.address().clone(), config("session")).await;
        let io = soon(rados.io_ctx("rbd")).await.unwrap();
        Self { fake, proxy, io }
    }

    fn write(&self, object: &str) -> Submitted {
        self.io.operate(object, ObjectOp::new().write(0, "x"))
    }

    fn write_many(&self, count: usize) -> Vec<Submitted> {
        (0..count).map(|_| self.write("x")).collect()
    }

    fn applied_tids(&self) -> Vec<u64> {
        self.fake.see(|record| record.applied.iter().map(|(tid, _)| *tid).collect())
    }
}

#[tokio::test]
async fn ops_in_flight_when_the_connection_is_cut_are_applied_once_and_all_answered() {
    let fixture = Fixture::start().await;
    fixture.fake.set(|record| record.is_answering = false);
    let writes = fixture.write_many(20);
    fixture.fake.until(|record| record.received.len() == 20).await;
    fixture.proxy.reset().await.unwrap();
    fixture.fake.until(|record| record.received.len() == 40).await;
    fixture.fake.set(|record| record.is_answering = true);
    let replies = soon(try_join_all(writes)).await.unwrap();
    assert!(replies.iter().map(|reply| reply.version).eq(1..=20));
    assert_eq!(fixture.applied_tids(), Vec::from_iter(1..=20));
}

#[tokio::test]
async fn program_order_is_kept_over_a_reconnect() {
    let fixture = Fixture::start().await;
    fixture.fake.set(|record| record.is_answering = false);
    let mut writes = fixture.write_many(10);
    fixture.fake.until(|record| record.received.len() == 10).await;
    fixture.proxy.refuse().await.unwrap();
    writes.extend(fixture.write_many(10));
    fixture.fake.set(|record| record.is_answering = true);
    fixture.proxy.heal();
    soon(try_join_all(writes)).await.unwrap();
    assert_eq!(fixture.applied_tids(), Vec::from_iter(1..=20));
}

#[tokio::test]
async fn a_dropped_future_does_not_cancel_its_op() {
    let fixture = Fixture::start().await;
    fixture.proxy.refuse().await.unwrap();
    drop(fixture.write("dropped"));
    fixture.proxy.heal();
    soon(fixture.write("awaited")).await.unwrap();
    let objects = fixture.fake.see(|record| record.applied.clone());
    assert_eq!(objects, [(1, "dropped".to_owned()), (2, "awaited".to_owned())]);
}

#[tokio::test]
async fn a_stalled_link_delays_ops_and_loses_none() {
    let fixture = Fixture::start().await;
    fixture.proxy.set(Link::cut());
    let mut writes = try_join_all(fixture.write_many(10));
    assert!(futures_util::poll!(&mut writes).is_pending());
    fixture.proxy.heal();
    soon(writes).await.unwrap();
    assert_eq!(fixture.applied_tids(), Vec::from_iter(1..=10));
}

#[tokio::test]
async fn every_op_stream_names_the_session_when_it_opens() {
    let fixture = Fixture::start().await;
    fixture.fake.until(|record| record.streams_named.len() == 1).await;
    fixture.proxy.reset().await.unwrap();
    fixture.fake.until(|record| record.streams_named.len() >= 2).await;
    assert!(fixture.fake.see(|record| record.streams_named.iter().all(|gid| gid.as_deref() == Some("7"))));
    assert!(fixture.fake.see(|record| record.received.is_empty()));
}

#[tokio::test]
async fn an_op_that_ends_every_stream_gets_the_error_and_the_others_are_answered() {
    let fixture = Fixture::start().await;
    fixture.proxy.set(Link::cut());
    let before = fixture.write_many(5);
    let refused = fixture.write(STREAM_ENDER);
    let behind = fixture.write_many(5);
    fixture.proxy.heal();
    let error = soon(refused).await.unwrap_err();
    assert_eq!((error.errno(), error.failed_op()), (Errno::E2BIG, None));
    soon(try_join_all(before.into_iter().chain(behind))).await.unwrap();
    assert_eq!(fixture.applied_tids(), Vec::from_iter((1..=11).filter(|tid| *tid != 6)));
    soon(fixture.write("x")).await.unwrap();
    assert_eq!(fixture.io.rados().ended(), None);
}

#[tokio::test]
async fn no_more_ops_are_in_flight_than_the_osd_allows() {
    let fixture = Fixture::with_limit(4).await;
    fixture.fake.set(|record| record.is_answering = false);
    let writes = fixture.write_many(100);
    fixture.fake.until(|record| record.received.len() == 4).await;
    fixture.fake.set(|record| record.is_answering = true);
    soon(try_join_all(writes)).await.unwrap();
    assert_eq!(fixture.fake.see(|record| record.in_flight_most), 4);
}

#[tokio::test]
async fn the_watermark_follows_the_lowest_unanswered_op() {
    let fixture = Fixture::start().await;
    for _ in 0..3 {
        soon(fixture.write("x")).await.unwrap();
    }
    assert_eq!(fixture.fake.see(|record| record.received.clone()), [(1, 1), (2, 2), (3, 3)]);
}

#[tokio::test]
async fn a_fenced_session_fails_every_pending_and_every_later_op() {
    let fixture = Fixture::start().await;
    fixture.proxy.refuse().await.unwrap();
    let writes = fixture.write_many(5);
    fixture.fake.set(|record| record.verdict = Some(Errno::EBLOCKLISTED));
    fixture.proxy.heal();
    for outcome in soon(join_all(writes)).await {
        assert_eq!(outcome.unwrap_err().errno(), Errno::EBLOCKLISTED);
    }
    let later = soon(fixture.write("x")).await.unwrap_err();
    assert_eq!(later.errno(), Errno::EBLOCKLISTED);
    assert_eq!(later.attempted(), "write on rbd/x");
    assert_eq!(fixture.io.rados().ended().map(|error| error.errno()), Some(Errno::EBLOCKLISTED));
}

#[tokio::test]
async fn a_session_that_the_osd_has_forgotten_ends() {
    let fixture = Fixture::start().await;
    fixture.fake.set(|record| record.verdict = Some(Errno::ENOTCONN));
    assert_eq!(soon(fixture.write("x")).await.unwrap_err().errno(), Errno::ENOTCONN);
    assert_eq!(soon(fixture.io.rados().wait_ended()).await.errno(), Errno::ENOTCONN);
}

#[tokio::test]
async fn another_error_ends_its_op_alone() {
    let fixture = Fixture::start().await;
    fixture.fake.set(|record| record.verdict = Some(Errno::ENOSPC));
    assert_eq!(soon(fixture.write("x")).await.unwrap_err().errno(), Errno::ENOSPC);
    fixture.fake.set(|record| record.verdict = None);
    soon(fixture.write("x")).await.unwrap();
}

#[tokio::test]
async fn a_vector_over_a_limit_is_refused_before_it_is_sent_and_the_limit_is_named() {
    let fixture = Fixture::start().await;
    let payload = ObjectOp::new().write(0, vec![0; (16 << 20) + 1]);
    let ops = (0..65).fold(ObjectOp::new(), |op, _| op.stat());
    for (op, limit) in [(payload, "payload_bytes_max = 16777216"), (ops, "ops_per_vector_max = 64")] {
        let error = soon(fixture.io.operate("x", op)).await.unwrap_err();
        assert_eq!(error.errno(), Errno::E2BIG);
        assert!(error.text().contains(limit), "{error}");
    }
    assert!(fixture.fake.see(|record| record.received.is_empty()));
}

#[tokio::test]
async fn an_unknown_pool_is_enoent_and_named() {
    let fixture = Fixture::start().await;
    let error = soon(fixture.io.rados().io_ctx("nowhere")).await.unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT);
    assert!(error.to_string().contains("'nowhere'"), "{error}");
}

#[tokio::test]
async fn calls_are_sent_again_when_the_connection_breaks() {
    let fixture = Fixture::start().await;
    fixture.fake.set(|record| (record.is_answering, record.pool_lists) = (false, 0));
    let rados = fixture.io.rados().clone();
    let asking = tokio::spawn(async move { rados.pools().await });
    fixture.fake.until(|record| record.pool_lists == 1).await;
    fixture.proxy.reset().await.unwrap();
    fixture.fake.until(|record| record.pool_lists == 2).await;
    fixture.fake.set(|record| record.is_answering = true);
    assert_eq!(soon(asking).await.unwrap().unwrap()[0].name, "rbd");
}

#[tokio::test]
async fn shutdown_waits_for_pending_ops_says_good_bye_and_takes_no_more() {
    let fixture = Fixture::start().await;
    let writes = fixture.write_many(50);
    soon(fixture.io.rados().shutdown()).await;
    soon(try_join_all(writes)).await.unwrap();
    fixture.fake.until(|record| record.disconnects == 1 && record.streams_open == 0).await;
    assert_eq!(soon(fixture.write("x")).await.unwrap_err().errno(), Errno::ESHUTDOWN);
}

#[tokio::test]
async fn shutdown_ends_although_the_osd_cannot_be_reached() {
    let fixture = Fixture::start().await;
    fixture.proxy.refuse().await.unwrap();
    let write = fixture.write("x");
    soon(fixture.io.rados().shutdown()).await;
    assert_eq!(soon(write).await.unwrap_err().errno(), Errno::ESHUTDOWN);
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_stream_and_fails_what_is_pending() {
    let Fixture { fake, proxy, io } = Fixture::start().await;
    fake.until(|record| record.streams_open == 1).await;
    fake.set(|record| record.is_answering = false);
    let write = io.operate("x", ObjectOp::new().write(0, "x"));
    let rados = io.rados().clone();
    drop(io);
    assert!(rados.ended().is_none());
    drop(rados);
    assert_eq!(soon(write).await.unwrap_err().errno(), Errno::ESHUTDOWN);
    fake.until(|record| record.streams_open == 0).await;
    drop(proxy);
}

#[tokio::test]
async fn open_numbers_count_from_one() {
    let fixture = Fixture::start().await;
    let rados = fixture.io.rados();
    assert_eq!((rados.next_open_number(), rados.clone().next_open_number()), (1, 2));
}
