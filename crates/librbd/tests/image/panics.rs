//! A task of an open image that panics: that open ends, and nobody waits for it or for what it held.

use std::cell::Cell;

use errno::Errno;
use librbd::CallOptions;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::support::*;

thread_local! {
    /// The text at which this thread is to panic, once.
    static TEXT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Panics where the client logs an event with this text, once, on this thread, until it is dropped.
struct PanicsAt;

impl PanicsAt {
    fn set(text: &'static str) -> Self {
        crate::traces::listen();
        TEXT.set(Some(text));
        Self
    }
}

impl Drop for PanicsAt {
    fn drop(&mut self) {
        TEXT.set(None);
    }
}

/// Part of the program's one subscriber.
pub(crate) struct Listening;

impl<S: Subscriber> Layer<S> for Listening {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(text) = TEXT.get() else { return };
        let mut found = Found { text, is_there: false };
        event.record(&mut found);
        if found.is_there {
            TEXT.set(None);
            panic!("on purpose at {text:?}");
        }
    }
}

struct Found {
    text: &'static str,
    is_there: bool,
}

impl Visit for Found {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.is_there |= format!("{value:?}") == self.text;
    }
}

/// Of the error with which the calls of such an image end.
fn assert_says_why(error: &librbd::Error, text: &str) {
    assert_eq!(error.errno(), Errno::EIO, "{error}");
    let reason = format!("a task of the client panicked: on purpose at {text:?}");
    assert!(error.to_string().contains(&reason), "{error}");
}

/// I5: the owner task panics while it holds the lock. Its session lives on and is not fenced; the lock is given back.
#[tokio::test]
async fn the_lock_of_an_owner_task_that_panics_is_given_back_by_its_session() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 2).await;
    create(&io, "bystander", 1).await;
    let (image, bystander) = (open(&io, "img").await, open(&io, "bystander").await);
    // Another open of the same session keeps everybody from taking the first one for dead.
    let second = open(&io, "img").await;
    write(&bystander, 0, 7).await;
    write(&image, 0, 1).await;
    let panics = PanicsAt::set("PRE_RELEASING");
    let peer = open(&other, "img").await;
    write(&peer, 1, 2).await;
    drop(panics);
    let error = soon(image.write(0, vec![3; 1].into())).await.unwrap_err();
    assert_says_why(&error, "PRE_RELEASING");
    soon(image.close()).await;
    write(&second, 0, 4).await;
    write(&bystander, 0, 8).await;
    assert_eq!(read(&peer, 0).await, vec![4; OBJECT as usize]);
    assert_eq!(read(&peer, 1).await, vec![2; OBJECT as usize]);
    assert!(io.rados().blocklist().await.unwrap().is_empty(), "nobody was fenced");
}

/// The same while the lock is being taken: who waits for it gets the error.
#[tokio::test]
async fn callers_of_an_owner_task_that_panics_get_an_error() {
    for text in ["ACQUIRING", "POST_ACQUIRING", "LOCKED"] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("a").await, cluster.client("b").await);
        create(&io, "img", 2).await;
        let (image, second) = (open(&io, "img").await, open(&io, "img").await);
        let panics = PanicsAt::set(text);
        let error = soon(image.write(0, vec![1; 1].into())).await.unwrap_err();
        assert_says_why(&error, text);
        assert_says_why(&soon(image.acquire_lock()).await.unwrap_err(), text);
        assert_says_why(&soon(image.flush()).await.unwrap_err(), text);
        soon(image.close()).await;
        drop(panics);
        write(&open(&other, "img").await, 1, 2).await;
        write(&second, 0, 3).await;
    }
}

/// An operation that panics at the owner, of which its requester would wait to hear: the next owner runs it.
#[tokio::test]
async fn a_forwarded_operation_that_panics_is_run_by_the_next_owner() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 2).await;
    let owner = open(&io, "img").await;
    write(&owner, 0, 1).await;
    let panics = PanicsAt::set("operation ended");
    let requester = open(&other, "img").await;
    soon(requester.snap_create("s", CallOptions::default())).await.unwrap();
    drop(panics);
    assert_says_why(&soon(owner.snapshots()).await.unwrap_err(), "operation ended");
    let snapshots = soon(requester.snapshots()).await.unwrap();
    assert_eq!(snapshots.len(), 1, "once: {snapshots:?}");
}

/// A copy-up that panics fails the write that waits for it, and no later one.
#[tokio::test]
async fn a_copy_up_that_panics_is_made_again_by_the_next_write() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 2).await;
    let image = open(&io, "child").await;
    let panics = PanicsAt::set("copying up");
    let error = soon(image.write(1, vec![3; 1].into())).await.unwrap_err();
    assert_eq!(error.errno(), Errno::EIO, "{error}");
    drop(panics);
    soon(image.write(1, vec![3; 1].into())).await.unwrap();
}
