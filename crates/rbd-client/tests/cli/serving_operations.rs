use proto::rbd::v1::{self as wire, operation_event::Event};
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use crate::harness::{Lab, PATIENCE, reason, signal};

/// All events of a call, up to its end or its error.
async fn events(
    call: Result<Response<Streaming<wire::OperationEvent>>, Status>,
) -> (Vec<Event>, Option<Status>) {
    let reading = async {
        let mut events = Vec::new();
        let mut stream = match call {
            Ok(stream) => stream.into_inner(),
            Err(status) => return (events, Some(status)),
        };
        loop {
            match stream.message().await {
                Ok(Some(event)) => events.push(event.event.expect("an event says what it is")),
                Ok(None) => return (events, None),
                Err(status) => return (events, Some(status)),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the call ends in time")
}

fn is_done(events: &[Event]) -> bool {
    matches!(events.last(), Some(Event::Done(done)) if done.attempts >= 1)
}

async fn clone_with_data(lab: &Lab, data: &[u8]) {
    assert_eq!(lab.run_with_input(&["import", "-", "vm", "--object-size", "64K"], data).await.status, 0);
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["clone", "vm@base", "child"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flatten_tells_its_progress_and_ends_with_done() {
    let lab = Lab::start().await;
    let data = vec![7; 1 << 20];
    clone_with_data(&lab, &data).await;
    let mut serving = lab.serve(&["child"]).await;
    let (events, error) = events(serving.client.flatten(wire::FlattenRequest { limits: None }).await).await;
    assert!(error.is_none() && is_done(&events), "{events:?} {error:?}");
    let placed = events.iter().find_map(|event| match event {
        Event::Placed(placed) => Some(placed.forwarded),
        _ => None,
    });
    assert_eq!(placed, Some(false), "the lock was free: {events:?}");
    let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
    assert!(info.parent.is_none());
    let read =
        serving.client.read(wire::ReadRequest { offset: 0, length: 1 << 20 }).await.expect("it answers");
    assert!(read.into_inner().data == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn flatten_is_forwarded_to_the_lock_owner() {
    let lab = Lab::start().await;
    clone_with_data(&lab, &[7; 1 << 20]).await;
    let mut owner = lab.serve(&["child"]).await;
    let mut requester = lab.serve(&["child"]).await;
    owner.client.acquire_lock(wire::AcquireLockRequest {}).await.expect("the lock is free");
    let (events, error) = events(requester.client.flatten(wire::FlattenRequest { limits: None }).await).await;
    assert!(error.is_none() && is_done(&events), "{events:?} {error:?}");
    assert!(
        events.iter().any(|event| matches!(event, Event::Placed(placed) if placed.forwarded)),
        "{events:?}"
    );
    for serving in [&mut owner, &mut requester] {
        let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
        assert!(info.parent.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_ends_with_its_errno() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let (_, error) = events(serving.client.flatten(wire::FlattenRequest { limits: None }).await).await;
    assert_eq!(reason(&error.expect("it has no parent")), "EINVAL");
    let shrink = wire::ResizeRequest { limits: None, size: 1 << 20, allow_shrink: false };
    let (_, error) = events(serving.client.resize(shrink).await).await;
    assert_eq!(reason(&error.expect("shrinking must be allowed")), "EINVAL");
    let remove = wire::SnapRemoveRequest { limits: None, name: "none".to_owned() };
    let (_, error) = events(serving.client.snap_remove(remove).await).await;
    assert_eq!(reason(&error.expect("there is no such snapshot")), "ENOENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_protected_rolled_back_and_removed() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut client = lab.serve(&["vm"]).await;
    let client = &mut client.client;
    let name = || "base".to_owned();
    client.write(wire::WriteRequest { offset: 0, data: vec![1].into() }).await.expect("the lock is free");
    let (seen, error) =
        events(client.snap_create(wire::SnapCreateRequest { limits: None, name: name() }).await).await;
    assert!(is_done(&seen), "{error:?}");
    client.snap_protect(wire::SnapProtectRequest { name: name() }).await.expect("the snapshot is there");
    let info = client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
    assert!(info.snapshots.len() == 1 && info.snapshots[0].name == "base" && info.snapshots[0].protected);

    client.write(wire::WriteRequest { offset: 0, data: vec![2].into() }).await.expect("it is the owner");
    let rollback = wire::SnapRollbackRequest { limits: None, name: name() };
    let (seen, error) = events(client.snap_rollback(rollback).await).await;
    assert!(is_done(&seen), "{error:?}");
    let read = client.read(wire::ReadRequest { offset: 0, length: 1 }).await.expect("it is in the image");
    assert_eq!(read.into_inner().data, [1][..]);

    let remove = || wire::SnapRemoveRequest { limits: None, name: name() };
    let (_, error) = events(client.snap_remove(remove()).await).await;
    assert_eq!(reason(&error.expect("it is protected")), "EBUSY");
    client.snap_unprotect(wire::SnapUnprotectRequest { name: name() }).await.expect("it has no clones");
    let (seen, error) = events(client.snap_remove(remove()).await).await;
    assert!(is_done(&seen), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_honoured_while_the_lock_owner_is_frozen() {
    let lab = Lab::start().await;
    clone_with_data(&lab, &[7; 1 << 20]).await;
    let mut owner = lab.serve(&["child"]).await;
    owner.client.acquire_lock(wire::AcquireLockRequest {}).await.expect("the lock is free");
    signal(&owner.child, "STOP").await;

    let mut requester = lab.serve(&["child"]).await;
    let limits = Some(wire::CallLimits { attempts_max: 0, deadline_ms: 300 });
    let (events, error) = events(requester.client.flatten(wire::FlattenRequest { limits }).await).await;
    let error = error.unwrap_or_else(|| panic!("nobody can have run it: {events:?}"));
    assert_eq!(reason(&error), "ETIMEDOUT", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_caller_hangs_up_does_not_hold_up_the_next_one() {
    let lab = Lab::start().await;
    clone_with_data(&lab, &[7; 1 << 20]).await;
    let mut owner = lab.serve(&["child"]).await;
    owner.client.acquire_lock(wire::AcquireLockRequest {}).await.expect("the lock is free");
    signal(&owner.child, "STOP").await;

    let mut requester = lab.serve(&["child"]).await;
    let call = requester.client.flatten(wire::FlattenRequest { limits: None }).await;
    let mut abandoned = call.expect("it is accepted").into_inner();
    let first = timeout(PATIENCE, abandoned.message()).await.expect("it tells how it goes");
    let first = first.expect("the call goes on").and_then(|event| event.event);
    assert!(!matches!(first, None | Some(Event::Done(_))), "nobody can have run it: {first:?}");
    drop(abandoned);
    signal(&owner.child, "CONT").await;

    let resize = wire::ResizeRequest { limits: None, size: 2 << 20, allow_shrink: false };
    let (events, error) = events(requester.client.resize(resize).await).await;
    assert!(error.is_none() && is_done(&events), "{events:?} {error:?}");
    assert_eq!(requester.terminate().await, 0);
    assert_eq!(lab.json(&["info", "child"]).await["size"], 2 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_renamed_and_opened_again_by_its_name() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let rename = wire::RenameRequest { limits: None, name: "web".to_owned() };
    let (seen, error) = events(serving.client.rename(rename).await).await;
    assert!(is_done(&seen), "{error:?}");
    serving.client.reopen(wire::ReopenRequest {}).await.expect("it is there");
    let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
    assert_eq!(info.image, "web");
}
