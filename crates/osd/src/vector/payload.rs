//! How many bytes a vector carries, up and down. The way down counts its framing too: the reply to a vector within the
//! limit always fits into a message.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;

use crate::error::{Outcome, refuse};
use crate::limits::Limits;
use crate::op::{ObjectClone, Op, OpResult};

/// Most bytes by which encoding lengthens a piece of data, a pair of key and value, or a clone without its snapshots:
/// the tags, the lengths and two numbers.
const FRAMING_BYTES: u64 = 32;

/// Most bytes of one snapshot id of a clone.
const SNAP_ID_BYTES: u64 = 10;

/// E2BIG above `payload_bytes_max`; `what` says which side it is, ops or results.
pub(super) fn check(limits: &Limits, what: &str, bytes: u64) -> Outcome<()> {
    let max = limits.payload_bytes_max;
    if bytes > max {
        return refuse(
            Errno::E2BIG,
            format!("{bytes} bytes of {what} are more than payload_bytes_max = {max}"),
        );
    }
    Ok(())
}

pub(super) fn of_op(op: &Op) -> u64 {
    let bytes = match op {
        Op::Write { data, .. } | Op::WriteFull { data } => data.len(),
        Op::SetXattr { name, value } | Op::CompareXattr { name, value } => name.len() + value.len(),
        Op::OmapSet { entries } => return of_entries(entries),
        Op::OmapCompare { key, value } => key.len() + value.as_ref().map_or(0, Bytes::len),
        Op::OmapGet { keys } | Op::OmapRemove { keys } => keys.iter().map(String::len).sum(),
        Op::Exec { input, .. } => input.len(),
        _ => 0,
    };
    bytes as u64
}

pub(super) fn of_result(result: &OpResult) -> u64 {
    match result {
        OpResult::Read { length, .. } => *length,
        OpResult::SparseRead { data } => data.allocated() + framing(data.iter().count()),
        OpResult::Xattrs { entries } | OpResult::Omap { entries, .. } => {
            of_entries(entries) + framing(entries.len())
        }
        OpResult::Exec { output } => output.len() as u64,
        OpResult::ListSnaps { clones, .. } => clones.iter().map(of_clone).sum(),
        OpResult::Done | OpResult::Stat { .. } => 0,
    }
}

fn of_clone(clone: &ObjectClone) -> u64 {
    FRAMING_BYTES + SNAP_ID_BYTES * clone.snaps.len() as u64
}

fn framing(parts: usize) -> u64 {
    FRAMING_BYTES * parts as u64
}

fn of_entries(entries: &BTreeMap<String, Bytes>) -> u64 {
    entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64
}
