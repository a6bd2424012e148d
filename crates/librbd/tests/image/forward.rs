//! Operations that run at the lock owner for another client.

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, Config, ImageEvent, OperationEvent};
use prost::Message as _;
use proto::cls::rbd::v1 as cls;
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::ObjectOp;

use crate::faults::op;
use crate::peer::{Peer, is_request, response, unrecorded};
use crate::support::*;

const NOTIFY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Catalogue rows 161, 163 and 184: Flatten, FlattenViaLockOwner, test_follower_flatten.
#[tokio::test]
async fn flatten_runs_at_the_lock_owner_and_the_requester_never_owns_the_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 16).await;
    let (owner, requester) = (open(&io, "child").await, open(&other, "child").await);
    write(&owner, 3, 0xee).await;
    let (mut lock_states, mut at_owner) = (requester.events(), owner.events());
    let (options, call) = watched_call();
    soon(requester.flatten(options)).await.unwrap();
    let events = all_heard(call);
    let owner_gid = io.rados().gid();
    assert!(
        events.contains(&OperationEvent::Placed { attempt: 1, forwarded: true, owner_gid }),
        "{events:?}"
    );
    seen(&mut at_owner, |event| {
        matches!(event, ImageEvent::OperationStarted { operation: "flatten", remote: true, .. })
    })
    .await;
    while let Ok(event) = lock_states.try_recv() {
        assert!(!is_state("locked")(&event), "the requester took the lock");
    }
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    // The parent goes: the child has everything.
    assert_eq!(children_of_base(&io).await, 0);
    let parent = open(&io, "parent").await;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    let mut expected = pattern(16).to_vec();
    expected[3 * OBJECT as usize..4 * OBJECT as usize].fill(0xee);
    for image in [&owner, &requester] {
        assert!(soon(image.info()).await.unwrap().parent.is_none());
        assert_eq!(content(image).await, expected);
    }
}

/// What a caller reads of an error.
fn words(error: &librbd::Error) -> String {
    match error {
        librbd::Error::Refused { text, .. } => text.clone(),
        librbd::Error::Osd { attempted, source } => format!("{attempted}: {}", source.text()),
    }
}

/// Every operation, by rules and by the OSD.
#[tokio::test]
async fn a_forwarded_error_reads_as_if_it_had_happened_here() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let (owner, requester) = (open(&io, "child").await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
    let calls = [
        ("resize", "", Errno::EINVAL),
        ("snap_create", "", Errno::EEXIST),
        ("snap_remove", "", Errno::ENOENT),
        ("resize", "rbd.set_size", Errno::EDQUOT),
        ("snap_create", "rbd.snapshot_add", Errno::EDQUOT),
        ("snap_remove", "rbd.snapshot_remove", Errno::EIO),
        ("flatten", "rbd.parent_detach", Errno::EIO),
    ];
    for (operation, refused, errno) in calls {
        let mut heard = Vec::new();
        for image in [&owner, &requester] {
            let options = CallOptions::default();
            if !refused.is_empty() {
                cluster.refuse_next(op(refused), errno).await;
            }
            let by_rule = refused.is_empty();
            let result = soon(async {
                match operation {
                    "resize" => image.resize(if by_rule { OBJECT } else { 8 * OBJECT }, false, options).await,
                    "snap_create" => image.snap_create(if by_rule { "s" } else { "t" }, options).await,
                    "snap_remove" => image.snap_remove(if by_rule { "t" } else { "s" }, options).await,
                    _ => image.flatten(options).await,
                }
            })
            .await;
            let error = result.expect_err(operation);
            // The number of the fault's rule is in its words.
            let words = words(&error).replace(|letter: char| letter.is_ascii_digit(), "");
            heard.push((error.errno(), words));
        }
        assert_eq!(heard[0], heard[1], "{operation} {refused}");
        assert_eq!(heard[0].0, errno, "{operation} {refused}");
    }
}

/// An error in the ack, too: the owner cannot refresh.
#[tokio::test]
async fn a_refusal_of_the_owner_keeps_its_reason() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    other.notify(&header, Bytes::new(), NOTIFY_TIMEOUT).await.unwrap();
    soon(requester.refresh()).await.unwrap();
    let of_owner = proto::osd::v1::FaultCondition {
        gid: io.rados().gid(),
        op: "rbd.get_header".to_owned(),
        direction: proto::osd::v1::FaultDirection::Request.into(),
        ..proto::osd::v1::FaultCondition::default()
    };
    cluster.osd().refuse_at(of_owner, Errno::EIO).await;
    let error = soon(requester.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(words(&error).contains("fault rule"), "{error}");
}

