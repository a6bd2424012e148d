//! Snapshot create (facts 7.3, without quiesce and object map).

use errno::Errno;
use proto::cls::rbd::v1 as cls;

use super::Run;
use crate::error::{Error, Result};
use crate::gate::Reason;
use crate::names;

/// Ids that are tried. Each further one is needed only when a newer one got into this image in between, which without the
/// exclusive lock another client's snapshot can do.
const IDS_MAX: usize = 64;

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
    let _quiet = image.quiet(Reason::Snapshot).await;
    let _turn = image.queues.commit().await;
    let mut tried = 0;
    loop {
        tried += 1;
        match add(run, name).await {
            Err(error) if error.errno() == Errno::ESTALE && tried < IDS_MAX => {}
            result => return result,
        }
    }
}

/// One attempt under a new id, which is given back when it comes to nothing.
async fn add(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    let what = format!("create snapshot {name} of image {}", image.name);
    let id = image.io.allocate_snap_id().await.map_err(Error::osd(&*what))?;
    let input = cls::SnapshotAdd { id, name: name.to_owned(), created_unix_ms: 0 };
    let result = run.commit(&what, |op| op.exec("rbd", "snapshot_add", &input)).await;
    let is_refused = result.as_ref().is_err_and(|error| !matches!(error.errno(), Errno::EBLOCKLISTED));
    if is_refused && image.state().snapshot(id).is_none() {
        // An error here does not hide the first one.
        if let Err(error) = image.io.remove_snap_id(id).await {
            tracing::debug!(id, %error, "unused snapshot id was not given back");
        }
    }
    result
}
