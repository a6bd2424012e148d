//! Watches and notifies between two clients.

use harness::proxy::Link;
use std::time::Duration;

use bytes::Bytes;
use errno::Errno;
use rados::{Answer, IoCtx, Notification, NotifyReply, ObjectOp, Watch, WatchEvent};
use tokio::task::JoinHandle;

use crate::{fixture::Fixture, support::soon};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

async fn watch(io: &IoCtx) -> Watch {
    soon(io.watch("x", None)).await.unwrap()
}

/// A notify on its way.
fn notify(io: &IoCtx, payload: &'static str) -> JoinHandle<NotifyReply> {
    let io = io.clone();
    tokio::spawn(async move { io.notify("x", Bytes::from_static(payload.as_bytes()), LONG).await.unwrap() })
}

async fn next_notify(watch: &mut Watch) -> Notification {
    match soon(watch.next()).await {
        WatchEvent::Notify(notification) => notification,
        other => panic!("expected a notify, got {other:?}"),
    }
}

async fn interrupted(watch: &mut Watch) {
    let event = soon(watch.next()).await;
    assert!(matches!(event, WatchEvent::Interrupted), "{event:?}");
}

async fn resumed(watch: &mut Watch) {
    let event = soon(watch.next()).await;
    assert!(matches!(event, WatchEvent::Resumed), "{event:?}");
}

async fn lost(watch: &mut Watch) -> Errno {
    match soon(watch.next()).await {
        WatchEvent::Lost(error) => error.errno(),
        other => panic!("expected lost, got {other:?}"),
    }
}

fn answer(watch: &Watch, io: &IoCtx, payload: &'static str) -> Answer {
    let payload = Bytes::from_static(payload.as_bytes());
    Answer { gid: io.rados().gid(), cookie: watch.handle(), payload }
}

#[tokio::test]
async fn a_notify_carries_payload_and_answer() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    let notifying = notify(&fixture.far, "question");
    let notification = next_notify(&mut watching).await;
    assert_eq!(notification.payload, "question");
    assert_eq!(notification.notifier_gid, fixture.far.rados().gid());
    notification.ack.send(Bytes::from_static(b"reply"));
    let reply = soon(notifying).await.unwrap();
    assert_eq!(reply.replies, [answer(&watching, &fixture.near, "reply")]);
    assert_eq!(reply.errno(), None);
}

#[tokio::test]
async fn two_watches_of_one_client_both_reply() {
    let fixture = Fixture::with_object().await;
    let mut first = watch(&fixture.near).await;
    let mut second = watch(&fixture.near).await;
    assert_ne!(first.handle(), second.handle());
    let notifying = notify(&fixture.near, "to myself");
    next_notify(&mut first).await.ack.send(Bytes::from_static(b"1"));
    next_notify(&mut second).await.ack.send(Bytes::from_static(b"2"));
    let reply = soon(notifying).await.unwrap();
    assert_eq!(reply.replies, [answer(&first, &fixture.near, "1"), answer(&second, &fixture.near, "2")]);
}

#[tokio::test]
async fn a_dropped_ack_answers_with_nothing() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    let notifying = notify(&fixture.far, "question");
    drop(next_notify(&mut watching).await);
    assert_eq!(soon(notifying).await.unwrap().replies, [answer(&watching, &fixture.near, "")]);
}

#[tokio::test]
async fn a_watcher_that_never_acks_is_reported_missed_beside_the_answers_of_others() {
    let fixture = Fixture::with_object().await;
    let mut silent = watch(&fixture.near).await;
    let mut diligent = watch(&fixture.far).await;
    let notifying = fixture.far.notify("x", Bytes::new(), Duration::from_millis(200));
    let watching = async {
        let held = next_notify(&mut silent).await;
        next_notify(&mut diligent).await.ack.send(Bytes::from_static(b"here"));
        held
    };
    let (reply, _held) = soon(async { tokio::join!(notifying, watching) }).await;
    let reply = reply.unwrap();
    assert_eq!(reply.errno(), Some(Errno::ETIMEDOUT));
    assert_eq!(reply.missed, [(fixture.near.rados().gid(), silent.handle())]);
    assert_eq!(reply.replies, [answer(&diligent, &fixture.far, "here")]);
}

#[tokio::test]
async fn watching_or_notifying_a_missing_object_is_enoent() {
    let fixture = Fixture::with_object().await;
    let error = soon(fixture.near.watch("nowhere", None)).await.unwrap_err();
    assert_eq!((error.errno(), error.attempted()), (Errno::ENOENT, "watch rbd/nowhere"));
    let error = soon(fixture.near.notify("nowhere", Bytes::new(), LONG)).await.unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT);
}

#[tokio::test]
async fn a_watch_is_resumed_after_a_cut_and_the_pending_notify_is_delivered_again() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    let handle = watching.handle();
    let notifying = notify(&fixture.far, "question");
    let first = next_notify(&mut watching).await;
    fixture.proxy.reset().await.unwrap();
    interrupted(&mut watching).await;
    resumed(&mut watching).await;
    let again = next_notify(&mut watching).await;
    assert_eq!(again.notify_id, first.notify_id);
    again.ack.send(Bytes::from_static(b"reply"));
    assert_eq!(watching.handle(), handle);
    assert_eq!(soon(notifying).await.unwrap().replies, [answer(&watching, &fixture.near, "reply")]);
}