/// Catalogue rows 164 and 184: ResizeViaLockOwner, SnapCreateViaLockOwner, SnapRemoveViaLockOwner and the like.
#[tokio::test]
async fn resize_and_snapshots_run_at_the_lock_owner() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let options = CallOptions::default;
    soon(requester.resize(8 * OBJECT, false, options())).await.unwrap();
    assert_eq!(soon(requester.size()).await.unwrap(), 8 * OBJECT);
    soon(requester.resize(2 * OBJECT, true, options())).await.unwrap();
    assert_eq!(soon(requester.size()).await.unwrap(), 2 * OBJECT);
    soon(requester.snap_create("s", options())).await.unwrap();
    assert_eq!(soon(requester.snapshots()).await.unwrap()[0].name, "s");
    assert_eq!(errno_of(soon(requester.snap_create("s", options())).await), Errno::EEXIST);
    assert_eq!(errno_of(soon(requester.resize(OBJECT, false, options())).await), Errno::EINVAL);
    assert_eq!(errno_of(soon(requester.snap_remove("none", options())).await), Errno::ENOENT);
    write(&owner, 0, 2).await;
    soon(requester.snap_remove("s", options())).await.unwrap();
    assert_eq!(soon(owner.snapshots()).await.unwrap(), []);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    assert!(!soon(requester.is_lock_owner()).await.unwrap());
}

/// Catalogue row 173: ConcurentOperations.
#[tokio::test]
async fn operations_of_one_type_from_two_clients_all_end() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let resizes = |image: librbd::Image, first: u64| async move {
        for size in first..first + 8 {
            soon(image.resize(size * OBJECT, true, CallOptions::default())).await.unwrap();
        }
    };
    let create = |image: librbd::Image, prefix: &'static str| async move {
        for number in 0..4 {
            soon(image.snap_create(&format!("{prefix}{number}"), CallOptions::default())).await.unwrap();
        }
    };
    soon(async {
        tokio::join!(
            resizes(owner.clone(), 4),
            resizes(requester.clone(), 20),
            create(owner.clone(), "a"),
            create(requester.clone(), "b")
        )
    })
    .await;
    assert_eq!(soon(owner.snapshots()).await.unwrap().len(), 8);
    assert_eq!(soon(owner.size()).await.unwrap(), soon(requester.size()).await.unwrap());
}

/// Catalogue row 185: test_follower_snap_rollback.
#[tokio::test]
async fn a_rollback_is_not_forwarded_and_erofs_when_the_owner_keeps_the_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, follower) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
    write(&owner, 0, 2).await;
    soon(owner.acquire_lock()).await.unwrap();
    assert_eq!(errno_of(soon(follower.snap_rollback("s", CallOptions::default())).await), Errno::EROFS);
    assert_eq!(read(&owner, 0).await[0], 2);
    soon(owner.release_lock()).await.unwrap();
    soon(follower.snap_rollback("s", CallOptions::default())).await.unwrap();
    assert!(soon(follower.is_lock_owner()).await.unwrap());
    assert_eq!(read(&owner, 0).await[0], 1);
}

/// Facts 4.6: nobody answers for the lock. With attempts limited the caller sees Ceph's number for it.
#[tokio::test]
async fn an_owner_that_does_not_answer_is_etimedout_when_attempts_are_limited() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let mut silent = Peer::watch(other, "child").await;
    silent.lock().await;
    let image = open(&io, "child").await;
    let flatten = image.flatten(one_attempt());
    let acks_empty = silent.answer(|_| Some(Bytes::new()));
    let result = soon(async {
        tokio::select! { biased; result = flatten => result, () = acks_empty => unreachable!("it answers for ever") }
    })
    .await;
    assert_eq!(errno_of(result), Errno::ETIMEDOUT);
}

