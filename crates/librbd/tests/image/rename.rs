//! Renaming images: here, at the owner for another client, and cut at every single step.

use errno::Errno;
use futures_util::future::join_all;
use librbd::{CallOptions, Config, Image, OpenOptions};
use proto::osd::v1::{FaultCondition, FaultDirection};
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::{IoCtx, ObjectOp};

use crate::faults::Requests;
use crate::peer::Peer;
use crate::support::*;

const DIRECTORY: &str = librbd::names::DIRECTORY;

/// The steps of renaming, in order, each with whether it leaves a record of the request only.
const STEPS: [(Requests<'static>, bool); 5] = [
    (Requests { op: "rbd.dir_rename_image", object: "" }, false),
    (Requests { op: "rbd.set_id", object: "" }, false),
    (Requests { op: "remove", object: "rbd_id.*" }, false),
    (Requests { op: "omap_set", object: "rbd_header.*" }, true),
    (Requests { op: "omap_remove", object: DIRECTORY }, false),
];

async fn rename(image: &Image, to: &str) -> Result<(), librbd::Error> {
    soon(image.rename(to, CallOptions::default())).await
}

async fn names(io: &IoCtx) -> Vec<String> {
    librbd::list(io).await.unwrap()
}

async fn try_open(io: &IoCtx, name: &str) -> Result<Image, librbd::Error> {
    soon(Image::open(io, name, OpenOptions::default(), Config::ci())).await
}

async fn intents(io: &IoCtx) -> Vec<String> {
    let reply = io.operate(DIRECTORY, ObjectOp::new().omap_list("", "unfinished_", 0)).await.unwrap();
    reply.omap(0).unwrap().entries.into_keys().collect()
}

fn request(peer: &Peer, number: u64, to: &str) -> Payload {
    Payload::Rename(wire::RenamePayload { request: peer.request(number, 1), name: to.to_owned() })
}

fn step_of(client: &str, direction: FaultDirection, step: Requests<'_>) -> FaultCondition {
    FaultCondition {
        direction: direction.into(),
        client: client.to_owned(),
        op: step.op.to_owned(),
        object: step.object.to_owned(),
        ..FaultCondition::default()
    }
}

#[tokio::test]
async fn an_image_is_renamed_and_stays_open() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "old", 4).await;
    let image = open(&io, "old").await;
    write(&image, 0, 7).await;
    rename(&image, "new").await.unwrap();
    assert_eq!(names(&io).await, ["new"]);
    assert_eq!(intents(&io).await, [""; 0]);
    assert_eq!(soon(image.info()).await.unwrap().image, "new");
    assert_eq!(errno_of(try_open(&io, "old").await), Errno::ENOENT);
    write(&image, 1, 8).await;
    assert_eq!(read(&open(&io, "new").await, 1).await[0], 8);
    rename(&image, "old").await.unwrap();
    assert_eq!(names(&io).await, ["old"]);
    assert_eq!(errno_of(try_open(&io, "new").await), Errno::ENOENT);
}

#[tokio::test]
async fn a_name_that_is_taken_is_eexist_also_by_the_image_itself() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "one", 4).await;
    create(&io, "two", 4).await;
    let image = open(&io, "one").await;
    for taken in ["two", "one"] {
        assert_eq!(errno_of(rename(&image, taken).await), Errno::EEXIST, "{taken}");
    }
    assert_eq!(errno_of(rename(&image, "a@b").await), Errno::EINVAL);
    assert_eq!(names(&io).await, ["one", "two"]);
    let read_only = OpenOptions { read_only: true, snapshot: None };
    let read_only = soon(Image::open(&io, "one", read_only, Config::ci())).await.unwrap();
    assert_eq!(errno_of(rename(&read_only, "three").await), Errno::EROFS);
}

/// Catalogue row 28: NotifyRename.
#[tokio::test]
async fn an_image_is_renamed_by_the_lock_owner_for_another_client() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "old", 4).await;
    create(&io, "taken", 4).await;
    let (owner, requester) = (open(&io, "old").await, open(&other, "old").await);
    soon(owner.acquire_lock()).await.unwrap();
    assert_eq!(errno_of(rename(&requester, "taken").await), Errno::EEXIST);
    rename(&requester, "new").await.unwrap();
    assert_eq!(names(&io).await, ["new", "taken"]);
    assert_eq!(intents(&io).await, [""; 0]);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    assert_eq!(soon(requester.info()).await.unwrap().image, "new");
}

/// I6: a client that dies at any step: the image has one name, and whoever opens it to write finishes that.
#[tokio::test]
async fn an_image_whose_renamer_dies_at_any_step_has_one_name() {
    let steps = STEPS.into_iter().filter(|(_, is_record)| !is_record);
    let cases = steps.flat_map(|(step, _)| {
        [FaultDirection::Request, FaultDirection::Reply]
            .into_iter()
            .flat_map(move |direction| [false, true].map(|late| killed_and_finished(step, direction, late)))
    });
    join_all(cases).await;
}

