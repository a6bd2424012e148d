//! What an image, HEAD and snapshots, may still read from its parent.

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{
    Parent, ParentAttach, ParentGetReply, ParentOverlapGet, ParentOverlapGetReply, ParentSpec, Snapshot,
};

use super::record::{self, feature};
use crate::cls::done;
use crate::cls::protobuf::{decode, reply};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) fn get(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    reply(&ParentGetReply { parent: record::parent(target)? })
}

pub(super) fn overlap_get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let ParentOverlapGet { snap_id } = decode(input)?;
    record::check_image(target)?;
    let overlap = match snap_id {
        0 => record::parent(target)?.and_then(|parent| parent.head_overlap),
        id => record::snapshot(target, id)?.parent_overlap,
    };
    reply(&ParentOverlapGetReply { overlap })
}

pub(super) fn attach(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let ParentAttach { spec, parent_size } = decode(input)?;
    record::check_image(target)?;
    record::check_layering(target)?;
    let spec = check_spec(spec)?;
    let overlap = parent_size.min(record::number(target, record::SIZE)?);
    let wanted = Parent { spec: Some(spec), head_overlap: Some(overlap) };
    match record::parent(target)? {
        Some(parent) if parent == wanted => {}
        Some(_) => return refuse(Errno::EEXIST, "the image has a parent, or another overlap with this one"),
        None => record::set_parent(target, Some(&wanted))?,
    }
    done(Ok(()))
}

/// EINVAL unless every part is there.
pub(super) fn check_spec(spec: Option<ParentSpec>) -> Outcome<ParentSpec> {
    match spec {
        Some(spec) if !spec.pool.is_empty() && !spec.image_id.is_empty() && spec.snap_id > 0 => Ok(spec),
        _ => refuse(Errno::EINVAL, "a parent is named by pool, image id and snap id"),
    }
}

/// With deep-flatten the snapshots lose the parent with HEAD; without, the spec stays while one of them needs it.
pub(super) fn detach(target: &mut Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    let Some(parent) = record::parent(target)?.filter(|parent| parent.head_overlap.is_some()) else {
        return refuse(Errno::ENOENT, "HEAD has no parent");
    };
    if record::number(target, record::FEATURES)? & feature::DEEP_FLATTEN != 0 {
        for snapshot in record::snapshots(target)?.into_iter().filter(needs_parent) {
            record::set_snapshot(target, &Snapshot { parent_overlap: None, ..snapshot })?;
        }
    }
    record::set_parent(target, Some(&Parent { head_overlap: None, ..parent }))?;
    drop_if_unused(target)?;
    done(Ok(()))
}

/// Forgets the parent when neither HEAD nor a snapshot has an overlap with it.
pub(super) fn drop_if_unused(target: &mut Target<'_>) -> Outcome<()> {
    let is_flattened = record::parent(target)?.is_some_and(|parent| parent.head_overlap.is_none());
    if is_flattened && !record::snapshots(target)?.iter().any(needs_parent) {
        record::set_parent(target, None)?;
    }
    Ok(())
}

fn needs_parent(snapshot: &Snapshot) -> bool {
    snapshot.parent_overlap.is_some()
}