/// Facts 4.4: an accepted request without progress ends its attempt with ERESTART.
#[tokio::test]
async fn an_accepted_request_without_progress_is_erestart_when_attempts_are_limited() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let mut idle = Peer::watch(other, "child").await;
    idle.lock().await;
    let config =
        Config { rbd_request_timed_out_seconds: std::time::Duration::from_millis(200), ..Config::ci() };
    let image = open_with(&io, "child", config).await;
    let accepts = idle.answer(|message| Some(if is_request(message) { response(0) } else { Bytes::new() }));
    let flatten = image.flatten(one_attempt());
    let result = soon(async {
        tokio::select! { biased; result = flatten => result, () = accepts => unreachable!("it answers for ever") }
    })
    .await;
    assert_eq!(errno_of(result), Errno::ERESTART);
}

/// Facts 4.3: two owners, also when they are asked once more, are reported.
#[tokio::test]
async fn two_owners_are_eio() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let mut one = Peer::watch(cluster.client("one").await, "child").await;
    let mut two = Peer::watch(cluster.client("two").await, "child").await;
    one.lock().await;
    let image = open(&io, "child").await;
    let claims = |message: &Payload| Some(if is_request(message) { response(0) } else { Bytes::new() });
    let flatten = image.flatten(CallOptions::default());
    let result = soon(async {
        tokio::select! {
            biased;
            result = flatten => result,
            () = one.answer(claims) => unreachable!("it answers for ever"),
            () = two.answer(claims) => unreachable!("it answers for ever"),
        }
    })
    .await;
    let error = result.expect_err("two owners");
    assert_eq!(error.errno(), Errno::EIO);
    for peer in [&one, &two] {
        assert!(error.to_string().contains(&peer.io.rados().gid().to_string()), "{error}");
    }
}

/// Facts 4.3: a hand-over while the request is out can make two clients accept it; the next answer counts.
#[tokio::test]
async fn two_answers_to_one_request_are_no_error_when_one_answers_the_next() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let mut former = Peer::watch(cluster.client("former").await, "child").await;
    let mut owner = Peer::watch(cluster.client("owner").await, "child").await;
    owner.lock().await;
    let image = open(&io, "child").await;
    let mut asked = [0, 0];
    let [of_former, of_owner] = &mut asked;
    let nth = |count: &mut u32, message: &Payload, answers: [Bytes; 2]| {
        *count += u32::from(is_request(message));
        Some(if is_request(message) { answers[usize::from(*count > 1)].clone() } else { Bytes::new() })
    };
    let refusal = response(Errno::EDQUOT.result());
    let flatten = image.flatten(CallOptions::default());
    let result = soon(async {
        tokio::select! {
            biased;
            result = flatten => result,
            () = former.answer(|message| nth(of_former, message, [response(0), Bytes::new()])) => unreachable!("it answers for ever"),
            () = owner.answer(|message| nth(of_owner, message, [response(0), refusal.clone()])) => unreachable!("it answers for ever"),
        }
    })
    .await;
    assert_eq!(errno_of(result), Errno::EDQUOT, "what the owner says to the second sending");
}

/// Facts 4.1: a request that names another client as its requester is not run, and its mark counts for nothing.
#[tokio::test]
async fn nobody_sends_requests_in_the_name_of_another() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    write(&owner, 0, 1).await;
    let mut victim = Peer::watch(other, "img").await;
    let forger = cluster.client("forger").await;
    let forged = wire::RequestHeader { low_water_mark: u64::MAX, ..victim.request(1, 1).unwrap() };
    let create = |request, name: &str| {
        Payload::SnapCreate(wire::SnapCreatePayload { request: Some(request), name: name.to_owned() })
    };
    let payload = wire::NotifyMessage { payload: Some(create(forged, "forged")) }.encode_to_vec();
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    let notified = soon(async {
        tokio::select! {
            biased;
            notified = forger.notify(&header, payload.into(), NOTIFY_TIMEOUT) => notified.unwrap(),
            () = victim.answer(|_| Some(Bytes::new())) => unreachable!("it answers for ever"),
        }
    })
    .await;
    assert!(notified.replies.iter().all(|reply| reply.payload.is_empty()), "{notified:?}");
    let own = create(victim.request(1, 1).unwrap(), "own");
    assert_eq!(victim.call(own, 1).await, 0);
    let snapshots = soon(owner.snapshots()).await.unwrap();
    assert_eq!(snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect::<Vec<_>>(), ["own"]);
}

