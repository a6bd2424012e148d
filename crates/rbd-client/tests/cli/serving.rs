use proto::rbd::v1::{self as wire, client_event::Event};
use serde_json::json;
use tokio::time::timeout;
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{Lab, PATIENCE, Serving, reason};

const MIB: usize = 1 << 20;

async fn write(serving: &mut Serving, offset: u64, data: &[u8]) -> Result<(), tonic::Status> {
    serving.client.write(wire::WriteRequest { offset, data: data.to_vec().into() }).await.map(drop)
}

async fn read(serving: &mut Serving, offset: u64, length: u64) -> Result<Vec<u8>, tonic::Status> {
    let reply = serving.client.read(wire::ReadRequest { offset, length }).await?;
    Ok(reply.into_inner().data.to_vec())
}

/// The next event that `wanted` gives something for.
async fn next<T>(
    events: &mut Streaming<wire::ClientEvent>,
    mut wanted: impl FnMut(&wire::ClientEvent) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.message().await.expect("the stream goes on").expect("the stream is open");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("the event comes in time")
}

fn lock_state(event: &wire::ClientEvent) -> Option<String> {
    match &event.event {
        Some(Event::LockState(lock)) => Some(lock.state.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_serves_and_what() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    assert_eq!(serving.line["program"], "rbd-client");
    assert_eq!(serving.line["image"], "rbd/vm");
    assert_eq!(serving.line["pid"].as_u64(), serving.child.id().map(u64::from));
    let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
    assert_eq!((info.pool.as_str(), info.image.as_str(), info.size), ("rbd", "vm", 4 << 20));
    assert_eq!(info.gid, serving.gid());
    assert!(info.watch_handle > 0 && !info.read_only && !info.is_lock_owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_back_and_what_is_discarded_is_zero() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "--object-size", "64K", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let data: Vec<u8> = (0..MIB).map(|index| (index % 253) as u8).collect();
    write(&mut serving, 12_345, &data).await.expect("it is within the image");
    serving.client.flush(wire::FlushRequest {}).await.expect("there is nothing to fail");
    assert!(read(&mut serving, 12_345, MIB as u64).await.expect("it is within the image") == data);

    serving
        .client
        .discard(wire::DiscardRequest { offset: 65_536, length: 65_536 })
        .await
        .expect("it is in the image");
    assert!(
        read(&mut serving, 65_536, 65_536).await.expect("it is in the image").iter().all(|&byte| byte == 0)
    );
    let after = read(&mut serving, 131_072, 4).await.expect("it is in the image");
    assert_eq!(after, data[131_072 - 12_345..][..4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_shorter_at_the_end_and_a_write_beyond_it_is_einval() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "1M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let last = MIB as u64 - 3;
    assert_eq!(read(&mut serving, last, 100).await.expect("it begins in the image"), [0; 3]);
    let error = read(&mut serving, MIB as u64 + 1, 1).await.expect_err("it begins outside");
    assert_eq!(reason(&error), "EINVAL");
    let error = write(&mut serving, last, &[1; 4]).await.expect_err("one byte is outside");
    assert_eq!(reason(&error), "EINVAL");
    assert_eq!(read(&mut serving, last, 3).await.expect("it is in the image"), [0; 3], "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_1_mib_in_a_call_is_einval_and_names_the_limit() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let read = read(&mut serving, 0, MIB as u64 + 1).await.expect_err("it is too long");
    let write = write(&mut serving, 0, &vec![1; MIB + 1]).await.expect_err("it is too long");
    for error in [read, write] {
        assert_eq!(reason(&error), "EINVAL");
        assert!(error.message().contains("1048576 bytes"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_image_and_a_snapshot_refuse_writes_with_erofs() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    for arguments in [&["vm", "--read-only"][..], &["vm@base"]] {
        let mut serving = lab.serve(arguments).await;
        let error = write(&mut serving, 0, &[1]).await.expect_err("it is read-only");
        assert_eq!(reason(&error), "EROFS", "{arguments:?}");
        let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
        assert!(info.read_only, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_acquired_kept_and_released_by_hand() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut owner = lab.serve(&["vm"]).await;
    let mut peer = lab.serve(&["vm"]).await;
    owner.client.acquire_lock(wire::AcquireLockRequest {}).await.expect("the lock is free");

    let seen =
        peer.client.lock_owner(wire::LockOwnerRequest {}).await.expect("it answers").into_inner().owner;
    let seen = seen.expect("there is an owner");
    assert!(seen.gid == owner.gid() && !seen.is_self && seen.tag == "internal", "{seen:?}");
    let own =
        owner.client.lock_owner(wire::LockOwnerRequest {}).await.expect("it answers").into_inner().owner;
    assert!(own.expect("there is an owner").is_self);
    let refused = write(&mut peer, 0, &[1]).await.expect_err("the owner keeps the lock");
    assert_eq!(reason(&refused), "EROFS");

    owner.client.release_lock(wire::ReleaseLockRequest {}).await.expect("it is the owner");
    write(&mut peer, 0, &[1]).await.expect("the lock is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_numbered_from_1_and_go_on_over_a_reopen() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let mut events = serving.client.events(wire::EventsRequest {}).await.expect("it answers").into_inner();
    write(&mut serving, 0, &[1]).await.expect("the lock is free");
    let mut sequence = 0;
    next(&mut events, |event| {
        sequence += 1;
        assert_eq!(event.sequence, sequence);
        lock_state(event).filter(|state| state == "locked")
    })
    .await;

    let reopened = serving.client.reopen(wire::ReopenRequest {}).await.expect("the OSD is up").into_inner();
    assert_ne!(reopened.gid, serving.gid());
    write(&mut serving, 0, &[2]).await.expect("the lock is free");
    next(&mut events, |event| lock_state(event).filter(|state| state == "locked")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_client_answers_eblocklisted_until_it_is_reopened() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    write(&mut serving, 0, &[1]).await.expect("the lock is free");
    lab.ok(&["blocklist", "add", &serving.gid().to_string()]).await;

    for _ in 0..2 {
        let error = timeout(PATIENCE, write(&mut serving, 0, &[2])).await.expect("it answers in time");
        assert_eq!(reason(&error.expect_err("it is fenced")), "EBLOCKLISTED");
    }
    let reopening = serving.client.reopen(wire::ReopenRequest {});
    let reopened =
        timeout(PATIENCE, reopening).await.expect("it does not hang").expect("the OSD is up").into_inner();
    assert_ne!(reopened.gid, serving.gid());
    write(&mut serving, 0, &[3]).await.expect("the new instance is not fenced");
    assert_eq!(read(&mut serving, 0, 1).await.expect("it is in the image"), [3]);
    let info = serving.client.info(wire::InfoRequest {}).await.expect("it answers").into_inner();
    assert_eq!(info.gid, reopened.gid);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_streams_end_and_the_lock_and_the_watch_are_given_back() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    write(&mut serving, 0, &[1]).await.expect("the lock is free");
    let mut events = serving.client.events(wire::EventsRequest {}).await.expect("it answers").into_inner();
    assert_eq!(serving.terminate().await, 0);
    let rest = async { while events.message().await.expect("the stream ends without error").is_some() {} };
    timeout(PATIENCE, rest).await.expect("the stream ends");
    assert_eq!(lab.json(&["status", "vm"]).await, json!({"watchers": [], "lockers": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_both_versions_of_reflection_are_served() {
    const SERVICE: &str = "rbd.v1.RbdClient";
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm"]).await;
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let health =
        HealthClient::new(serving.channel.clone()).check(request).await.expect("it answers").into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    for service in [SERVICE, "clock.v1.Clock"] {
        assert!(services_v1(serving.channel.clone()).await.contains(&service.to_owned()));
        assert!(services_v1alpha(serving.channel.clone()).await.contains(&service.to_owned()));
    }
}

async fn services_v1(channel: Channel) -> Vec<String> {
    use v1::{
        server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    };
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1::ServerReflectionRequest { host: String::new(), message_request };
    let requests = futures_util::stream::iter([request]);
    let replies =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await.expect("it answers");
    let reply = replies.into_inner().message().await.expect("it answers").expect("one answer to one request");
    match reply.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|one| one.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn services_v1alpha(channel: Channel) -> Vec<String> {
    use v1alpha::{
        server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    };
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request };
    let requests = futures_util::stream::iter([request]);
    let replies =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await.expect("it answers");
    let reply = replies.into_inner().message().await.expect("it answers").expect("one answer to one request");
    match reply.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|one| one.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn named(image: &str) -> Option<wire::ImageName> {
    Some(wire::ImageName { pool: String::new(), image: image.to_owned() })
}

fn import(
    size: u64,
    pieces: Vec<Vec<u8>>,
) -> impl futures_util::stream::Stream<Item = wire::ImportImageRequest> {
    use wire::import_image_request::Part;
    let shape = Some(wire::ImageShape { order: Some(12), ..wire::ImageShape::default() });
    let first = Part::Image(wire::CreateImageRequest { image: named("imported"), size, shape });
    let data = pieces.into_iter().map(|piece| Part::Data(piece.into()));
    let parts = std::iter::once(first).chain(data);
    futures_util::stream::iter(
        parts.map(|part| wire::ImportImageRequest { part: Some(part) }).collect::<Vec<_>>(),
    )
}

/// A script in any language makes its images without the command.
#[tokio::test(flavor = "multi_thread")]
async fn it_makes_images_that_other_clients_open() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm"]).await;
    let mut client = serving.client.clone();
    let create = wire::CreateImageRequest { image: named("empty"), size: 1 << 20, shape: None };
    client.create_image(create.clone()).await.expect("it is made");
    assert_eq!(reason(&client.create_image(create).await.expect_err("there is one")), "EEXIST");
    let (data, hole) = (vec![7; 5000], vec![0; 8192]);
    client.import_image(import(13_192, vec![data.clone(), hole.clone()])).await.expect("it is made");
    lab.ok(&["snap", "create", "imported@base"]).await;
    let (parent, image) = (named("imported"), named("child"));
    let clone = wire::CloneImageRequest { parent, snapshot: "base".to_owned(), image, shape: None };
    client.clone_image(clone).await.expect("it is made");
    assert_eq!(lab.ok(&["ls"]).await, "child\nempty\nimported\nvm\n");
    let mut child = lab.serve(&["child"]).await;
    assert!(read(&mut child, 0, 13_192).await.expect("it is read") == [data, hole].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fails_leaves_no_image() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm"]).await;
    let mut client = serving.client.clone();
    let cases = [
        (4096, vec![vec![1; 4095]], "4095 came"),
        (4096, vec![vec![1; 4097]], "there are more"),
        (2 << 20, vec![vec![1; MIB + 1]], "at most 1048576 bytes"),
        (0, vec![vec![1; 1]], "there are more"),
    ];
    for (size, pieces, text) in cases {
        let failed = client.import_image(import(size, pieces)).await.expect_err(text);
        assert_eq!(reason(&failed), "EINVAL");
        assert!(failed.message().contains(text), "{}", failed.message());
        assert_eq!(lab.ok(&["ls"]).await, "vm\n", "{text}");
    }
    let nameless = client.import_image(futures_util::stream::iter([])).await.expect_err("it has no name");
    assert_eq!(reason(&nameless), "EINVAL");
}

/// The caller goes away in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_caller_has_gone_leaves_no_image() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let serving = lab.serve(&["vm"]).await;
    let mut client = serving.client.clone();
    let endless =
        futures_util::stream::StreamExt::chain(import(1 << 20, vec![]), futures_util::stream::pending());
    let importing = tokio::spawn(async move { client.import_image(endless).await.map(drop) });
    let listed = async |wanted: &str| while lab.ok(&["ls"]).await != wanted {};
    timeout(PATIENCE, listed("imported\nvm\n")).await.expect("it begins");
    importing.abort();
    timeout(PATIENCE, listed("vm\n")).await.expect("it is removed in time");
}
