//! Who owns the exclusive lock, and who gets it.

use std::cell::Cell;

use bytes::Bytes;
use errno::Errno;
use futures_util::FutureExt;
use librbd::{CallOptions, Config, Features, Image, ImageEvent, OpenOptions, locks};
use proto::cls::rbd::v1 as cls;
use proto::osd::v1::{FaultCondition, FaultDirection};
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::ObjectOp;

use crate::faults::op;
use crate::peer::Peer;
use crate::support::*;

/// Catalogue row 148: IsExclusiveLockOwner.
#[tokio::test]
async fn a_client_owns_the_lock_from_its_first_write_on() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    assert!(!soon(image.is_lock_owner()).await.unwrap());
    write(&image, 0, 1).await;
    assert!(soon(image.is_lock_owner()).await.unwrap());
    let owner = soon(image.lock_owner()).await.unwrap().expect("an owner");
    assert!(owner.is_self && owner.gid == io.rados().gid(), "{owner:?}");
    assert_eq!(owner.tag, "internal");
}

/// Catalogue row 149: ResizeLocksImage, SnapCreateLocksImage, SnapRollbackLocksImage, FlattenLocksImage.
#[tokio::test]
async fn every_operation_takes_the_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    for operation in ["resize", "snap_create", "rollback", "flatten"] {
        let image = open(&io, "child").await;
        let options = CallOptions::default();
        soon(async {
            match operation {
                "resize" => image.resize(8 * OBJECT, false, options).await,
                "snap_create" => image.snap_create("s", options).await,
                "rollback" => image.snap_rollback("s", options).await,
                _ => image.flatten(options).await,
            }
        })
        .await
        .unwrap();
        assert!(soon(image.is_lock_owner()).await.unwrap(), "{operation}");
        soon(image.close()).await;
    }
}

/// Catalogue row 150: ResizeFailsToLockImage and the like.
#[tokio::test]
async fn operations_are_erofs_under_a_manual_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    locks::lock_add(&io, "child", "mine", None).await.unwrap();
    let image = open(&io, "child").await;
    let options = CallOptions::default;
    assert_eq!(errno_of(soon(image.resize(OBJECT, true, options())).await), Errno::EROFS);
    assert_eq!(errno_of(soon(image.snap_create("s", options())).await), Errno::EROFS);
    assert_eq!(errno_of(soon(image.snap_rollback("s", options())).await), Errno::EROFS);
    assert_eq!(errno_of(soon(image.flatten(options())).await), Errno::EROFS);
    assert_eq!(errno_of(soon(image.acquire_lock()).await), Errno::EROFS);
}

/// Catalogue row 151: SnapSetReleasesLock.
#[tokio::test]
async fn going_to_a_snapshot_releases_the_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    write(&image, 0, 2).await;
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(soon(image.lock_owner()).await.unwrap(), None);
    assert_eq!(read(&image, 0).await[0], 1);
    assert_eq!(errno_of(soon(image.write(0, Bytes::from_static(b"x"))).await), Errno::EROFS);
    soon(image.set_snapshot(None)).await.unwrap();
    assert_eq!(read(&image, 0).await[0], 2);
    write(&image, 0, 3).await;
}

/// Catalogue row 152: AioWriteRequestsLock, AioDiscardRequestsLock.
#[tokio::test]
async fn io_waits_for_a_manual_lock_and_goes_on_when_it_is_removed() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    locks::lock_add(&io, "img", "mine", None).await.unwrap();
    let image = open(&io, "img").await;
    let mut events = image.events();
    let mut writing = Box::pin(image.write(0, Bytes::from_static(b"w")));
    let mut discarding = Box::pin(image.discard(OBJECT, OBJECT));
    assert!(writing.as_mut().now_or_never().is_none() && discarding.as_mut().now_or_never().is_none());
    seen(&mut events, is_state("waiting_for_lock")).await;
    assert!(writing.as_mut().now_or_never().is_none() && discarding.as_mut().now_or_never().is_none());
    locks::lock_remove(&io, "img", io.rados().gid(), "mine", &Config::ci()).await.unwrap();
    soon(writing).await.unwrap();
    soon(discarding).await.unwrap();
}