/// Facts 5.4: the owner does not know the operation: the requester asks for the lock and runs it itself.
#[tokio::test]
async fn an_operation_that_the_owner_does_not_know_runs_at_the_requester() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("old").await);
    clone(&io, 4).await;
    let mut old = Peer::watch(other, "child").await;
    old.lock().await;
    let image = open(&io, "child").await;
    let (options, call) = watched_call();
    let flatten = image.flatten(options);
    tokio::pin!(flatten);
    let mut asked = false;
    let until_asked = old.answer(|message| match message {
        Payload::RequestLock(_) => None,
        message if is_request(message) => Some(response(Errno::EOPNOTSUPP.result())),
        _ => Some(Bytes::new()),
    });
    soon(async {
        tokio::select! {
            biased;
            () = until_asked => asked = true,
            result = &mut flatten => panic!("ended under another's lock: {result:?}"),
        }
    })
    .await;
    assert!(asked);
    old.unlock().await;
    let answers = old.answer(|_| Some(Bytes::new()));
    soon(async {
        tokio::select! { biased; result = flatten => result.unwrap(), () = answers => unreachable!("it answers for ever") }
    })
    .await;
    let events = all_heard(call);
    assert!(
        events.contains(&OperationEvent::Placed { attempt: 2, forwarded: false, owner_gid: 0 }),
        "{events:?}"
    );
    assert!(soon(image.is_lock_owner()).await.unwrap());
}

/// Takes a snapshot without a record of the request, says nothing of its end, and lets the lock go.
async fn done_in_silence(old: &mut Peer, snap: &str) {
    let (io, id) = (old.io.clone(), old.io.allocate_snap_id().await.unwrap());
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    let taken = cls::SnapshotAdd { id, name: snap.to_owned(), created_unix_ms: 0 };
    io.operate(&header, ObjectOp::new().exec("rbd", "snapshot_add", &taken)).await.unwrap();
    old.unlock().await;
    let released = wire::ReleasedLockPayload { client_id: Some(old.client_id()) };
    say(old, Payload::ReleasedLock(released)).await;
}

async fn say(old: &mut Peer, payload: Payload) {
    let io = old.io.clone();
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    let message = wire::NotifyMessage { payload: Some(payload) }.encode_to_vec();
    tokio::select! {
        biased;
        told = io.notify(&header, message.into(), std::time::Duration::from_secs(5)) => drop(told.unwrap()),
        () = old.answer(|_| Some(Bytes::new())) => unreachable!("it answers for ever"),
    }
}

/// Ceph's librbd keeps no record: who asked it, and heard of no end, is told by EEXIST that it was done. What others have done is their own.
#[tokio::test]
async fn what_an_owner_without_records_has_done_in_silence_has_succeeded() {
    for (ack, is_recorded) in [(unrecorded(), false), (response(0), true)] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("a").await, cluster.client("old").await);
        create(&io, "img", 4).await;
        let mut old = Peer::watch(other, "img").await;
        old.lock().await;
        let image = open(&io, "img").await;
        let (options, mut call) = watched_call();
        let taking = tokio::spawn(async move { image.snap_create("s", options).await });
        let is_placed = |event: &OperationEvent| matches!(event, OperationEvent::Placed { .. });
        soon(async {
            tokio::select! {
                biased;
                () = old.answer(|message| Some(if is_request(message) { ack.clone() } else { Bytes::new() })) => {
                    unreachable!("it answers for ever")
                }
                () = async { drop(heard(&mut call, is_placed).await) } => {}
            }
        })
        .await;
        soon(done_in_silence(&mut old, "s")).await;
        let result = soon(async {
            tokio::select! {
                biased;
                result = taking => result.unwrap(),
                () = old.answer(|_| Some(Bytes::new())) => unreachable!("it answers for ever"),
            }
        })
        .await;
        match is_recorded {
            false => result.unwrap(),
            true => assert_eq!(errno_of(result), Errno::EEXIST, "somebody else's: there is no record of it"),
        }
    }
}

