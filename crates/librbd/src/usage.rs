use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use errno::Errno;
use rados::{ObjectOp, ObjectSnaps};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::names;
use crate::opened::OpenImage;
use crate::state::{ImageState, Snapshot};
use crate::throttle::for_each_object;

/// What one snapshot, or HEAD, takes up beyond the snapshot before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// `None` = HEAD.
    pub snapshot: Option<Snapshot>,
    /// Bytes of the image then.
    pub size: u64,
    /// Bytes of the objects that exist then and are not as they were at the snapshot before. Whole objects count, as far as they
    /// belong to the image: how far one is filled, or what of it has changed, makes no difference. Nothing of a parent counts.
    pub used: u64,
}

/// What every snapshot of an image and its HEAD take up, oldest first; those in the trash do not count. The rule is that of Ceph's
/// DiffIterate over whole objects without an object map. `progress` gets objects done and all objects.
pub(crate) async fn usage(image: &OpenImage, progress: impl FnMut(u64, u64)) -> Result<Vec<Usage>> {
    let state = image.state();
    let mut snapshots: Vec<_> = state.named_snapshots().cloned().collect();
    snapshots.reverse();
    let used = match snapshots.as_slice() {
        [] => vec![used_by_head(image, &state).await?],
        snapshots => used_since_each(image, &state, snapshots, progress).await?,
    };
    let sizes = snapshots.iter().map(|snapshot| snapshot.size).chain([state.size]).collect::<Vec<_>>();
    let whose = snapshots.into_iter().map(Some).chain([None]);
    let rows = whose.zip(sizes).zip(used);
    Ok(rows.map(|((snapshot, size), used)| Usage { snapshot, size, used }).collect())
}

/// Without snapshots the pool's list of objects says it all.
async fn used_by_head(image: &OpenImage, state: &ImageState) -> Result<u64> {
    let prefix = format!("{}.", state.object_prefix);
    let listing = image.io.list_objects(&prefix).await;
    let objects = listing.map_err(Error::osd(format!("list the objects of image {}", image.name)))?;
    let numbers = objects.iter().filter_map(|name| u64::from_str_radix(name.strip_prefix(&prefix)?, 16).ok());
    Ok(numbers.map(|number| state.layout.object_bytes(number, state.size)).sum())
}

/// Of each snapshot, and of HEAD at the end. The pool's list does not have objects that only snapshots still have: every number is
/// asked for.
async fn used_since_each(
    image: &OpenImage,
    state: &ImageState,
    snapshots: &[Snapshot],
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<u64>> {
    let moments = || {
        let of = |snapshot: &Snapshot| (Moment::Snapshot(snapshot.id), snapshot.size);
        snapshots.iter().map(of).chain([(Moment::Head, state.size)])
    };
    let largest = moments().map(|(_, size)| size).max().unwrap_or(0);
    let total = state.layout.object_count(largest);
    let used: Vec<_> = moments().map(|_| AtomicU64::new(0)).collect();
    let add = async |number: u64| {
        let Some(kept) = kept_of(image, state, number).await? else { return Ok(()) };
        let mut before = None;
        for ((moment, size), used) in moments().zip(&used) {
            let now = state_at(&kept, moment);
            if now.is_some() && now != before {
                used.fetch_add(state.layout.object_bytes(number, size), Ordering::Relaxed);
            }
            before = now;
        }
        Ok(())
    };
    let width = image.config.rbd_concurrent_management_ops;
    let never = CancellationToken::new();
    for_each_object(0..total, width, &never, |done| progress(done, total), add).await?;
    Ok(used.into_iter().map(AtomicU64::into_inner).collect())
}

/// `None` = it exists nowhere.
async fn kept_of(image: &OpenImage, state: &ImageState, number: u64) -> Result<Option<ObjectSnaps>> {
    let name = names::data(&state.object_prefix, number);
    let attempted = format!("list the snapshots of object {number} of image {}", image.name);
    let io = state.data_pool.as_ref().unwrap_or(&image.io);
    match io.operate(&name, ObjectOp::new().list_snaps()).await {
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        reply => reply.and_then(|reply| reply.snaps(0)).map(Some).map_err(Error::osd(attempted)),
    }
}

/// When an object is looked at.
#[derive(Clone, Copy)]
enum Moment {
    Snapshot(u64),
    Head,
}

/// Which of an object's states a moment sees. Two moments that see the same one see the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Clone(u64),
    Head,
}

/// `None` = the object did not exist then. A clone is what the snapshots from its oldest to its newest saw; HEAD is what those saw that are newer than
/// the last write's.
fn state_at(kept: &ObjectSnaps, moment: Moment) -> Option<Seen> {
    let head = kept.head_exists.then_some(Seen::Head);
    let Moment::Snapshot(id) = moment else { return head };
    let span = |snaps: &[u64]| -> Option<RangeInclusive<u64>> { Some(*snaps.last()?..=*snaps.first()?) };
    let clone = kept.clones.iter().find(|clone| span(&clone.snaps).is_some_and(|span| span.contains(&id)));
    clone.map(|clone| Seen::Clone(clone.id)).or_else(|| head.filter(|_| id > kept.seq))
}

#[cfg(test)]
mod tests {
    use rados::ObjectClone;

    use super::*;

    #[test]
    fn a_snapshot_sees_the_clone_that_spans_it_or_a_head_not_written_since() {
        let clone = |snaps: &[u64]| ObjectClone { id: snaps[0], snaps: snaps.to_vec(), size: 1 };
        let kept = ObjectSnaps { seq: 8, clones: vec![clone(&[5, 3]), clone(&[8])], head_exists: true };
        let at = |id| state_at(&kept, Moment::Snapshot(id));
        assert_eq!(at(2), None, "it did not exist yet");
        assert_eq!((at(3), at(5)), (Some(Seen::Clone(5)), Some(Seen::Clone(5))));
        assert_eq!(at(7), None, "it was removed, and created again before 8");
        assert_eq!(at(8), Some(Seen::Clone(8)));
        assert_eq!(at(9), Some(Seen::Head));
        assert_eq!(state_at(&kept, Moment::Head), Some(Seen::Head));
        let removed = ObjectSnaps { head_exists: false, ..kept };
        assert_eq!(state_at(&removed, Moment::Snapshot(9)), None);
        assert_eq!(state_at(&removed, Moment::Head), None);
    }
}
