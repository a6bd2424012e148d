//! The watch stream.

use errno::Errno;
use harness::proxy::Proxy;
use rados::{IoCtx, Watch, WatchEvent};

use crate::{
    fake::Fake,
    support::{config, connect, soon},
};

/// What a consumer may be behind by, and not more.
const EVENTS_MAX: u64 = 1024;

struct Fixture {
    fake: Fake,
    proxy: Proxy,
    io: IoCtx,
    watch: Watch,
}

impl Fixture {
    /// A session with one watch.
    async fn start() -> Self {
        let fake = Fake::start(100).await;
        let proxy = Proxy::start(fake.address()).await.unwrap();
        let rados = connect(proxy.address().clone(), config("session")).await;
        let io = soon(rados.io_ctx("rbd")).await.unwrap();
        let watch = soon(io.watch("x", None)).await.unwrap();
        Self { fake, proxy, io, watch }
    }

    async fn told(&mut self) -> String {
        match soon(self.watch.next()).await {
            WatchEvent::Lost(error) => format!("Lost {}", error.errno()),
            other => format!("{other:?}"),
        }
    }

    async fn until_asked(&self, expected: &[&str]) {
        self.fake.until(|record| record.watch_requests == expected).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_comes_back_with_its_watches() {
    let mut fixture = Fixture::start().await;
    fixture.proxy.reset().await.unwrap();
    assert_eq!(fixture.told().await, "Interrupted");
    assert_eq!(fixture.told().await, "Resumed");
    fixture.until_asked(&["hello 7", "register 1", "hello 7", "reconnect 1"]).await;
}

#[tokio::test]
async fn a_stream_without_pongs_is_replaced() {
    let mut fixture = Fixture::start().await;
    fixture.fake.set(|record| record.is_answering = false);
    assert_eq!(fixture.told().await, "Interrupted");
    assert_eq!(fixture.told().await, "Resumed");
}

/// Catalogue row 103: the old watch is gone, so nothing is unwatched.
#[tokio::test]
async fn a_watch_that_the_osd_has_forgotten_is_registered_under_a_new_cookie() {
    let mut fixture = Fixture::start().await;
    fixture.fake.set(|record| record.has_forgotten_watches = true);
    fixture.proxy.reset().await.unwrap();
    assert_eq!(fixture.told().await, "Interrupted");
    assert_eq!(fixture.told().await, "Reregistered { old: 1, new: 2 }");
    fixture.until_asked(&["hello 7", "register 1", "hello 7", "reconnect 1", "register 2"]).await;
}

/// Catalogue row 97: a consumer that did not keep up is unwatched and watches anew; that the unwatch fails changes nothing.
#[tokio::test]
async fn a_watch_is_registered_anew_although_the_old_one_could_not_be_removed() {
    let mut fixture = Fixture::start().await;
    fixture.fake.set(|record| {
        record.notifies_after_register = 2 * EVENTS_MAX;
        record.unwatch_verdict = Some(Errno::EIO);
    });
    let mut slow = soon(fixture.io.watch("y", None)).await.unwrap();
    fixture.until_asked(&["hello 7", "register 1", "register 2", "unwatch 2"]).await;
    fixture.fake.set(|record| record.notifies_after_register = 0);
    let mut notifies = 0;
    let event = soon(async {
        loop {
            match slow.next().await {
                WatchEvent::Notify(_) => notifies += 1,
                WatchEvent::Interrupted => {}
                event => return event,
            }
        }
    })
    .await;
    assert!(matches!(event, WatchEvent::Reregistered { old: 2, new: 3 }), "{event:?}");
    assert!(notifies < 2 * EVENTS_MAX, "the rest was not kept");
    fixture.until_asked(&["hello 7", "register 1", "register 2", "unwatch 2", "register 3"]).await;
    // The stream that said so lives, with its other watch.
    soon(fixture.io.rados().shutdown()).await;
    assert_eq!(fixture.told().await, "Lost ESHUTDOWN");
}

#[tokio::test]
async fn a_session_without_ops_learns_from_its_watch_stream_that_it_is_fenced() {
    let mut fixture = Fixture::start().await;
    fixture.fake.set(|record| record.verdict = Some(Errno::EBLOCKLISTED));
    fixture.proxy.reset().await.unwrap();
    assert_eq!(fixture.told().await, "Interrupted");
    assert_eq!(fixture.told().await, "Lost EBLOCKLISTED");
    assert_eq!(fixture.io.rados().ended().map(|error| error.errno()), Some(Errno::EBLOCKLISTED));
}

#[tokio::test]
async fn a_watch_asked_for_without_a_connection_is_registered_when_there_is_one() {
    let fixture = Fixture::start().await;
    fixture.proxy.refuse().await.unwrap();
    let io = fixture.io.clone();
    let mut watching = Box::pin(io.watch("y", None));
    assert!(futures_util::poll!(&mut watching).is_pending());
    fixture.proxy.heal();
    assert_eq!(soon(watching).await.unwrap().handle(), 2);
}

#[tokio::test]
async fn shutdown_unwatches_before_it_says_good_bye() {
    let mut fixture = Fixture::start().await;
    soon(fixture.io.rados().shutdown()).await;
    assert_eq!(fixture.told().await, "Lost ESHUTDOWN");
    assert_eq!(
        fixture.fake.see(|record| record.watch_requests.last().cloned()),
        Some("unwatch 1".to_owned())
    );
    assert_eq!(fixture.fake.see(|record| record.disconnects), 1);
}
