//! What mirroring daemons and their clients keep: with whom a pool is mirrored, and who serves its images. Nothing is mirrored
//! here.

pub(super) mod image_maps;
pub(super) mod instances;
pub(super) mod mode;
pub(super) mod peers;
