//! Copying one object over another.

use store::{Name, PoolId};

use super::{done, object::check_version};
use crate::error::Outcome;
use crate::op::OpResult;
use crate::vector::target::Target;

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Another pool's is fine.
    pub pool: PoolId,
    /// Of the object, within the pool.
    pub namespace: Name,
    /// Object name.
    pub object: Name,
    /// `None` = HEAD.
    pub snap_id: Option<u64>,
}

/// Bytes, xattrs and map become those of the source, whose version is checked unless it is 0. The object keeps its clones and
/// its watches.
pub(in crate::vector) fn copy_from(
    target: &mut Target<'_>,
    source: &Source,
    &version: &u64,
) -> Outcome<OpResult> {
    let (id, at, stat) = target.find(source)?;
    if version != 0 {
        check_version(version, stat.version)?;
    }
    target.become_copy(&id, at, &stat)?;
    done()
}
