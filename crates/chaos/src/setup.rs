//! Sets a stage: a filled image, its clone, and clients that have the clone open.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use check::{Operation, Outcome};
use harness::osd::spec;

use crate::{
    calls::{self, OPERATOR},
    recorder::BLOCK_BYTES,
    seat::Seat,
    stage::{Setting, Stage},
};

/// Size of the objects of every image here.
pub const OBJECT_BYTES: u64 = 16 << 10;
/// The image that is cloned.
const BASE: &str = "base";
/// How many stretches of the base are filled, each by one write; one stretch more stays a hole.
const STRETCHES: u64 = 15;

/// Fills a base image, clones it as `clone`, and starts the clients on the clone. Everything is written to `directory`.
pub async fn set(directory: &Path, setting: Setting, clone: &str) -> Result<Stage> {
    let mut stage = Stage::start(directory, setting).await?;
    make_base(&stage).await.context("making the base image")?;
    open_clone(&mut stage, clone).await?;
    Ok(stage)
}

async fn make_base(stage: &Stage) -> Result<()> {
    let size = stage.setting.shape.size();
    let (bytes, object) = (format!("{size}B"), OBJECT_BYTES.to_string());
    let create = ["create", "--size", &bytes, "--object-size", &object, &spec(BASE)];
    must(stage, BASE, Operation::Create { size }, &create).await?;
    let filler = Seat::take(&stage.cluster, OPERATOR, BASE, &[]).await?;
    let length = stage.setting.shape.blocks / (STRETCHES + 1) * BLOCK_BYTES;
    for stretch in 0..STRETCHES {
        let write = Operation::Write { offset: stretch * length, length, tag: stage.recorder.fresh_tag() };
        let outcome = calls::io(stage, &filler, write).await?;
        ensure!(matches!(outcome, Outcome::Ok { .. }), "filling it: {outcome:?}");
    }
    filler.close().await
}

/// Clones the base under a new name and seats fresh clients on it.
pub async fn open_clone(stage: &mut Stage, clone: &str) -> Result<()> {
    let (snap, base) = (format!("of-{clone}"), spec(BASE));
    let parent = format!("{base}@{snap}");
    let snap_create = ["snap", "create", &parent];
    must(stage, BASE, Operation::SnapCreate { snap: snap.clone() }, &snap_create).await?;
    stage.cluster.rbd_ok(&["snap", "protect", &parent]).await?;
    let object = OBJECT_BYTES.to_string();
    let verb = ["clone", "--object-size", &object, &parent, &spec(clone)];
    must(stage, clone, Operation::Clone { parent: base, snap }, &verb).await?;
    stage.seat_on(clone).await
}

async fn must(stage: &Stage, image: &str, operation: Operation, arguments: &[&str]) -> Result<()> {
    let outcome = calls::verb(stage, image, operation, arguments).await?;
    ensure!(matches!(outcome, Outcome::Ok { .. }), "rbd-client {}: {outcome:?}", arguments.join(" "));
    Ok(())
}