/// What the dead client had under way arrives before or after the next one does its part.
async fn killed_and_finished(step: Requests<'_>, direction: FaultDirection, lands_late: bool) {
    let cluster = Cluster::start();
    let io = cluster.client("next").await;
    create(&io, "old", 4).await;
    let mortal = cluster.mortal("mortal").await;
    let image = mortal.open("old", Config::ci()).await;
    let owning = image.clone();
    mortal.run(async move { owning.acquire_lock().await }).await.unwrap();
    let held = cluster.osd().hold(0, step_of("mortal", direction, step)).await;
    let renaming = image.clone();
    drop(mortal.spawn(async move { renaming.rename("new", CallOptions::default()).await }));
    held.arrived().await;
    mortal.kill().await;
    drop(image);
    let (mut held, late) = if lands_late { (None, Some(held)) } else { (Some(held), None) };
    if let Some(held) = held.take() {
        held.let_go_of_the_dead().await;
    }
    let shown = names(&io).await;
    let is_renamed =
        (step.op, direction) != ("rbd.dir_rename_image", FaultDirection::Request) || shown == ["new"];
    let (name, other) = if is_renamed { ("new", "old") } else { ("old", "new") };
    assert_eq!(shown, [name], "{step:?} {direction:?}");
    let next = open(&io, name).await;
    write(&next, 0, 1).await;
    soon(next.close()).await;
    assert_eq!(errno_of(try_open(&io, other).await), Errno::ENOENT, "{step:?} {direction:?}");
    if let Some(held) = late {
        held.let_go_of_the_dead().await;
        assert_eq!(names(&io).await, [name], "{step:?} {direction:?}");
    }
    let next = open(&io, name).await;
    rename(&next, "third").await.unwrap();
    soon(next.close()).await;
    assert_eq!(intents(&io).await, [""; 0]);
    soon(librbd::remove(&io, "third", &Config::ci(), CallOptions::default().progress)).await.unwrap();
    assert_eq!(io.list_objects("").await.unwrap(), [DIRECTORY], "{step:?} {direction:?}");
}

/// I6: what was left of the former name is no image's: who removes it does not remove the one that has been renamed.
#[tokio::test]
async fn a_former_name_that_a_crash_left_removes_nothing() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "old", 4).await;
    let image = open(&io, "old").await;
    cluster.refuse_next(STEPS[2].0, Errno::EIO).await;
    rename(&image, "new").await.unwrap();
    soon(image.close()).await;
    let removed = soon(librbd::remove(&io, "old", &Config::ci(), CallOptions::default().progress)).await;
    assert_eq!(errno_of(removed), Errno::ENOENT);
    assert_eq!(names(&io).await, ["new"]);
}

/// I3: the owner dies at any step; the requester goes on with the next one, and hears of success.
#[tokio::test]
async fn a_forwarded_renaming_whose_owner_dies_at_any_step_happens_once() {
    for (step, _) in STEPS {
        let cluster = Cluster::start();
        let io = cluster.client("requester").await;
        create(&io, "old", 4).await;
        let mortal = cluster.mortal("mortal").await;
        let owner = mortal.open("old", Config::ci()).await;
        let owning = owner.clone();
        mortal.run(async move { owning.acquire_lock().await }).await.unwrap();
        let requester = open(&io, "old").await;
        let held = cluster.osd().hold(0, step_of("mortal", FaultDirection::Request, step)).await;
        let renaming = requester.clone();
        let renaming = tokio::spawn(async move { rename(&renaming, "new").await });
        held.arrived().await;
        mortal.kill().await;
        drop(owner);
        soon(renaming).await.unwrap().unwrap_or_else(|error| panic!("{step:?}: {error}"));
        held.let_go_of_the_dead().await;
        assert_eq!(names(&io).await, ["new"], "{step:?}");
    }
}

/// I3: the next owner renames the image for somebody else before the request comes again.
#[tokio::test]
async fn a_renaming_whose_owner_died_before_its_record_is_not_run_again() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("b").await);
    create(&io, "old", 4).await;
    let mut requester = Peer::watch(io.clone(), "old").await;
    let mortal = cluster.mortal("mortal").await;
    let owner = mortal.open("old", Config::ci()).await;
    let owning = owner.clone();
    mortal.run(async move { owning.acquire_lock().await }).await.unwrap();
    let held = cluster.osd().hold(0, step_of("mortal", FaultDirection::Request, STEPS[3].0)).await;
    let first = request(&requester, 1, "new");
    assert_eq!(requester.ask(first.clone()).await, 0);
    held.arrived().await;
    mortal.kill().await;
    drop(owner);
    let next = open(&other, "new").await;
    soon(next.acquire_lock()).await.unwrap();
    held.let_go_of_the_dead().await;
    rename(&next, "third").await.unwrap();
    assert_eq!(requester.call(first, 1).await, 0, "as recorded");
    assert_eq!(names(&io).await, ["third"]);
}
