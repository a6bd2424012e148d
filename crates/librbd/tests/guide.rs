//! The code of docs/rust.md: the product as a part of `cargo test`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use errno::Errno;

// docs: connect
use librbd::{CallOptions, CloneOptions, Config, CreateOptions, Image, OpenOptions, OperationEvent};
use rados::{IoCtx, Rados};

/// A client of the OSD, as each process with librbd is one, on pool "rbd".
async fn client(server: &osd_sim::Server, name: &str) -> IoCtx {
    let config = rados::Config { client_name: name.to_owned(), ..rados::Config::ci() };
    let network = rpc::Network::tcp(config.silence_max);
    Rados::connect(network, server.address(), config).await.unwrap().io_ctx("rbd").await.unwrap()
}

async fn open(io: &IoCtx, image: &str) -> Image {
    Image::open(io, image, OpenOptions::default(), Config::ci()).await.unwrap()
}
// docs: end

// docs: server
#[tokio::test]
async fn what_was_written_is_read() {
    let server = osd_sim::Server::start(osd_sim::Config::ci());
    let io = client(&server, "a").await;
    librbd::create(&io, "vm", &CreateOptions { size: 8 << 20, ..CreateOptions::default() }).await.unwrap();
    let image = open(&io, "vm").await;
    image.write(4096, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(image.read(4096, 5).await.unwrap(), "hello");
    server.stop().await;
}
// docs: end

/// A snapshot and its clone "child".
async fn make_clone(io: &IoCtx) {
    librbd::create(io, "vm", &CreateOptions { size: 8 << 20, ..CreateOptions::default() }).await.unwrap();
    let parent = open(io, "vm").await;
    parent.write(0, Bytes::from_static(b"parent")).await.unwrap();
    parent.snap_create("base", CallOptions::default()).await.unwrap();
    parent.close().await;
    librbd::clone(io, "vm", "base", io, "child", &CloneOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_flatten_runs_at_the_lock_owner() {
    let server = osd_sim::Server::start(osd_sim::Config::ci());
    let (a, b) = (client(&server, "a").await, client(&server, "b").await);
    make_clone(&a).await;
    // docs: clients
    let (owner, requester) = (open(&a, "child").await, open(&b, "child").await);
    owner.acquire_lock().await.unwrap();
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let progress = std::sync::Arc::new(move |event| drop(events.send(event)));
    requester.flatten(CallOptions { progress, ..CallOptions::default() }).await.unwrap();
    let placed = OperationEvent::Placed { attempt: 1, forwarded: true, owner_gid: a.rados().gid() };
    assert!(std::iter::from_fn(|| seen.try_recv().ok()).any(|event| event == placed));
    assert!(requester.info().await.unwrap().parent.is_none());
    // docs: end
    assert_eq!(requester.read(0, 6).await.unwrap(), "parent");
}

// docs: faults
#[tokio::test]
async fn a_full_pool_fails_the_write_and_no_other() {
    use osd_sim::fault::{Action, Condition, Direction, Rule};

    let config = osd_sim::Config { enable_faults: true, ..osd_sim::Config::ci() };
    let server = osd_sim::Server::start(config);
    let io = client(&server, "a").await;
    librbd::create(&io, "vm", &CreateOptions { size: 8 << 20, ..CreateOptions::default() }).await.unwrap();
    let image = open(&io, "vm").await;

    let writes = Condition {
        object: Some("rbd_data.*".to_owned()),
        op: Some("write".to_owned()),
        ..Condition::all(Direction::Request)
    };
    let once = Rule { times: Some(1), ..Rule::new(writes, Action::Error(Errno::ENOSPC)) };
    let rule = server.faults().add(once).unwrap();

    let refused = image.write(0, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(refused.errno(), Errno::ENOSPC);
    image.write(0, Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(image.read(0, 1).await.unwrap(), "y");
    let rules = server.faults().list().unwrap();
    assert_eq!((rules[0].listed.id, rules[0].listed.hits), (rule, 1));
}
// docs: end

/// Its port can be taken by somebody else.
#[tokio::test]
async fn a_server_that_is_dropped_stops() {
    let server = osd_sim::Server::start(osd_sim::Config::ci());
    let (io, address) = (client(&server, "a").await, server.address().to_string());
    drop(server);
    let stopped = async {
        while std::net::TcpListener::bind(&address).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(40), stopped).await.expect("it stops");
    assert!(io.rados().ended().is_none(), "the client waits for it to come back");
}
