//! What Ceph's clients ask of objects, as the OSD's core knows it.

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, OsdOpRequest, code, flag, op_flag};
use ceph_wire::{Hobject, Message, WireError};
use errno::Errno;
use osd::op::{SnapContext, Terms, Vector};
use store::{HashPlace, Name};

use super::ops;

/// HEAD, where a snapshot could be named.
pub(super) const NOSNAP: u64 = -2_i64 as u64;
/// Every state, for `list-snaps`.
const SNAPDIR: u64 = -1_i64 as u64;
/// Bytes of what is hashed instead of an object's name, as the OSD's `osd_max_object_name_len`.
const LOCATOR_KEY_BYTES_MAX: usize = 2048;
/// Every namespace, where one could be named.
const ALL_NAMESPACES: &[u8] = b"\x01";

/// One message to the OSD.
#[derive(Clone)]
pub(super) struct Asked {
    /// As it came.
    pub(super) request: OsdOpRequest,
    /// Of the message.
    pub(super) tid: u64,
    pub(super) what: What,
}

/// What it asks for.
#[derive(Clone)]
pub(super) enum What {
    /// On one object; the name of its pool is to be put in.
    Vector(Vector),
    /// Names of objects.
    List(List),
    /// Nothing that is known here.
    Refused(Errno),
}

/// A page of a pool's objects, in the order of their hashes.
#[derive(Clone)]
pub(super) struct List {
    /// `None` = of all namespaces.
    pub(super) namespace: Option<Name>,
    pub(super) from: HashPlace,
    pub(super) max: usize,
}

impl Asked {
    pub(super) fn read(message: &Message) -> Result<Self, WireError> {
        let request: OsdOpRequest = message.read()?;
        let what = what(&request, message.data.clone()).unwrap_or_else(What::Refused);
        Ok(Self { request, tid: message.tid, what })
    }

    /// The number of the pool.
    pub(super) fn pool(&self) -> u64 {
        self.request.head.spg.pg.pool
    }
}

fn what(request: &OsdOpRequest, mut data: Bytes) -> Result<What, Errno> {
    let OsdOpRequest { head, ops, tail } = request;
    if head.flags & flag::PARALLELEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    if head.locator.key.len() > LOCATOR_KEY_BYTES_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut inputs = ops.iter().map(|op| {
        let bytes = op.data_bytes as usize;
        if bytes > data.len() { Err(Errno::EINVAL) } else { Ok((op, data.split_to(bytes))) }
    });
    if ops.len() == 1 && ops[0].code == code::PGNLS {
        let (op, input) = inputs.next().expect("there is one")?;
        return list(op, &input, &head.locator.namespace).map(What::List);
    }
    let is_of_all_states = tail.snap_id == SNAPDIR;
    if ops.iter().any(|op| op.code == code::LIST_SNAPS) && !is_of_all_states {
        return Err(Errno::EINVAL);
    }
    let vector_ops = inputs.map(|input| input.and_then(|(op, input)| ops::op(op, input)));
    let vector_ops = vector_ops.collect::<Result<_, _>>()?;
    let context = &tail.snap_context;
    Ok(What::Vector(Vector {
        pool: String::new(),
        namespace: head.locator.namespace.as_ref().into(),
        object: head.oid.as_ref().into(),
        snap_id: snap_id(tail.snap_id).filter(|_| !is_of_all_states),
        snap_context: SnapContext { seq: context.seq, snaps: context.snaps.clone() },
        terms: terms(request),
        ops: vector_ops,
    }))
}

fn terms(OsdOpRequest { head, ops, .. }: &OsdOpRequest) -> Terms {
    let may_fail = ops.iter().enumerate().filter(|(_, op)| op.flags & op_flag::FAILOK != 0);
    let mtime = u64::from(head.mtime.seconds) * 1_000_000_000 + u64::from(head.mtime.nanoseconds);
    Terms {
        returns: head.flags & flag::RETURNVEC != 0,
        is_snap_ordered: head.flags & flag::ORDERSNAP != 0,
        mtime_unix_ns: (mtime != 0).then_some(mtime),
        may_fail: may_fail.map(|(index, _)| index).collect(),
        ..Terms::ceph()
    }
}

/// `None` = HEAD.
pub(super) fn snap_id(number: u64) -> Option<u64> {
    (number != NOSNAP).then_some(number)
}

fn list(op: &OsdOp, input: &[u8], namespace: &[u8]) -> Result<List, Errno> {
    let (count, _epoch): (u64, u32) = op.argument().map_err(undecodable)?;
    let Hobject { oid, hash, namespace: from_namespace, .. } =
        ceph_wire::from_bytes(input).map_err(undecodable)?;
    let from = HashPlace {
        hash: hash.reverse_bits(),
        namespace: from_namespace.as_ref().into(),
        name: oid.as_ref().into(),
    };
    let namespace = (namespace != ALL_NAMESPACES).then(|| namespace.into());
    Ok(List { namespace, from, max: usize::try_from(count).unwrap_or(usize::MAX) })
}

/// An op's input that does not decode.
pub(super) fn undecodable(_: WireError) -> Errno {
    Errno::EINVAL
}
