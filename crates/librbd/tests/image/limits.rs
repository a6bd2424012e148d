//! Named limits (design 4.8).

use errno::Errno;
use librbd::READ_BYTES_MAX;

use crate::faults::Requests;
use crate::story::position;
use crate::support::*;

#[tokio::test]
async fn one_read_has_a_largest_length() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 2 * READ_BYTES_MAX / OBJECT).await;
    let image = open(&io, "img").await;
    assert_eq!(errno_of(soon(image.read(OBJECT, READ_BYTES_MAX + 1)).await), Errno::EINVAL);
    assert_eq!(errno_of(soon(image.read_sparse(0, u64::MAX)).await), Errno::EINVAL);
    let end = 2 * READ_BYTES_MAX - OBJECT;
    assert_eq!(soon(image.read(end, u64::MAX)).await.unwrap().len() as u64, OBJECT, "what there is counts");
}

/// A discard of any length keeps nobody waiting for the lock: it is given away in the middle.
#[tokio::test]
async fn a_long_discard_lets_the_lock_go_in_between() {
    const OBJECTS: u64 = 3000;
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", OBJECTS).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    for object in [0, OBJECTS - 1] {
        write(&image, object, 1).await;
    }
    let before = cluster.now().await;
    let held = cluster.hold_next(Requests { op: "remove", object: "rbd_data.*" }).await;
    let mut states = image.events();
    let discarding = tokio::spawn({
        let image = image.clone();
        async move { image.discard(0, OBJECTS * OBJECT).await }
    });
    held.arrived().await;
    let writing = tokio::spawn({
        let peer = peer.clone();
        async move { write(&peer, 1, 2).await }
    });
    seen(&mut states, is_state("pre_releasing")).await;
    held.let_go().await;
    soon(writing).await.unwrap();
    soon(discarding).await.unwrap().unwrap();
    let story = cluster.story(before).await.all();
    let last = position(&story, &format!("data {}: assert_exists, remove", OBJECTS - 1));
    let unlocked = story.iter().position(|line| line == "header: unlock").expect("the lock moved");
    assert!(unlocked < last, "the lock went only after the discard");
    assert_eq!(read(&peer, OBJECTS - 1).await, vec![0; OBJECT as usize]);
    assert_eq!(read(&peer, 1).await, vec![2; OBJECT as usize]);
}
