//! How many bytes a vector carries, up and down. The way down counts its framing too: the reply to a vector within the
//! limit always fits into a message.

use bytes::Bytes;
use errno::Errno;
use store::{Name, ObjectClone};

use crate::error::{Outcome, refuse};
use crate::limits::Limits;
use crate::op::{Assertions, Checksum, Comparison, Door, Entries, OpResult, Operand, Output, Source};
use crate::{Millis, WatcherInfo};

/// Most bytes by which encoding lengthens a piece of data, a pair of key and value, or a clone without its snapshots:
/// the tags, the lengths and two numbers.
const FRAMING_BYTES: u64 = 32;

/// Most bytes of one snapshot id of a clone.
const SNAP_ID_BYTES: u64 = 10;

/// Bytes of one range of a clone's overlap.
const RANGE_BYTES: u64 = 16;

/// Most bytes that the ops of one vector of Ceph's clients carry, as RADOS' `osd_max_write_size` (EMSGSIZE).
const CEPH_OPS_BYTES_MAX: u64 = 90 << 20;

/// How many bytes the ops carry: E2BIG above `payload_bytes_max`, EMSGSIZE above what RADOS takes.
pub(super) fn check_ops(limits: &Limits, door: Door, bytes: u64) -> Outcome<()> {
    match door {
        Door::Grpc => check(bytes, "ops", "payload_bytes_max", limits.payload_bytes_max),
        Door::Ceph if bytes > CEPH_OPS_BYTES_MAX => {
            refuse(Errno::EMSGSIZE, format!("{bytes} bytes of ops are more than {CEPH_OPS_BYTES_MAX}"))
        }
        Door::Ceph => Ok(()),
    }
}

/// How many bytes the results carry: E2BIG above `payload_bytes_max`; to Ceph's clients a whole object can be answered.
pub(super) fn check_results(limits: &Limits, door: Door, bytes: u64) -> Outcome<()> {
    match door {
        Door::Grpc => check(bytes, "results", "payload_bytes_max", limits.payload_bytes_max),
        Door::Ceph => check(bytes, "results", "object_bytes_max", limits.object_bytes_max),
    }
}

fn check(bytes: u64, of: &str, limit: &str, max: u64) -> Outcome<()> {
    if bytes > max {
        return refuse(Errno::E2BIG, format!("{bytes} bytes of {of} are more than {limit} = {max}"));
    }
    Ok(())
}

/// What a field of an op carries of it.
pub(super) trait Carried {
    fn bytes(&self) -> u64;
}

/// Numbers and names of classes are no payload.
macro_rules! carry_nothing {
    ($($type:ty)*) => {
        $(impl Carried for $type {
            fn bytes(&self) -> u64 {
                0
            }
        })*
    };
}

carry_nothing! { u16 u32 u64 bool Checksum Comparison Millis }

impl Carried for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl Carried for Name {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl Carried for Option<Bytes> {
    fn bytes(&self) -> u64 {
        self.as_ref().map_or(0, Carried::bytes)
    }
}

impl Carried for Vec<Name> {
    fn bytes(&self) -> u64 {
        self.iter().map(Carried::bytes).sum()
    }
}

impl Carried for Entries {
    fn bytes(&self) -> u64 {
        self.iter().map(|(key, value)| key.bytes() + value.bytes()).sum()
    }
}

impl Carried for Operand {
    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.bytes(),
            Self::Number(_) => 0,
        }
    }
}

impl Carried for Assertions {
    fn bytes(&self) -> u64 {
        self.iter().map(|(key, (value, _))| key.bytes() + value.bytes()).sum()
    }
}

impl Carried for Source {
    fn bytes(&self) -> u64 {
        self.namespace.bytes() + self.object.bytes()
    }
}

/// How many bytes were read for a result: what it carries, and what it sums up.
pub(super) fn read_for(result: &OpResult) -> u64 {
    let summed = if let Output::Checksums { summed, .. } = &result.output { *summed } else { 0 };
    of_result(result) + summed
}

pub(super) fn of_result(result: &OpResult) -> u64 {
    match &result.output {
        Output::Read { length, .. } => *length,
        Output::SparseRead { data } => data.allocated() + framing(data.runs()),
        Output::Xattrs { entries } | Output::Omap { entries, .. } => entries.bytes() + framing(entries.len()),
        Output::Keys { keys, .. } => keys.bytes() + framing(keys.len()),
        Output::Header { header } => header.bytes(),
        Output::Checksums { checksums, .. } => checksums.bytes(),
        Output::Exec { output } => output.bytes(),
        Output::ListSnaps { clones, .. } => clones.iter().map(of_clone).sum(),
        Output::Watchers { watchers } => watchers.iter().map(of_watcher).sum(),
        Output::Done | Output::Stat { .. } | Output::Notified { .. } => 0,
    }
}

fn of_watcher(watcher: &WatcherInfo) -> u64 {
    FRAMING_BYTES + (watcher.address.len() + watcher.name.len()) as u64
}

fn of_clone(clone: &ObjectClone) -> u64 {
    FRAMING_BYTES + SNAP_ID_BYTES * clone.snaps.len() as u64 + RANGE_BYTES * clone.overlap.iter().len() as u64
}

fn framing(parts: usize) -> u64 {
    FRAMING_BYTES * parts as u64
}
