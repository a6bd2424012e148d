//! Making, renaming and removing images, cut at every single step: by an error, by the death of the client, by a fence, by a
//! caller that goes away. Whoever comes next finishes it or takes it back, and in the end nothing is left behind.

use errno::Errno;
use futures_util::{StreamExt, stream};
use librbd::{CallOptions, CloneOptions, Config, CreateOptions, Error};
use proto::osd::v1::{Event, FaultCondition, FaultDirection};
use rados::{IoCtx, ObjectOp};

use crate::faults::{Held, Requests};
use crate::support::*;

const OBJECTS: u64 = 2;
/// Cases, each with an OSD and clients of its own: more starve each other until sessions time out.
const AT_ONCE: usize = 4;
const DIRECTORY: &str = librbd::names::DIRECTORY;

/// The steps of making a clone, in order.
const MAKING: [Requests<'static>; 5] = [
    Requests { op: "rbd.dir_add_image", object: "" },
    Requests { op: "rbd.set_id", object: "" },
    Requests { op: "rbd.child_attach", object: "" },
    Requests { op: "rbd.create", object: "" },
    Requests { op: "omap_compare", object: DIRECTORY },
];
/// From this one on the clone is complete.
const COMPLETE: usize = 3;

/// The same of an image without a parent.
const CREATING: [Requests<'static>; 4] = [MAKING[0], MAKING[1], MAKING[3], MAKING[4]];

/// The steps of flattening a clone, in order.
const FLATTENING: [Requests<'static>; 4] = [
    Requests { op: "rbd.copyup", object: "rbd_data.*" },
    Requests { op: "rbd.parent_detach", object: "" },
    Requests { op: "rbd.child_detach", object: "" },
    Requests { op: "omap_remove", object: "rbd_header.*" },
];
/// From this one on the clone has no parent.
const DETACHED: usize = 2;

/// The steps of removing a clone, in order.
const REMOVING: [Requests<'static>; 6] = [
    Requests { op: "omap_set", object: DIRECTORY },
    Requests { op: "remove", object: "rbd_header.*" },
    Requests { op: "remove", object: "rbd_data.*" },
    Requests { op: "rbd.child_detach", object: "" },
    Requests { op: "remove", object: "rbd_id.*" },
    Requests { op: "rbd.dir_remove_image", object: "" },
];

/// What comes next after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    MakesItAgain,
    RemovesIt,
    RemovesTheSnapshot,
    ListsTheChildren,
}

const NEXT: [Next; 4] =
    [Next::MakesItAgain, Next::RemovesIt, Next::RemovesTheSnapshot, Next::ListsTheChildren];

async fn make(io: &IoCtx) -> Result<(), Error> {
    soon(librbd::clone(io, "parent", "base", io, "child", &CloneOptions::default())).await
}

async fn create_child(io: &IoCtx) -> Result<(), Error> {
    soon(librbd::create(io, "child", &CreateOptions::default())).await
}

async fn remove(io: &IoCtx, name: &str) -> Result<(), Error> {
    soon(librbd::remove(io, name, &Config::ci(), CallOptions::default().progress)).await
}

async fn remove_snapshot(io: &IoCtx) -> Result<(), Error> {
    let parent = open(io, "parent").await;
    let removed = soon(parent.snap_remove("base", CallOptions::default())).await;
    soon(parent.close()).await;
    removed
}

async fn make_parent(io: &IoCtx) {
    clone(io, OBJECTS).await;
    remove(io, "child").await.unwrap();
}

async fn make_child_with_data(io: &IoCtx) {
    clone(io, OBJECTS).await;
    let child = open(io, "child").await;
    write(&child, 0, 1).await;
    soon(child.close()).await;
}