/// Catalogue rows 96, 101: reregistered under a new handle.
#[tokio::test]
async fn a_watch_that_expired_is_registered_under_a_new_cookie() {
    let fixture = Fixture::with_object_and_grace(Duration::from_millis(50)).await;
    let mut watching = watch(&fixture.near).await;
    let old = watching.handle();
    fixture.proxy.refuse().await.unwrap();
    // Waits for the watch, and ends when it has expired.
    let reply = soon(notify(&fixture.far, "anyone?")).await.unwrap();
    assert_eq!(reply, NotifyReply::default());
    fixture.proxy.heal();
    interrupted(&mut watching).await;
    let event = soon(watching.next()).await;
    let WatchEvent::Reregistered { old: before, new } = event else { panic!("{event:?}") };
    assert_eq!(before, old);
    assert_ne!(new, old);
    assert_eq!(watching.handle(), new);
    let notifying = notify(&fixture.far, "anyone?");
    next_notify(&mut watching).await.ack.send(Bytes::from_static(b"me"));
    assert_eq!(soon(notifying).await.unwrap().replies, [answer(&watching, &fixture.near, "me")]);
}

#[tokio::test]
async fn a_stream_that_fell_silent_is_opened_again() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    fixture.proxy.set(Link::cut());
    interrupted(&mut watching).await;
    fixture.proxy.heal();
    resumed(&mut watching).await;
}

/// Catalogue row 99: a blocklisted client's watch is not repaired.
#[tokio::test]
async fn a_fenced_client_loses_its_watch_and_its_ops() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    let near = fixture.near.rados().clone();
    soon(fixture.far.rados().blocklist_add(near.gid(), None)).await.unwrap();
    interrupted(&mut watching).await;
    assert_eq!(lost(&mut watching).await, Errno::EBLOCKLISTED);
    let refused = soon(fixture.near.operate("x", ObjectOp::new().write(0, "late"))).await;
    assert_eq!(refused.unwrap_err().errno(), Errno::EBLOCKLISTED);
    assert_eq!(near.ended().map(|error| error.errno()), Some(Errno::EBLOCKLISTED));
    assert!(soon(fixture.far.list_watchers("x")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_is_lost_when_its_object_is_removed() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    soon(fixture.far.operate("x", ObjectOp::new().remove())).await.unwrap();
    interrupted(&mut watching).await;
    assert_eq!(lost(&mut watching).await, Errno::ENOENT);
    assert_eq!(lost(&mut watching).await, Errno::ENOENT, "for ever");
}

/// Catalogue row 95: registered and unregistered.
#[tokio::test]
async fn unwatching_removes_the_watch() {
    let fixture = Fixture::with_object().await;
    let watching = watch(&fixture.near).await;
    let handle = watching.handle();
    let watchers = soon(fixture.far.list_watchers("x")).await.unwrap();
    assert_eq!(watchers.len(), 1);
    assert_eq!((watchers[0].gid, watchers[0].cookie), (fixture.near.rados().gid(), handle));
    assert_eq!(watchers[0].name, "near");
    soon(watching.unwatch()).await.unwrap();
    assert!(soon(fixture.far.list_watchers("x")).await.unwrap().is_empty());
}

#[tokio::test]
async fn dropping_a_watch_removes_it_in_the_background() {
    let fixture = Fixture::with_object().await;
    drop(watch(&fixture.near).await);
    // Registered on the same stream, behind the removal.
    let second = watch(&fixture.near).await;
    let watchers = soon(fixture.far.list_watchers("x")).await.unwrap();
    assert_eq!(Vec::from_iter(watchers.iter().map(|watcher| watcher.cookie)), [second.handle()]);
}

#[tokio::test]
async fn a_registration_whose_caller_went_away_leaves_no_watch() {
    let fixture = Fixture::with_object().await;
    let first = watch(&fixture.near).await;
    {
        let mut registering = Box::pin(fixture.near.watch("x", None));
        assert!(futures_util::poll!(&mut registering).is_pending());
    }
    let third = watch(&fixture.near).await;
    let watchers = soon(fixture.far.list_watchers("x")).await.unwrap();
    let cookies = Vec::from_iter(watchers.iter().map(|watcher| watcher.cookie));
    assert_eq!(cookies, [first.handle(), third.handle()]);
}

#[tokio::test]
async fn shutdown_leaves_neither_watch_nor_session() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.near).await;
    let near = fixture.near.rados().clone();
    soon(near.shutdown()).await;
    assert!(soon(fixture.far.list_watchers("x")).await.unwrap().is_empty());
    let sessions = soon(fixture.far.rados().sessions()).await.unwrap();
    assert!(sessions.iter().all(|session| session.gid != near.gid()), "{sessions:?}");
    assert_eq!(lost(&mut watching).await, Errno::ESHUTDOWN);
}

#[tokio::test]
async fn a_notify_is_sent_again_when_its_connection_breaks() {
    let fixture = Fixture::with_object().await;
    let mut watching = watch(&fixture.far).await;
    let notifying = notify(&fixture.near, "question");
    let first = next_notify(&mut watching).await;
    fixture.proxy.reset().await.unwrap();
    let second = next_notify(&mut watching).await;
    assert_eq!(second.payload, first.payload);
    assert_ne!(second.notify_id, first.notify_id);
    second.ack.send(Bytes::from_static(b"reply"));
    assert_eq!(soon(notifying).await.unwrap().replies, [answer(&watching, &fixture.far, "reply")]);
}
