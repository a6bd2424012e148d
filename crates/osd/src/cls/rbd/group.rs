//! Groups of images, and their snapshots.

pub(super) mod directory;
pub(super) mod image;
pub(super) mod members;
pub(super) mod snapshots;
