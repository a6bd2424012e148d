//! What mirroring daemons and their clients keep: with whom a pool is mirrored, which of its images are, how it goes, and who
//! serves them. Nothing is mirrored here.

pub(super) mod image_maps;
pub(super) mod images;
pub(super) mod instances;
pub(super) mod mode;
pub(super) mod peers;
pub(super) mod snapshots;
pub(super) mod status;
mod summary;
