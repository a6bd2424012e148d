//! Data objects: bringing the parent's bytes in, unless somebody else was first.

use bytes::Bytes;
use proto::cls::rbd::v1::{Copyup, SparseCopyup};

use crate::cls::{decode, done};
use crate::error::Outcome;
use crate::vector::Caller;
use crate::vector::target::Target;

/// An object that exists is newer than what the parent has: nothing is written then.
pub(super) fn copyup(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let Copyup { data } = decode(input)?;
    if !target.exists() {
        target.write(0, data)?;
    }
    done()
}

/// The same with holes; no extents at all create an empty object.
pub(super) fn sparse_copyup(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SparseCopyup { extents } = decode(input)?;
    if target.exists() {
        return done();
    }
    target.create()?;
    for extent in extents {
        target.write(extent.offset, extent.data)?;
    }
    done()
}