/// Catalogue rows 166 and 187: ExclusiveLock, test_acquire_release_lock.
#[tokio::test]
async fn an_explicit_owner_keeps_the_lock_until_it_releases_it() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    assert_eq!(errno_of(soon(peer.write(0, Bytes::from_static(b"x"))).await), Errno::EROFS);
    assert_eq!(errno_of(soon(peer.acquire_lock()).await), Errno::EROFS);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    soon(owner.release_lock()).await.unwrap();
    assert!(!soon(owner.is_lock_owner()).await.unwrap());
    write(&peer, 0, 7).await;
    assert!(soon(peer.is_lock_owner()).await.unwrap());
    // Back to the automatic policy: the lock moves again, also away from the one that had acquired it.
    write(&owner, 0, 8).await;
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    write(&peer, 0, 9).await;
    assert!(soon(peer.is_lock_owner()).await.unwrap());
}

/// Facts 3.10: a peer's `force` moves no standard policy, and an automatic one needs none.
#[tokio::test]
async fn a_peers_force_makes_no_difference_to_the_policy() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    let mut peer = Peer::watch(other, "img").await;
    for (explicit, answer) in [(true, Errno::EROFS.result()), (false, 0)] {
        for force in [true, false] {
            if explicit {
                soon(owner.acquire_lock()).await.unwrap();
            } else {
                write(&owner, 0, 1).await;
            }
            let client_id = Some(peer.client_id());
            let wanted = Payload::RequestLock(wire::RequestLockPayload { client_id, force });
            assert_eq!(peer.ask(wanted).await, answer, "explicit: {explicit}, force: {force}");
        }
        soon(owner.release_lock()).await.unwrap();
    }
}

/// I5: the lock of a client that lives can be broken by nobody, so it does not forget to give it back.
#[tokio::test]
async fn an_unlock_that_is_refused_is_sent_again() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    for errno in [Errno::EAGAIN, Errno::EIO] {
        write(&owner, 0, 1).await;
        cluster.refuse_next(op("lock.unlock"), errno).await;
        soon(owner.release_lock()).await.unwrap();
        assert_eq!(soon(peer.lock_owner()).await.unwrap(), None, "{errno}");
    }
    cluster.refuse_next(op("lock.unlock"), Errno::EAGAIN).await;
    write(&owner, 0, 1).await;
    write(&peer, 0, 2).await;
    assert_eq!(other.rados().blocklist().await.unwrap(), [], "nobody had to be fenced");
}

/// Catalogue row 166: an owner that keeps the lock still runs what is forwarded to it.
#[tokio::test]
async fn an_explicit_owner_runs_forwarded_operations() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    soon(peer.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    assert_eq!(soon(peer.size()).await.unwrap(), 8 * OBJECT);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
}

/// Catalogue rows 167 and 186: ExclusiveLockTransition, test_follower_write.
#[tokio::test]
async fn two_writers_alternate_and_read_each_others_writes() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 16).await;
    let images = [open(&io, "img").await, open(&other, "img").await];
    for round in 0..16_u64 {
        let (writer, reader) = (&images[round as usize % 2], &images[(round as usize + 1) % 2]);
        write(writer, round, round as u8 + 1).await;
        assert_eq!(read(reader, round).await, vec![round as u8 + 1; OBJECT as usize], "round {round}");
    }
}

/// Catalogue row 167: both make progress when they write at the same time.
#[tokio::test]
async fn two_writers_at_the_same_time_both_end() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 32).await;
    let images = [open(&io, "img").await, open(&other, "img").await];
    let writes = |image: Image, first: u64| async move {
        for object in first..first + 16 {
            write(&image, object, object as u8 + 1).await;
        }
    };
    let (one, two) = (images[0].clone(), images[1].clone());
    soon(async { tokio::join!(writes(one, 0), writes(two, 16)) }).await;
    for object in 0..32 {
        assert_eq!(read(&images[0], object).await[0], object as u8 + 1);
    }
}

