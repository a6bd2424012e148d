//! States that replace each other under running I/O.

use std::cell::Cell;

use proto::cls::rbd::v1 as cls;
use rados::{ObjectOp, Rados};
use tokio::sync::watch;

use super::*;
use crate::images::{CreateOptions, create};
use crate::state::ParentSpec;

/// Rounds of one I/O after which it is taken to go on for ever.
const ROUNDS_MAX: u64 = 20;

/// An image on an OSD of its own, with nobody who takes its lock.
async fn opened() -> (osd_sim::Server, OpenImage) {
    let server = osd_sim::Server::start(osd_sim::Config::ci());
    let config = rados::Config::ci();
    let network = rpc::Network::tcp(config.silence_max);
    let io = Rados::connect(network, server.address(), config).await.unwrap().io_ctx("rbd").await.unwrap();
    create(&io, "img", &CreateOptions { size: 1 << 22, ..CreateOptions::default() }).await.unwrap();
    let id = crate::images::image_id(&io, "img").await.unwrap();
    let header = read_header(&io, &id).await.unwrap();
    let timestamps = Timestamps::new(io.rados().clock().now(), &header);
    let state = load_state(&io, &id, header, None).await.unwrap();
    let (owner, _nobody) = mpsc::unbounded_channel();
    let parts = Parts {
        io,
        name: "img".to_owned(),
        config: Config::ci(),
        read_only: true,
        snapshot: None,
        watch_handle: 1,
        timestamps,
        state,
        owner,
    };
    (server, OpenImage::new(parts))
}

async fn set_size(image: &OpenImage, size: u64) {
    let op = ObjectOp::new().exec("rbd", "set_size", &cls::SetSize { size });
    image.io.operate(&image.header, op).await.unwrap();
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_new_supersedes_nothing() {
    let (_server, image) = opened().await;
    let before = image.state();
    image.refresh().await.unwrap();
    assert!(Arc::ptr_eq(&before, &image.state()));
    set_size(&image, 1 << 23).await;
    image.refresh().await.unwrap();
    assert_eq!((image.state().size, image.state().generation), (1 << 23, before.generation + 1));
}

/// The state in place is newer than the one that was superseded: the header is not read once more for it.
#[tokio::test]
async fn superseded_io_goes_on_with_the_state_in_place() {
    let (_server, image) = opened().await;
    let first = Cell::new(true);
    let used = image.on_state(|state| {
        let (image, is_first) = (&image, first.replace(false));
        async move {
            if !is_first {
                return Ok(state.size);
            }
            set_size(image, 1 << 23).await;
            image.refresh().await?;
            // Nobody tells of this one.
            set_size(image, 1 << 24).await;
            Err(IoError::Superseded)
        }
    });
    assert_eq!(used.await.unwrap(), 1 << 23);
}

/// The rounds that one read has begun; `u64::MAX` when it has ended.
type Rounds = watch::Sender<u64>;

/// A read each of whose rounds is under way until the other read has begun its round that comes `ahead` later.
async fn read_beside(image: &OpenImage, own: &Rounds, other: &Rounds, ahead: u64) -> Result<()> {
    let io = |state: Arc<ImageState>| async move {
        let round = *own.borrow() + 1;
        assert!(round < ROUNDS_MAX, "superseded for ever");
        own.send_replace(round);
        let mut others = other.subscribe();
        drop(others.wait_for(|others| *others >= round + ahead).await);
        if round == 1 && ahead == 0 {
            set_size(image, 1 << 23).await;
            image.refresh().await?;
        }
        if state.generation < image.state().generation { Err(IoError::Superseded) } else { Ok(()) }
    };
    let result = image.on_state(io).await;
    own.send_replace(u64::MAX);
    result
}

/// Both are superseded by the one header update; then neither supersedes the other.
#[tokio::test]
async fn two_reads_with_a_header_update_in_between_end() {
    let (_server, image) = opened().await;
    let (one, two) = (Rounds::new(0), Rounds::new(0));
    let (first, second) =
        tokio::join!(read_beside(&image, &one, &two, 0), read_beside(&image, &two, &one, 1));
    first.unwrap();
    second.unwrap();
}

/// A header whose state cannot be loaded supersedes the I/O that goes by an older one, and none that goes by the same: nothing newer
/// would follow.
#[tokio::test]
async fn a_header_that_is_in_place_already_supersedes_nothing_when_its_parent_cannot_be_read() {
    let (_server, image) = opened().await;
    let unreadable = async || {
        let mut header = read_header(&image.io, &image.id).await.unwrap();
        let spec = ParentSpec { pool: "rbd".to_owned(), image_id: "x".repeat(1 << 14), snap_id: 4 };
        header.parent = Some((spec, Some(1)));
        header
    };
    image.install_or_mark_stale(unreadable().await).await;
    assert!(!image.data.is_superseded(&image.state()));
    set_size(&image, 1 << 23).await;
    image.install_or_mark_stale(unreadable().await).await;
    assert!(image.data.is_superseded(&image.state()));
    let redone = image.on_state(|state| async move { Ok(state.size) }).await;
    assert_eq!((redone.unwrap(), image.data.is_superseded(&image.state())), (1 << 23, false));
}
