//! Sets a stage: a filled image, its clone, and clients that have the clone open.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use check::{Operation, Outcome};
use fastrand::Rng;
use harness::osd::spec;

use crate::{
    calls::{self, FILLER},
    client::Kind,
    recorder::BLOCK_BYTES,
    seat::Seat,
    stage::{Setting, Stage},
    workload::{draw_io, draw_size},
};

/// Size of the objects of every image here.
pub const OBJECT_BYTES: u64 = 16 << 10;
/// The image that is cloned.
pub const BASE: &str = "base";
/// Clones of it, each of the one before.
const CHAIN: [&str; 2] = ["middle", "upper"];
/// How many calls change each of them.
const CHANGES: usize = 24;
/// How many stretches of the base are filled, each by one write; one stretch more stays a hole.
const STRETCHES: u64 = 15;

/// Fills a base image, clones it as `clone`, and starts the clients on the clone. Everything is written to `directory`.
pub async fn set(directory: &Path, setting: Setting, clone: &str) -> Result<Stage> {
    let mut stage = Stage::start(directory, setting).await?;
    make_base(&stage, |_| true).await.context("making the base image")?;
    open_clone(&mut stage, BASE, clone).await?;
    Ok(stage)
}

/// A base image with holes, and two clones one above the other that are changed a little and may have been smaller once: what the
/// clients open is a clone of the last. Its name.
pub async fn set_family(directory: &Path, setting: Setting, rng: &mut Rng) -> Result<(Stage, &'static str)> {
    let stage = Stage::start(directory, setting).await?;
    make_base(&stage, |_| rng.u8(0..3) > 0).await.context("making the base image")?;
    let mut parent = BASE;
    for clone in CHAIN {
        make_clone(&stage, parent, clone).await?;
        stage.cloned_from(parent, &snap_of(clone), false);
        change(&stage, clone, rng).await.with_context(|| format!("changing {clone}"))?;
        parent = clone;
    }
    Ok((stage, parent))
}

async fn make_base(stage: &Stage, mut is_filled: impl FnMut(u64) -> bool) -> Result<()> {
    let size = stage.setting.shape.size();
    let (bytes, object) = (format!("{size}B"), OBJECT_BYTES.to_string());
    let create = ["create", "--size", &bytes, "--object-size", &object, &spec(BASE)];
    must(stage, BASE, Operation::Create { size }, &create).await?;
    let filler = Seat::take(&stage.cluster, FILLER, BASE, Kind::Grpc(Vec::new())).await?;
    let length = stage.setting.shape.blocks / (STRETCHES + 1) * BLOCK_BYTES;
    for stretch in (0..STRETCHES).filter(|stretch| is_filled(*stretch)) {
        let write = Operation::Write { offset: stretch * length, length, tag: stage.recorder.fresh_tag() };
        let outcome = calls::io(stage, &filler, write).await?;
        ensure!(matches!(outcome, Outcome::Ok { .. }), "filling it: {outcome:?}");
    }
    filler.close().await
}

async fn change(stage: &Stage, image: &str, rng: &mut Rng) -> Result<()> {
    let filler = Seat::take(&stage.cluster, FILLER, image, Kind::Grpc(Vec::new())).await?;
    let shape = &stage.setting.shape;
    let whole = Operation::Resize { size: shape.size() };
    if rng.bool() {
        let smaller = Operation::Resize { size: draw_size(rng, shape, OBJECT_BYTES).min(shape.size()) };
        for resize in [smaller, whole] {
            let outcome = calls::unlimited(stage, &filler, resize).await?;
            ensure!(matches!(outcome, Outcome::Ok { .. }), "resizing it: {outcome:?}");
        }
    }
    for _ in 0..CHANGES {
        let outcome = calls::io(stage, &filler, draw_io(rng, shape, &stage.recorder)).await?;
        ensure!(matches!(outcome, Outcome::Ok { .. }), "changing it: {outcome:?}");
    }
    filler.close().await
}

/// Clones an image under a new name and seats fresh clients on the clone.
pub async fn open_clone(stage: &mut Stage, parent: &str, clone: &str) -> Result<()> {
    make_clone(stage, parent, clone).await?;
    // librbd's flatten takes the clone out of the parent's list first: nobody is to remove the snapshot before the flatten is over.
    stage.cloned_from(parent, &snap_of(clone), stage.is_across());
    stage.seat_on(clone).await
}

/// The snapshot of its parent that is made for a clone.
fn snap_of(clone: &str) -> String {
    format!("of-{clone}")
}

async fn make_clone(stage: &Stage, parent: &str, clone: &str) -> Result<()> {
    let snap = snap_of(clone);
    let source = format!("{}@{snap}", spec(parent));
    must(stage, parent, Operation::SnapCreate { snap: snap.clone() }, &["snap", "create", &source]).await?;
    must(stage, parent, Operation::SnapProtect { snap: snap.clone() }, &["snap", "protect", &source]).await?;
    let object = OBJECT_BYTES.to_string();
    let verb = ["clone", "--object-size", &object, &source, &spec(clone)];
    must(stage, clone, Operation::Clone { parent: spec(parent), snap }, &verb).await
}

async fn must(stage: &Stage, image: &str, operation: Operation, arguments: &[&str]) -> Result<()> {
    let outcome = calls::verb(stage, image, operation, arguments).await?;
    ensure!(matches!(outcome, Outcome::Ok { .. }), "rbd-client {}: {outcome:?}", arguments.join(" "));
    Ok(())
}
