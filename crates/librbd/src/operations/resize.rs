//! Resize (facts 7.1).

use proto::cls::rbd::v1 as cls;
use rbd_protocol::Operation;

use super::{Run, trim};
use crate::error::{Error, Result};
use crate::gate::Reason;
use crate::image::Image;
use crate::progress::CallOptions;

impl Image {
    /// Changes the size, in bytes. EINVAL for a smaller one unless `allow_shrink`. Done, too, when another client set this size meanwhile.
    pub async fn resize(&self, size: u64, allow_shrink: bool, options: CallOptions) -> Result<()> {
        self.invoke(Operation::Resize { size, allow_shrink }, options).await
    }
}

/// EINVAL for a smaller size unless shrinking is allowed, and for one that needs too many objects.
pub(super) async fn run(run: &Run, size: u64, allow_shrink: bool) -> Result<()> {
    let image = &run.image;
    run.check_writable()?;
    let state = run.look().await?;
    run.check_cancelled()?;
    state.layout.check_image_size(size)?;
    let old = state.size;
    if size < old && !allow_shrink {
        return Err(Error::invalid(format!(
            "resize of image {} from {old} to {size} bytes: shrinking must be allowed by name",
            image.name
        )));
    }
    if size < old { shrink(run, size).await } else { set_size(run, size).await }
}

/// I/O beyond the smaller size ends first and is refused from then on; then the objects go, then the header says so.
async fn shrink(run: &Run, size: u64) -> Result<()> {
    let image = &run.image;
    let quiet = image.quiet(Reason::Resize).await;
    let _shrinking = image.shrinking_to(size);
    drop(quiet);
    let kept = match planted::is(planted::Mistake::TrimTooFar) {
        false => size,
        true => size.saturating_sub(image.state().layout.object_size()),
    };
    if !planted::is(planted::Mistake::ShrinkUntrimmed) {
        trim::run(run, kept, trim::Entry::ByPermit).await?;
    }
    run.check_cancelled()?;
    set_size(run, size).await
}

/// The state is swapped while no I/O is under way.
pub(super) async fn set_size(run: &Run, size: u64) -> Result<()> {
    let image = &run.image;
    let _quiet = image.quiet(Reason::Resize).await;
    let _turn = image.queues.commit().await;
    let what = format!("set the size of image {} to {size} bytes", image.name);
    run.commit(&what, |op| op.exec("rbd", "set_size", &cls::SetSize { size })).await
}
