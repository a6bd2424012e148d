//! The image that the clients open: a clone of a full parent.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use harness::{osd::spec, verbs::Verbs};
use system_tests::{
    model::{BLOCK_BYTES, pattern},
    play::trial::CloneOf,
};

const MIB: u64 = 1 << 20;
const BASE_BYTES: u64 = 32 * MIB;
/// Objects are small, so that a flatten has thousands of steps to be interrupted at.
const OBJECT_BYTES: u64 = 16 << 10;
/// Of the parent's content, which differs from object to object.
const SEED: u64 = 3;
/// The parent of every clone.
const BASE: &str = "base";
const ENOENT: i32 = 2;

/// For people.
pub(crate) fn description() -> String {
    format!("a clone of {} MiB in {} objects", BASE_BYTES / MIB, BASE_BYTES / OBJECT_BYTES)
}

/// The clone with this name, and where it comes from.
pub(crate) fn named(image: &str) -> CloneOf {
    CloneOf { parent: BASE.to_owned(), snapshot: format!("for-{image}"), image: image.to_owned() }
}

/// Makes the clone, and its parent, unless they exist.
pub(crate) async fn prepare(verbs: &Verbs, image: &str) -> Result<()> {
    if exists(verbs, image).await? {
        return Ok(());
    }
    if !exists(verbs, BASE).await? {
        let base = write_base(verbs.directory())?;
        verbs.import_file(BASE, &base, OBJECT_BYTES).await?;
    }
    let CloneOf { parent, snapshot, image } = named(image);
    verbs.clone_image(&parent, &snapshot, &image).await
}

async fn exists(verbs: &Verbs, image: &str) -> Result<bool> {
    let info = verbs.rbd(&["info", &spec(image)]).await?;
    match info.status {
        0 => Ok(true),
        ENOENT => Ok(false),
        status => bail!("rbd-client info {image}: exit status {status}: {}", info.stderr.trim()),
    }
}

/// The parent's content as a file in `directory`.
pub(crate) fn write_base(directory: &Path) -> Result<PathBuf> {
    let file = directory.join("base.img");
    fs::write(&file, pattern(SEED, BASE_BYTES as usize))?;
    Ok(file)
}

/// Every block of a clone.
pub(crate) fn blocks() -> Vec<u64> {
    (0..BASE_BYTES / BLOCK_BYTES).collect()
}
