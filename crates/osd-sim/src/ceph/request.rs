//! What Ceph's clients ask of objects, as the OSD's core knows it.

use bytes::Bytes;
use ceph_wire::osd::{Call, Extent, OsdOp, OsdOpRequest, Watch, Xattr, code, flag, op_flag, watch_op};
use ceph_wire::{Hobject, Message, Reader, Wire, WireError};
use errno::Errno;
use osd::Millis;
use osd::op::{Dialect, Op, SnapContext, Terms, Vector};
use store::{HashPlace, Name};

/// HEAD, where a snapshot could be named.
pub(super) const NOSNAP: u64 = -2_i64 as u64;
/// Every state, for `list-snaps`.
const SNAPDIR: u64 = -1_i64 as u64;
/// Every namespace, where one could be named.
const ALL_NAMESPACES: &[u8] = b"\x01";

/// One message to the OSD.
pub(super) struct Asked {
    /// As it came.
    pub(super) request: OsdOpRequest,
    /// Of the message.
    pub(super) tid: u64,
    pub(super) what: What,
}

/// What it asks for.
pub(super) enum What {
    /// On one object; the name of its pool is to be put in.
    Vector(Vector),
    /// Names of objects.
    List(List),
    /// Nothing that is known here.
    Refused(Errno),
}

/// A page of a pool's objects, in the order of their hashes.
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
    let mut inputs = ops.iter().map(|op| {
        let bytes = op.data_bytes as usize;
        if bytes > data.len() { Err(Errno::EINVAL) } else { Ok((op, data.split_to(bytes))) }
    });
    if ops.len() == 1 && ops[0].code == code::PGNLS {
        let (op, input) = inputs.next().expect("there is one")?;
        return list(op, &input, &head.locator.namespace).map(What::List);
    }
    let vector_ops = inputs.map(|input| input.and_then(|(op, input)| self::op(op, input)));
    let vector_ops = vector_ops.collect::<Result<_, _>>()?;
    let may_fail = ops.iter().enumerate().filter(|(_, op)| op.flags & op_flag::FAILOK != 0);
    let mtime = u64::from(head.mtime.seconds) * 1_000_000_000 + u64::from(head.mtime.nanoseconds);
    let terms = Terms {
        returns: head.flags & flag::RETURNVEC != 0,
        is_snap_ordered: head.flags & flag::ORDERSNAP != 0,
        mtime_unix_ns: (mtime != 0).then_some(mtime),
        may_fail: may_fail.map(|(index, _)| index).collect(),
        ..Terms::ceph()
    };
    let context = &tail.snap_context;
    Ok(What::Vector(Vector {
        pool: String::new(),
        namespace: head.locator.namespace.as_ref().into(),
        object: head.oid.as_ref().into(),
        snap_id: (!matches!(tail.snap_id, NOSNAP | SNAPDIR)).then_some(tail.snap_id),
        snap_context: SnapContext { seq: context.seq, snaps: context.snaps.clone() },
        terms,
        ops: vector_ops,
    }))
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

