//! Data objects: whether one was written since a snapshot, for deep copies that several clients make.

use bytes::Bytes;
use ceph_wire::cls::SnapcSeqState;
use errno::Errno;

use crate::cls::ceph::decode;
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[Method::ceph_writes("assert_snapc_seq", assert)];

/// An object that is not there was written under no snapshot. EOPNOTSUPP for another question than these two.
fn assert(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (seq, wanted): (u64, u8) = decode(input)?;
    let Some(wanted) = SnapcSeqState::from_number(wanted) else {
        return refuse(Errno::EOPNOTSUPP, format!("{wanted} is no relation of snap_seqs"));
    };
    let found = target.stored_snap_seq()?;
    let is_older = found.is_none_or(|found| found < seq);
    match is_older == (wanted == SnapcSeqState::Older) {
        true => done(Ok(())),
        false => {
            refuse(Errno::ERANGE, format!("the object was written under snap_seq {found:?}, asked for {seq}"))
        }
    }
}
