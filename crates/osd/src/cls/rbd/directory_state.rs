//! Whether images may be added to a pool's namespace, in the omap of its `rbd_directory`.

use bytes::Bytes;
use ceph_wire::cls::DirectoryState;
use errno::Errno;

use super::entries;
use crate::cls::ceph::decode;
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] =
    &[Method::ceph_reads("dir_state_assert", assert), Method::ceph_writes("dir_state_set", set)];

const KEY: &str = "state";
/// What the keys of images begin with.
const NAME: &str = "name_";

/// ENOENT when it is another one, or none.
fn assert(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let wanted: DirectoryState = decode(input)?;
    match entries::find::<DirectoryState>(target, KEY)? {
        Some(state) if state == wanted => done(Ok(())),
        found => refuse(Errno::ENOENT, format!("the directory is {found:?}, not {wanted:?}")),
    }
}

/// EBUSY when nothing may be added any more to a directory with images.
fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let state: DirectoryState = decode(input)?;
    if state == DirectoryState::AddDisabled && !entries::page(target, NAME, "", 1)?.is_empty() {
        return refuse(Errno::EBUSY, "the directory has images");
    }
    done(entries::set(target, KEY, &state))
}
