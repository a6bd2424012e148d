//! What Ceph's object classes `rbd` and `lock` are told, answer and store.
//!
//! Inputs and answers of one or two primitives have no struct of their own: a tuple says the same.

mod group;
mod input;
mod lock;
mod migration;
mod mirror;
mod object_map;
mod old_header;
mod parent;
mod snapshot;
mod state;
mod trash;

pub use group::{
    GroupImageSpec, GroupImageState, GroupImageStatus, GroupSnapshot, GroupSnapshotState, GroupSpec,
    ImageSnapshotSpec,
};
pub use input::{CreateImage, Features, GetFeatures, ParentAttach, SetFlags, SetParent, SnapshotAdd};
pub use lock::{
    AssertLocked, BreakLock, Lock, LockInfo, LockKind, LockName, LockNames, LockerId, LockerInfo, SetCookie,
    Unlock, lock_flag,
};
pub use migration::{MigrationHeaderKind, MigrationSpec, MigrationState};
pub use mirror::{
    MirrorDirection, MirrorImage, MirrorImageMap, MirrorImageMode, MirrorImageState, MirrorImageStatus,
    MirrorMode, MirrorPeer, MirrorSiteState, MirrorSiteStatus, MirrorSiteStatusRecord,
};
pub use object_map::{BitVector, BitVectorLayout, BitVectorWindow, ObjectState};
pub use old_header::{OldFixed, OldHeader, OldSnapshot};
pub use parent::{ChildImageSpec, ParentImageSpec, ParentRecord};
pub use snapshot::{
    MirrorSnapshot, MirrorSnapshotState, Protection, SnapshotInfo, SnapshotNamespace, SnapshotRecord,
};
pub use state::{DirectoryState, SnapcSeqState};
pub use trash::{TrashImageSpec, TrashSource, TrashState};

/// The pool of a reference that refers to nothing.
pub const NO_POOL: i64 = -1;
