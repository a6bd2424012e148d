//! The OSD map: pools, the OSDs, who is fenced, and how objects are placed.

mod crush;
mod map;
mod message;
mod pool;
pub mod release;

pub use crush::{Bucket, CrushMap, Rule, Step, StrawItem, Tunables};
pub use map::{ClientPart, OsdInfo, OsdMap, OsdPart, OsdXinfo};
pub use message::OsdMapMessage;
pub use pool::{HitSetParams, MergeMeta, PoolInfo, PoolOptions, PoolSnap, pool_flag};

/// Snapshot ids: (first, how many) each.
pub type SnapIntervals = Vec<(u64, u64)>;
