use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use rados::{IoCtx, ObjectOp};

use super::Window;
use crate::copyup::{Copyup, Copyups};
use crate::error::{Error, IoError};
use crate::names;
use crate::state::ImageState;

/// What is done to an object.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Bytes at an offset.
    Write { offset: u64, data: Bytes },
    /// A range reads as zeros.
    Zero { offset: u64, length: u64 },
    /// The object ends here.
    Truncate { size: u64 },
    /// It exists, empty if it did not.
    Create,
    /// It is gone.
    Remove,
    /// It is as at this snapshot.
    Rollback { snap_id: u64 },
}

/// What an absent object means to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing: the change is made in any case.
    None,
    /// There is nothing to do.
    SkipIfMissing,
    /// The parent's data comes first. When it has none the change is made to the absent object.
    CopyUp,
    /// The parent's data comes first. When it has none there is nothing to do.
    CopyUpOrSkip,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was made, and no copy-up was needed for it.
    Changed,
    /// It was made after a copy-up.
    Copied,
    /// The object is missing and the parent has only zeros for it.
    Hole,
    /// The object is missing and the parent has no part in it.
    NoParent,
}

/// Rounds of guarded write and copy-up for one change. A second one is needed when the copied-up object was removed by
/// another I/O in between; as many in a row mean that two users of the image fight over the same bytes.
const ROUNDS_MAX: usize = 64;

/// Changes data objects under the snap context of a state.
#[derive(Clone, Debug)]
pub(crate) struct ObjectWriter {
    pub(crate) io: IoCtx,
    pub(crate) window: Window,
    pub(crate) copyups: Arc<Copyups>,
}

impl ObjectWriter {
    /// Makes changes to one object, all or none. With a guard that copies up: assert_exists and the changes in one vector;
    /// ENOENT -> copy-up -> again (facts 6.4).
    pub(crate) async fn apply(
        &self,
        state: &Arc<ImageState>,
        object_no: u64,
        changes: &[Change],
        mut guard: Guard,
    ) -> Result<Written, IoError> {
        let name = names::data(&state.object_prefix, object_no);
        let mut written = Written::Changed;
        if changes.iter().any(|change| matches!(change, Change::Remove | Change::Rollback { .. })) {
            // A copy-up that lands after the removal would bring the parent's data back.
            self.copyups.wait_for(object_no).await;
        }
        for _ in 0..ROUNDS_MAX {
            let error = match self.window.operate(&self.io, &name, vector(state, changes, guard)).await {
                Ok(_) => return Ok(written),
                Err(error) => error,
            };
            if guard == Guard::None || error.errno() != Errno::ENOENT {
                return Err(Error::osd(format!("change {name}"))(error).into());
            }
            if guard == Guard::SkipIfMissing {
                return Ok(Written::NoParent);
            }
            written = match self.copyups.run(&self.io, state, object_no).await? {
                Copyup::Copied => Written::Copied,
                Copyup::Hole => Written::Hole,
                Copyup::NoParent => Written::NoParent,
            };
            match (written, guard) {
                (Written::Copied, _) => {}
                (_, Guard::CopyUpOrSkip) => return Ok(written),
                _ => guard = Guard::None,
            }
        }
        let text = format!("change {name}: it was removed {ROUNDS_MAX} times while it was written");
        Err(Error::refused(Errno::EAGAIN, text).into())
    }
}

fn vector(state: &ImageState, changes: &[Change], guard: Guard) -> ObjectOp {
    let op = if guard == Guard::None { ObjectOp::new() } else { ObjectOp::new().assert_exists() };
    // An empty write only asks whether the object exists.
    let tells_snapshots = !changes.is_empty() && !planted::is(planted::Mistake::WriteWithoutSnapshots);
    let op = if tells_snapshots { op.snap_context(state.snap_context()) } else { op };
    changes.iter().cloned().fold(op, |op, change| match change {
        Change::Write { offset, data } => op.write(offset, data),
        Change::Zero { offset, length } => op.zero(offset, length),
        Change::Truncate { size } => op.truncate(size),
        Change::Create => op.create(false),
        Change::Remove => op.remove(),
        Change::Rollback { snap_id } => op.rollback(snap_id),
    })
}