/// Facts 3.10, I5: an owner that writes without pause gives the lock away once for each write of the peer, and is not the
/// first to take it again.
#[tokio::test]
async fn a_peer_gets_the_lock_from_an_owner_that_writes_without_pause() {
    const HAND_OVERS: usize = 8;
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let patient = Config { retry_delay: std::time::Duration::from_secs(5), ..Config::ci() };
    let (owner, peer) = (open_with(&io, "img", patient).await, open(&other, "img").await);
    let mut events = owner.events();
    let writer = |object: u64| {
        let owner = owner.clone();
        async move {
            loop {
                write(&owner, object, 1).await;
            }
        }
    };
    let busy = [tokio::spawn(writer(0)), tokio::spawn(writer(1))];
    seen(&mut events, is_state("locked")).await;
    let releases = Cell::new(0);
    let count = |event: &ImageEvent| releases.set(releases.get() + usize::from(is_state("releasing")(event)));
    for _ in 0..HAND_OVERS {
        write(&peer, 2, 2).await;
        seen(&mut events, |event| {
            count(event);
            is_state("locked")(event)
        })
        .await;
    }
    while let Ok(event) = events.try_recv() {
        count(&event);
    }
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(releases.get(), HAND_OVERS);
}

/// Catalogue row 186: test_follower_discard.
#[tokio::test]
async fn a_discard_moves_the_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (first, second) = (open(&io, "img").await, open(&other, "img").await);
    write(&first, 1, 9).await;
    soon(second.discard(OBJECT, OBJECT)).await.unwrap();
    assert!(soon(second.is_lock_owner()).await.unwrap());
    assert!(!soon(first.is_lock_owner()).await.unwrap());
    assert_eq!(read(&first, 1).await, vec![0; OBJECT as usize]);
}

/// Catalogue row 168: ExclusiveLockReadTransition.
#[tokio::test]
async fn reading_needs_no_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, reader) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    write(&owner, 0, 5).await;
    assert_eq!(read(&reader, 0).await[0], 5);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
}

/// Catalogue rows 169 and 187: BreakLock.
#[tokio::test]
async fn a_broken_owner_is_fenced_until_it_opens_again() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let mut events = owner.events();
    locks::lock_break(&other, "img", true, &Config::ci()).await.unwrap();
    assert_eq!(errno_of(soon(owner.write(0, Bytes::from_static(b"late"))).await), Errno::EBLOCKLISTED);
    seen(&mut events, |event| matches!(event, ImageEvent::WatchState { state: "lost", .. })).await;
    assert_eq!(errno_of(soon(owner.is_lock_owner()).await), Errno::EBLOCKLISTED);
    assert_eq!(errno_of(soon(owner.flatten(CallOptions::default())).await), Errno::EBLOCKLISTED);
    assert_eq!(errno_of(soon(owner.read(0, 1)).await), Errno::EBLOCKLISTED);
    assert_eq!(read(&peer, 0).await[0], 1);
    soon(owner.close()).await;
    let again = open(&cluster.client("a again").await, "img").await;
    write(&again, 0, 2).await;
}

/// Facts 9.1 row 4: a fence wakes every waiter.
#[tokio::test]
async fn a_fence_fails_writes_that_wait_for_the_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    locks::lock_add(&other, "img", "mine", None).await.unwrap();
    let image = open(&io, "img").await;
    let mut events = image.events();
    let mut writing = Box::pin(image.write(0, Bytes::from_static(b"w")));
    assert!(writing.as_mut().now_or_never().is_none());
    seen(&mut events, is_state("waiting_for_lock")).await;
    other.rados().blocklist_add(io.rados().gid(), None).await.unwrap();
    assert_eq!(errno_of(soon(writing).await), Errno::EBLOCKLISTED);
}

