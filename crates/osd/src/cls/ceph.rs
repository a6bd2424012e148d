//! Ceph's encodings: at a method's door, and of what is stored.

use bytes::Bytes;
use ceph_wire::Wire;
use errno::Errno;

use crate::error::{Outcome, refuse};

/// EINVAL for input that is too short or means nothing. What follows it is of no concern: newer clients append.
pub(super) fn decode<T: Wire>(input: &Bytes) -> Outcome<T> {
    ceph_wire::from_bytes(input)
        .or_else(|error| refuse(Errno::EINVAL, format!("the input does not decode: {error}")))
}

pub(super) fn reply(output: &impl Wire) -> Outcome<Bytes> {
    Ok(ceph_wire::to_bytes(output))
}

/// What a class itself has stored; EIO if somebody else wrote over it.
pub(super) fn stored<T: Wire>(what: &str, value: &[u8]) -> Outcome<T> {
    ceph_wire::from_bytes(value)
        .or_else(|error| refuse(Errno::EIO, format!("{what} does not decode: {error}")))
}
