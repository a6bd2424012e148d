//! Data objects: bringing the parent's bytes in, unless somebody else was first. An object that exists is newer than what the
//! parent has: nothing is written then.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{Copyup, SparseCopyup};

use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "copyup",
        |target, _, input| done(copyup(target, protobuf::decode::<Copyup>(input)?.data)),
        |target, _, input| done(copyup(target, input.clone())),
    ),
    Method::writes(
        "sparse_copyup",
        |target, _, input| {
            let SparseCopyup { extents } = protobuf::decode(input)?;
            let extents = extents.into_iter().map(|extent| (extent.offset, extent.data)).collect();
            done(sparse_copyup(target, extents))
        },
        |target, _, input| {
            let (lengths, data) = ceph::decode(input)?;
            done(sparse_copyup(target, extents(lengths, &data)?))
        },
    ),
];

fn copyup(target: &mut Target<'_>, data: Bytes) -> Outcome<()> {
    if target.exists() { Ok(()) } else { target.write(0, data) }
}

/// The same with holes; no extents at all create an empty object.
fn sparse_copyup(target: &mut Target<'_>, extents: Vec<(u64, Bytes)>) -> Outcome<()> {
    if target.exists() {
        return Ok(());
    }
    target.create()?;
    extents.into_iter().try_for_each(|(offset, data)| target.write(offset, data))
}

/// The data of each extent, which lies there one after the other. EINVAL if there is too little of it.
fn extents(lengths: BTreeMap<u64, u64>, data: &Bytes) -> Outcome<Vec<(u64, Bytes)>> {
    let (mut rest, given) = (data.clone(), data.len());
    let mut take = |(offset, length): (u64, u64)| match usize::try_from(length) {
        Ok(length) if length <= rest.len() => Ok((offset, rest.split_to(length))),
        _ => refuse(Errno::EINVAL, format!("an extent of {length} bytes has less of the {given} that came")),
    };
    lengths.into_iter().map(&mut take).collect()
}