/// Catalogue row 170: TestListWatchers.
#[tokio::test]
async fn there_is_one_watcher_for_each_open_image_and_none_after_close() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let images = [open(&io, "img").await, open(&io, "img").await, open(&other, "img").await];
    let mut watchers: Vec<_> =
        librbd::watchers(&io, "img").await.unwrap().iter().map(|watcher| watcher.cookie).collect();
    watchers.sort_unstable();
    let mut handles: Vec<_> = images.iter().map(Image::watch_handle).collect();
    handles.sort_unstable();
    assert_eq!(watchers, handles);
    for image in &images {
        soon(image.close()).await;
    }
    assert_eq!(librbd::watchers(&io, "img").await.unwrap(), []);
}

/// Catalogue row 183: test_read_only_leadership, test_snapshot_leadership.
#[tokio::test]
async fn an_image_open_for_reading_never_takes_the_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    soon(image.close()).await;
    let read_only = OpenOptions { read_only: true, snapshot: None };
    let at_snapshot = OpenOptions { read_only: false, snapshot: Some("s".to_owned()) };
    for options in [read_only, at_snapshot] {
        let image = soon(Image::open(&io, "img", options.clone(), Config::ci())).await.unwrap();
        assert_eq!(read(&image, 0).await[0], 1);
        assert_eq!(
            errno_of(soon(image.write(0, Bytes::from_static(b"x"))).await),
            Errno::EROFS,
            "{options:?}"
        );
        assert_eq!(errno_of(soon(image.discard(0, 1)).await), Errno::EROFS);
        assert_eq!(errno_of(soon(image.acquire_lock()).await), Errno::EROFS);
        assert_eq!(errno_of(soon(image.resize(1, true, CallOptions::default())).await), Errno::EROFS);
        assert_eq!(soon(image.lock_owner()).await.unwrap(), None);
        soon(image.close()).await;
    }
}

/// A dead owner's lock is broken and its instance fenced; the writer goes on (I1).
#[tokio::test]
async fn a_writer_takes_the_lock_from_a_killed_owner() {
    let cluster = Cluster::start();
    let io = cluster.client("b").await;
    create(&io, "img", 4).await;
    let mortal = cluster.mortal("a").await;
    let owner = mortal.open("img", Config::ci()).await;
    let writing = owner.clone();
    mortal.run(async move { write(&writing, 0, 1).await }).await;
    let dead = mortal.io.rados().gid();
    mortal.kill().await;
    drop(owner);
    let image = open(&io, "img").await;
    write(&image, 1, 2).await;
    assert_eq!(read(&image, 0).await[0], 1);
    let fenced: Vec<_> = io.rados().blocklist().await.unwrap().iter().map(|entry| entry.gid).collect();
    assert_eq!(fenced, [dead]);
}

/// Ownership starts from the header that was read with the lock: a write never happens under an old snap context (I2).
#[tokio::test]
async fn a_missed_header_update_never_becomes_a_write_under_the_old_snap_context() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.release_lock()).await.unwrap();
    // A snapshot of which nobody is told.
    let id = io.allocate_snap_id().await.unwrap();
    let snapshot = cls::SnapshotAdd { id, name: "silent".to_owned(), created_unix_ms: 0 };
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    io.operate(&header, ObjectOp::new().exec("rbd", "snapshot_add", &snapshot)).await.unwrap();
    write(&image, 0, 2).await;
    soon(image.set_snapshot(Some("silent"))).await.unwrap();
    assert_eq!(read(&image, 0).await[0], 1);
}