/// An owner lets the lock go before it says that it is done: who asked has given the attempt up by then, and does not run it once more.
#[tokio::test]
async fn a_completion_that_comes_after_the_lock_has_gone_counts() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("old").await);
    create(&io, "img", 4).await;
    let mut old = Peer::watch(other, "img").await;
    old.lock().await;
    let image = open(&io, "img").await;
    let (options, mut call) = watched_call();
    let (taker, mut id) = (image.clone(), None);
    let taking = tokio::spawn(async move { taker.snap_create("s", options).await });
    let is_placed = |event: &OperationEvent| matches!(event, OperationEvent::Placed { .. });
    soon(async {
        let answering = old.answer(|message| match message {
            Payload::SnapCreate(request) => {
                id = request.request.as_ref().and_then(|header| header.id);
                Some(unrecorded())
            }
            _ => Some(Bytes::new()),
        });
        tokio::select! {
            biased;
            () = answering => unreachable!("it answers for ever"),
            () = async { drop(heard(&mut call, is_placed).await) } => {}
        }
    })
    .await;
    let released = wire::ReleasedLockPayload { client_id: Some(old.client_id()) };
    soon(say(&mut old, Payload::ReleasedLock(released))).await;
    let is_over = |event: &OperationEvent| matches!(event, OperationEvent::Restarted { .. });
    heard(&mut call, is_over).await;
    let complete = wire::AsyncCompletePayload { id, result: 0, reason: String::new() };
    soon(say(&mut old, Payload::AsyncComplete(complete))).await;
    soon(async {
        tokio::select! {
            biased;
            result = taking => result.unwrap().unwrap(),
            () = old.answer(|_| Some(Bytes::new())) => unreachable!("it answers for ever"),
        }
    })
    .await;
    assert_eq!(soon(image.snapshots()).await.unwrap(), [], "this owner has lied, and nobody did it again");
}

/// Facts 4.5: the second sending of a request is not run again; its result comes again.
#[tokio::test]
async fn a_request_that_is_sent_twice_runs_once_and_is_answered_twice() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    write(&owner, 0, 1).await;
    let mut peer = Peer::watch(other, "img").await;
    let snap_create =
        |request| Payload::SnapCreate(wire::SnapCreatePayload { request, name: "s".to_owned() });
    assert_eq!(peer.call(snap_create(peer.request(1, 1)), 1).await, 0);
    assert_eq!(peer.call(snap_create(peer.request(1, 2)), 1).await, 0, "not EEXIST");
    assert_eq!(peer.call(snap_create(peer.request(2, 1)), 2).await, Errno::EEXIST.result());
}

/// I6: records go with the low-water mark, and the last ones when the requester closes.
#[tokio::test]
async fn done_records_are_trimmed_and_go_when_the_requester_closes() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    for size in 5..9 {
        soon(requester.resize(size * OBJECT, false, CallOptions::default())).await.unwrap();
        assert_eq!(done_records(&io, "img").await.len(), 1);
    }
    soon(requester.close()).await;
    assert_eq!(done_records(&io, "img").await, Vec::<String>::new());
}

/// A caller's deadline ends its wait.
#[tokio::test]
async fn a_deadline_is_honoured() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let mut idle = Peer::watch(other, "child").await;
    idle.lock().await;
    let image = open(&io, "child").await;
    let accepts = idle.answer(|message| Some(if is_request(message) { response(0) } else { Bytes::new() }));
    let deadline = Some(std::time::Duration::from_millis(300));
    let flatten = image.flatten(CallOptions { deadline, ..CallOptions::default() });
    let result = soon(async {
        tokio::select! { biased; result = flatten => result, () = accepts => unreachable!("it answers for ever") }
    })
    .await;
    assert_eq!(errno_of(result), Errno::ETIMEDOUT);
}

/// I3: an owner whose image is set to a snapshot gives the lock away: a request that it has accepted is the next owner's.
#[tokio::test]
async fn a_request_survives_that_its_owner_goes_to_a_snapshot() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
    let held = cluster.hold_next(op("omap_get")).await;
    let calling = requester.clone();
    let resizing =
        tokio::spawn(async move { calling.resize(8 * OBJECT, false, CallOptions::default()).await });
    held.arrived().await;
    let moving = owner.clone();
    let moving = tokio::spawn(async move { moving.set_snapshot(Some("s")).await });
    held.dwell().await;
    held.let_go().await;
    soon(moving).await.unwrap().unwrap();
    soon(resizing).await.unwrap().unwrap();
    assert_eq!(soon(requester.size()).await.unwrap(), 8 * OBJECT);
}
