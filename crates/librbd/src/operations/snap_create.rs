//! Snapshot create (facts 7.3, without quiesce and object map).

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rbd_protocol::Operation;

use super::Run;
use crate::error::{Error, Result};
use crate::gate::Reason;
use crate::image::Image;
use crate::names;
use crate::progress::CallOptions;

/// The pool's next id, which comes with the snapshot: an owner that dies leaves no id without one.
const NEXT: u64 = 0;

impl Image {
    /// Creates a snapshot. EEXIST for a name that is taken; EINVAL for one that cannot be a name.
    pub async fn snap_create(&self, name: &str, options: CallOptions) -> Result<()> {
        names::check_snap_name(name)?;
        self.invoke(Operation::SnapCreate { name: name.to_owned() }, options).await
    }
}

/// EEXIST for a name that is taken. No write is under way while the snapshot comes to be.
pub(super) async fn run(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    names::check_snap_name(name)?;
    run.check_writable()?;
    if run.look().await?.snapshot_by_name(name).is_some() {
        return Err(Error::refused(
            Errno::EEXIST,
            format!("image {} has a snapshot {name} already", image.name),
        ));
    }
    run.check_cancelled()?;
    let _quiet = match planted::is(planted::Mistake::SnapshotUndrained) {
        false => Some(image.quiet(Reason::Snapshot).await),
        true => None,
    };
    let _turn = image.queues.commit().await;
    let what = format!("create snapshot {name} of image {}", image.name);
    let input = cls::SnapshotAdd { id: NEXT, name: name.to_owned(), created_unix_ms: 0 };
    run.commit(&what, |op| op.exec("rbd", "snapshot_add", &input)).await
}