/// Two opens of one image in one session are two clients.
#[tokio::test]
async fn two_opens_in_one_session_pass_the_lock_and_forward_to_each_other() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 8).await;
    let (first, second) = (open(&io, "child").await, open(&io, "child").await);
    write(&first, 0, 1).await;
    write(&second, 1, 2).await;
    assert!(soon(second.is_lock_owner()).await.unwrap());
    assert!(!soon(first.is_lock_owner()).await.unwrap());
    soon(second.acquire_lock()).await.unwrap();
    soon(first.flatten(CallOptions::default())).await.unwrap();
    assert!(soon(second.is_lock_owner()).await.unwrap());
    assert!(soon(first.info()).await.unwrap().parent.is_none());
    assert_eq!(io.rados().blocklist().await.unwrap(), []);
}

#[tokio::test]
async fn an_image_without_the_feature_is_written_without_a_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create_with(&io, "img", 4, Features::LAYERING).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    assert_eq!(soon(image.lock_owner()).await.unwrap(), None);
    assert_eq!(errno_of(soon(image.acquire_lock()).await), Errno::EINVAL);
    soon(image.close()).await;
}

#[tokio::test]
async fn a_closed_image_says_so_and_has_given_the_lock_away() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&image, 0, 1).await;
    soon(image.close()).await;
    assert_eq!(soon(peer.lock_owner()).await.unwrap(), None);
    assert_eq!(errno_of(soon(image.read(0, 1)).await), Errno::ESHUTDOWN);
    assert_eq!(errno_of(soon(image.write(0, Bytes::from_static(b"x"))).await), Errno::ESHUTDOWN);
    assert_eq!(errno_of(soon(image.flatten(CallOptions::default())).await), Errno::ESHUTDOWN);
    soon(image.close()).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_image() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&image, 0, 1).await;
    drop(image);
    write(&peer, 0, 2).await;
    assert_eq!(other.rados().blocklist().await.unwrap(), [], "it gave the lock away; nobody had to break it");
}

#[tokio::test]
async fn closing_fails_writes_that_wait_for_the_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    locks::lock_add(&io, "img", "mine", None).await.unwrap();
    let image = open(&io, "img").await;
    let mut events = image.events();
    let mut writing = Box::pin(image.write(0, Bytes::from_static(b"w")));
    assert!(writing.as_mut().now_or_never().is_none());
    seen(&mut events, is_state("waiting_for_lock")).await;
    soon(image.close()).await;
    assert_eq!(errno_of(soon(writing).await), Errno::ESHUTDOWN);
}

/// A refusal is an answer to those who waited when the owner was asked; a write that began when the lock was free gets it.
#[tokio::test]
async fn a_late_refusal_does_not_end_a_write_that_began_after_the_release() {
    const RELEASED_LOCK: u32 = 2;
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("keeper").await, cluster.client("writer").await);
    create(&io, "img", 4).await;
    let (keeper, writer) = (open(&io, "img").await, open(&other, "img").await);
    soon(keeper.acquire_lock()).await.unwrap();
    let to_writer = |direction: FaultDirection| FaultCondition {
        direction: direction.into(),
        gid: other.rados().gid(),
        ..FaultCondition::default()
    };
    let answer = FaultCondition { op: "notify".to_owned(), ..to_writer(FaultDirection::Reply) };
    let refusal = cluster.osd().hold(0, answer).await;
    let news = FaultCondition { payload_field: RELEASED_LOCK, ..to_writer(FaultDirection::Notify) };
    let released = cluster.osd().hold(0, news).await;

    let mut early = Box::pin(writer.write(0, Bytes::from_static(b"early")));
    tokio::select! {
        biased;
        result = &mut early => panic!("its refusal is held: {result:?}"),
        () = refusal.arrived() => {}
    }
    soon(keeper.release_lock()).await.unwrap();
    let mut late = Box::pin(writer.write(OBJECT, Bytes::from_static(b"late")));
    assert!(late.as_mut().now_or_never().is_none());
    refusal.let_go().await;
    assert_eq!(errno_of(soon(early).await), Errno::EROFS);
    soon(late).await.unwrap();
    released.let_go_of_the_dead().await;
}