/// The next client does its part; then everything is removed, and nothing may be left.
async fn finished_by(next: Next, io: &IoCtx) {
    let allowed: &[Errno] = match next {
        Next::MakesItAgain => &[Errno::EEXIST],
        Next::RemovesIt => &[Errno::ENOENT],
        Next::RemovesTheSnapshot | Next::ListsTheChildren => &[],
    };
    let done = match next {
        Next::MakesItAgain => make(io).await,
        Next::RemovesIt => remove(io, "child").await,
        Next::RemovesTheSnapshot => remove_snapshot(io).await,
        Next::ListsTheChildren => soon(librbd::children(io, "parent", None)).await.map(|children| {
            for child in children {
                assert_eq!(child.name, "child", "everything that is shown has a name");
            }
        }),
    };
    if let Err(error) = done {
        assert!(allowed.contains(&error.errno()), "{next:?}: {error}");
    }
    assert_nothing_is_left(io).await;
}

/// Removes everything that is shown; no object and no record stays.
async fn assert_nothing_is_left(io: &IoCtx) {
    for name in librbd::list(io).await.unwrap() {
        if name != "parent" {
            remove(io, &name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    if let Err(error) = remove_snapshot(io).await {
        assert_eq!(error.errno(), Errno::ENOENT);
    }
    remove(io, "parent").await.unwrap();
    assert_eq!(io.list_objects("").await.unwrap(), [DIRECTORY]);
    let records = io.operate(DIRECTORY, ObjectOp::new().omap_list("", "", 0)).await.unwrap();
    let records: Vec<_> = records.omap(0).unwrap().entries.into_keys().collect();
    assert_eq!(records, [""; 0]);
}

/// A client's step, on its way there or back.
fn step_of(client: &str, direction: FaultDirection, step: Requests<'_>) -> FaultCondition {
    FaultCondition {
        direction: direction.into(),
        client: client.to_owned(),
        op: step.op.to_owned(),
        object: step.object.to_owned(),
        ..FaultCondition::default()
    }
}

fn of_watch(kind: &'static str, gid: u64) -> impl Fn(&Event) -> bool {
    move |event| event.kind == kind && event.gid == gid
}

/// Kills a client at a step; its watches have expired when this returns.
async fn killed_at(cluster: &Cluster, step: FaultCondition, work: Work) -> Held {
    let mortal = cluster.mortal("mortal").await;
    let (io, gid) = (mortal.io.clone(), mortal.io.rados().gid());
    let since = cluster.now().await;
    let held = cluster.osd().hold(0, step).await;
    drop(mortal.spawn(async move { work.run(&io).await }));
    held.arrived().await;
    mortal.kill().await;
    let is_deaf = |event: &Event| of_watch("watch_expired", gid)(event) && event.object == DIRECTORY;
    cluster.osd().until(since, is_deaf).await;
    held
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Create,
    Make,
    Remove,
}

impl Work {
    async fn run(self, io: &IoCtx) -> Result<(), Error> {
        match self {
            Self::Create => create_child(io).await,
            Self::Make => make(io).await,
            Self::Remove => remove(io, "child").await,
        }
    }

    fn steps(self) -> &'static [Requests<'static>] {
        match self {
            Self::Create => &CREATING,
            Self::Make => &MAKING,
            Self::Remove => &REMOVING,
        }
    }

    async fn prepare(self, io: &IoCtx) {
        match self {
            Self::Create | Self::Make => make_parent(io).await,
            Self::Remove => make_child_with_data(io).await,
        }
    }
}

async fn killed_at_every_step(work: Work) {
    for next in NEXT {
        let steps = work.steps().iter().flat_map(|step| {
            [FaultDirection::Request, FaultDirection::Reply].map(|direction| (*step, direction))
        });
        let cases = steps.flat_map(|(step, direction)| {
            [false, true].map(|lands_late| killed_and_finished(work, step, direction, next, lands_late))
        });
        stream::iter(cases).for_each_concurrent(AT_ONCE, |case| case).await;
    }
}

/// What the dead client had under way arrives before or after the next one does its part.
async fn killed_and_finished(
    work: Work,
    step: Requests<'_>,
    direction: FaultDirection,
    next: Next,
    lands_late: bool,
) {
    let cluster = Cluster::start();
    let io = cluster.client("next").await;
    work.prepare(&io).await;
    let held = killed_at(&cluster, step_of("mortal", direction, step), work).await;
    if lands_late {
        finished_by(next, &io).await;
        held.let_go_of_the_dead().await;
        assert_eq!(io.list_objects("").await.unwrap(), [DIRECTORY], "{step:?}");
    } else {
        held.let_go_of_the_dead().await;
        finished_by(next, &io).await;
    }
}

/// I2, I6: a client that dies at any step of making a clone: it is complete, or whoever meets it takes it back.
#[tokio::test]
async fn a_clone_whose_maker_dies_at_any_step_is_complete_or_gone() {
    killed_at_every_step(Work::Make).await;
}

/// I2, I6: the same of an image without a parent.
#[tokio::test]
async fn an_image_whose_maker_dies_at_any_step_is_complete_or_gone() {
    killed_at_every_step(Work::Create).await;
}

/// I6: a client that dies at any step of removing a clone: whoever meets it finishes the removal.
#[tokio::test]
async fn a_clone_whose_remover_dies_at_any_step_can_be_removed() {
    killed_at_every_step(Work::Remove).await;
}

/// A maker or remover that is fenced in the middle is as good as dead.
#[tokio::test]
async fn a_client_that_is_fenced_at_any_step_leaves_nothing() {
    for work in [Work::Create, Work::Make, Work::Remove] {
        for step in work.steps() {
            let cluster = Cluster::start();
            let (io, other) = (cluster.client("fenced").await, cluster.client("next").await);
            work.prepare(&other).await;
            let when = step_of("fenced", FaultDirection::Request, *step);
            let held = cluster.osd().hold(0, when).await;
            let gid = io.rados().gid();
            let working = tokio::spawn(async move { work.run(&io).await });
            held.arrived().await;
            other.rados().blocklist_add(gid, None).await.unwrap();
            held.let_go_of_the_dead().await;
            let result = soon(working).await.unwrap();
            let is_made = !matches!(work, Work::Remove) && step.op == "omap_compare";
            assert_eq!(result.is_ok(), is_made, "{work:?} {step:?}");
            finished_by(Next::RemovesTheSnapshot, &other).await;
        }
    }
}

/// I3, I4: whoever flattens next finds it flattened, or flattens it; either way it is independent of its parent.
#[tokio::test]
async fn a_flatten_whose_owner_is_fenced_at_any_step_is_finished_by_the_next_owner() {
    for (number, step) in FLATTENING.into_iter().enumerate() {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("fenced").await, cluster.client("next").await);
        clone(&other, OBJECTS).await;
        let image = open(&io, "child").await;
        let held = cluster.osd().hold(0, step_of("fenced", FaultDirection::Request, step)).await;
        let flattening = tokio::spawn(async move { image.flatten(CallOptions::default()).await });
        held.arrived().await;
        other.rados().blocklist_add(io.rados().gid(), None).await.unwrap();
        held.let_go_of_the_dead().await;
        let ended = soon(flattening).await.unwrap();
        let is_detached = number >= DETACHED;
        assert!(is_detached || ended.is_err(), "{step:?}");
        let next = open(&other, "child").await;
        let again = soon(next.flatten(CallOptions::default())).await;
        let expected = if is_detached { Err(Errno::EINVAL) } else { Ok(()) };
        assert_eq!(again.map_err(|error| error.errno()), expected, "{step:?}");
        remove_snapshot(&other).await.unwrap();
        assert_eq!(content(&next).await, pattern(OBJECTS), "{step:?}");
        soon(next.close()).await;
        assert_nothing_is_left(&other).await;
    }
}

/// An error at any step of making a clone is the caller's, and what was made is taken back.
#[tokio::test]
async fn a_clone_that_is_refused_at_any_step_is_taken_back() {
    for (number, step) in MAKING.into_iter().enumerate() {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        make_parent(&io).await;
        cluster.refuse_next(step, Errno::EIO).await;
        let made = make(&io).await;
        if number > COMPLETE {
            made.unwrap();
            assert_eq!(librbd::list(&io).await.unwrap(), ["child", "parent"]);
        } else {
            assert_eq!(errno_of(made), Errno::EIO, "{step:?}");
            assert_eq!(librbd::list(&io).await.unwrap(), ["parent"], "{step:?}");
            remove_snapshot(&io).await.unwrap();
        }
        assert_nothing_is_left(&io).await;
    }
}

/// A clone that cannot be taken back at once is taken back later; nobody has to wait for the end of its maker.
#[tokio::test]
async fn a_clone_that_could_not_be_taken_back_is_taken_back_later() {
    for refused in ["rbd.child_detach", "rbd.dir_get_name", "rbd.dir_remove_image"] {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        make_parent(&io).await;
        let since = cluster.now().await;
        cluster.refuse_next(MAKING[COMPLETE], Errno::ENOSPC).await;
        cluster.refuse_next(crate::faults::op(refused), Errno::EIO).await;
        assert_eq!(errno_of(make(&io).await), Errno::ENOSPC, "the first error counts");
        cluster.osd().until(since, of_watch("unwatch", io.rados().gid())).await;
        assert_eq!(librbd::list(&io).await.unwrap(), ["parent"], "{refused}");
        assert_nothing_is_left(&io).await;
    }
}

/// A caller that goes away takes the clone back, or finds it complete; its client goes on to live.
#[tokio::test]
async fn a_clone_whose_caller_goes_away_at_any_step_is_complete_or_gone() {
    for (number, step) in MAKING.into_iter().enumerate() {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        make_parent(&io).await;
        let since = cluster.now().await;
        let held = cluster.hold_next(step).await;
        let making = tokio::spawn({
            let io = io.clone();
            async move { make(&io).await }
        });
        held.arrived().await;
        making.abort();
        assert!(soon(making).await.unwrap_err().is_cancelled());
        held.let_go().await;
        cluster.osd().until(since, of_watch("unwatch", io.rados().gid())).await;
        let expected: &[&str] = if number < COMPLETE { &["parent"] } else { &["child", "parent"] };
        assert_eq!(librbd::list(&io).await.unwrap(), expected, "{step:?}");
        assert_nothing_is_left(&io).await;
    }
}

/// I2: as long as a clone is being made, its name is taken, it cannot be opened or removed, and its snapshot's data stays.
#[tokio::test]
async fn a_clone_that_is_being_made_is_a_child_and_nothing_else_yet() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    make_parent(&io).await;
    let held = cluster.hold_next(MAKING[COMPLETE]).await;
    let making = tokio::spawn({
        let io = io.clone();
        async move { make(&io).await }
    });
    held.arrived().await;
    assert_eq!(errno_of(make(&other).await), Errno::EEXIST);
    assert_eq!(errno_of(remove(&other, "child").await), Errno::EBUSY);
    let opened = librbd::Image::open(&other, "child", librbd::OpenOptions::default(), Config::ci()).await;
    assert_eq!(errno_of(opened), Errno::ENOENT);
    assert_eq!(children_of_base(&other).await, 1);
    remove_snapshot(&other).await.unwrap();
    held.let_go().await;
    soon(making).await.unwrap().unwrap();
    assert_eq!(content(&open(&other, "child").await).await, pattern(OBJECTS));
}

/// An error at any step of removing a clone: removing it again finishes it.
#[tokio::test]
async fn a_removal_that_is_refused_at_any_step_is_finished_by_the_next() {
    for step in REMOVING {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        make_child_with_data(&io).await;
        cluster.refuse_next(step, Errno::EIO).await;
        assert_eq!(errno_of(remove(&io, "child").await), Errno::EIO, "{step:?}");
        assert_eq!(librbd::list(&io).await.unwrap(), ["child", "parent"], "{step:?}: it is shown");
        remove(&io, "child").await.unwrap();
        assert_nothing_is_left(&io).await;
    }
}