fn op(op: &OsdOp, input: Bytes) -> Result<Op, Errno> {
    let extent = || op.argument::<Extent>().map_err(undecodable);
    Ok(match op.code {
        code::READ | code::SYNC_READ => {
            let Extent { offset, length, .. } = extent()?;
            Op::Read { offset, length }
        }
        code::SPARSE_READ => {
            let Extent { offset, length, .. } = extent()?;
            Op::SparseRead { offset, length }
        }
        code::STAT => Op::Stat {},
        code::ASSERT_VER => {
            let (_, version): (u64, u64) = op.argument().map_err(undecodable)?;
            Op::AssertVersion { version }
        }
        code::WRITE => Op::Write { offset: extent()?.offset, data: input },
        code::WRITEFULL => Op::WriteFull { data: input },
        code::TRUNCATE => Op::Truncate { size: extent()?.offset },
        code::ZERO => {
            let Extent { offset, length, .. } = extent()?;
            Op::Zero { offset, length }
        }
        code::CREATE => Op::Create { exclusive: op.flags & op_flag::EXCL != 0 },
        code::DELETE => Op::Remove {},
        code::ROLLBACK => Op::Rollback { snap_id: op.argument().map_err(undecodable)? },
        code::LIST_SNAPS => Op::ListSnaps {},
        code::GETXATTR => Op::GetXattr { name: xattr(op, &input)?.0 },
        code::GETXATTRS => Op::ListXattrs {},
        code::SETXATTR => {
            let (name, value) = xattr(op, &input)?;
            Op::SetXattr { name, value }
        }
        code::RMXATTR => Op::RemoveXattr { name: xattr(op, &input)?.0 },
        code::OMAP_GET_VALS => {
            let (after, max, prefix): (Bytes, u64, Bytes) = three(&input)?;
            Op::OmapList { after: name(&after), prefix: name(&prefix), max: at_most(max) }
        }
        code::OMAP_GET_KEYS => {
            let (after, max): (Bytes, u64) = decoded(&input)?;
            Op::OmapList { after: name(&after), prefix: Name::default(), max: at_most(max) }
        }
        code::OMAP_GET_VALS_BY_KEYS => Op::OmapGet { keys: names(&input)? },
        code::OMAP_SET_VALS => {
            let entries: Vec<(Bytes, Bytes)> = decoded(&input)?;
            Op::OmapSet { entries: entries.into_iter().map(|(key, value)| (name(&key), value)).collect() }
        }
        code::OMAP_RM_KEYS => Op::OmapRemove { keys: names(&input)? },
        code::WATCH => watch(op.argument().map_err(undecodable)?)?,
        code::NOTIFY => {
            let cookie = op.argument().map_err(undecodable)?;
            let (_form, seconds, payload): (u32, u32, Bytes) = three(&input)?;
            Op::Notify { cookie, timeout: seconds_long(seconds), payload }
        }
        code::NOTIFY_ACK => {
            let mut reader = Reader::new(&input);
            let (notify_id, cookie) = <(u64, u64)>::take(&mut reader).map_err(undecodable)?;
            // Old clients say nothing.
            let payload = if reader.is_empty() { Ok(Bytes::new()) } else { Bytes::take(&mut reader) };
            Op::NotifyAck { notify_id, cookie, payload: payload.map_err(undecodable)? }
        }
        code::LIST_WATCHERS => Op::ListWatchers {},
        code::CALL => {
            let call: Call = op.argument().map_err(undecodable)?;
            let (class, method, input) = call.split(&input).ok_or(Errno::EINVAL)?;
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            Op::Exec { class: text(&class), method: text(&method), dialect: Dialect::Ceph, input }
        }
        _ => return Err(Errno::EOPNOTSUPP),
    })
}

fn watch(Watch { cookie, op, timeout, .. }: Watch) -> Result<Op, Errno> {
    Ok(match op {
        watch_op::WATCH | watch_op::LEGACY_WATCH => Op::Watch { cookie, timeout: seconds_long(timeout) },
        watch_op::RECONNECT => Op::Reconnect { cookie },
        watch_op::PING => Op::Ping { cookie },
        watch_op::UNWATCH => Op::Unwatch { cookie },
        _ => return Err(Errno::EINVAL),
    })
}

/// 0 asks for the usual time.
fn seconds_long(seconds: u32) -> Millis {
    Millis(u64::from(seconds) * 1000)
}

/// Name and value of what an op does to an xattr.
fn xattr(op: &OsdOp, input: &Bytes) -> Result<(Name, Bytes), Errno> {
    let Xattr { name_bytes, value_bytes, .. } = op.argument().map_err(undecodable)?;
    let (end_of_name, end) = (name_bytes as usize, name_bytes as usize + value_bytes as usize);
    if end > input.len() {
        return Err(Errno::EINVAL);
    }
    Ok((input[..end_of_name].into(), input.slice(end_of_name..end)))
}

fn names(input: &[u8]) -> Result<Vec<Name>, Errno> {
    let names: Vec<Bytes> = decoded(input)?;
    Ok(names.iter().map(|name| self::name(name)).collect())
}

fn name(bytes: &[u8]) -> Name {
    bytes.into()
}

fn at_most(max: u64) -> u32 {
    u32::try_from(max).unwrap_or(u32::MAX)
}

fn decoded<T: Wire>(input: &[u8]) -> Result<T, Errno> {
    ceph_wire::from_bytes(input).map_err(undecodable)
}

fn three<A: Wire, B: Wire, C: Wire>(input: &[u8]) -> Result<(A, B, C), Errno> {
    let mut reader = Reader::new(input);
    let first = <(A, B)>::take(&mut reader).map_err(undecodable)?;
    Ok((first.0, first.1, C::take(&mut reader).map_err(undecodable)?))
}

/// An op's input that does not decode.
fn undecodable(_: WireError) -> Errno {
    Errno::EINVAL
}
