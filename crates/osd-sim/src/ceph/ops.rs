//! Ceph's ops, as the OSD's core knows them.

use bytes::Bytes;
use ceph_wire::osd::{Call, Extent, OsdOp, Watch, Xattr, code, op_flag, watch_op};
use ceph_wire::{ObjectLocator, Reader, Wire};
use errno::Errno;
use osd::Millis;
use osd::op::{Checksum, Comparison, Dialect, Op, Operand, Source};
use store::{Name, PoolId};

use super::request::undecodable;

pub(super) fn op(op: &OsdOp, input: Bytes) -> Result<Op, Errno> {
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
        code::CMPEXT => Op::CompareExtent { offset: extent()?.offset, data: input },
        code::CHECKSUM => checksum(op, &input)?,
        code::STAT => Op::Stat {},
        code::ASSERT_VER => {
            let (_, version): (u64, u64) = op.argument().map_err(undecodable)?;
            Op::AssertVersion { version }
        }
        code::WRITE => Op::Write { offset: extent()?.offset, data: input },
        code::WRITEFULL => Op::WriteFull { data: input },
        code::WRITESAME => {
            let (offset, length): (u64, u64) = op.argument().map_err(undecodable)?;
            Op::WriteSame { offset, length, data: input }
        }
        code::APPEND => Op::Append { data: input },
        code::TRUNCATE => Op::Truncate { size: extent()?.offset },
        code::ZERO => {
            let Extent { offset, length, .. } = extent()?;
            Op::Zero { offset, length }
        }
        code::COPY_FROM | code::COPY_FROM2 => copy_from(op, &input)?,
        code::SET_ALLOC_HINT => Op::SetAllocHint {},
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
        code::CMPXATTR => compare_xattr(op, &input)?,
        code::RMXATTR => Op::RemoveXattr { name: xattr(op, &input)?.0 },
        code::OMAP_GET_VALS => {
            let (after, max, prefix): (Bytes, u64, Bytes) = three(&input)?;
            Op::OmapList { after: name(&after), prefix: name(&prefix), max: at_most(max) }
        }
        code::OMAP_GET_KEYS => {
            let (after, max): (Bytes, u64) = decoded(&input)?;
            Op::OmapKeys { after: name(&after), max: at_most(max) }
        }
        code::OMAP_GET_HEADER => Op::OmapHeader {},
        code::OMAP_SET_HEADER => Op::OmapSetHeader { header: input },
        code::OMAP_CLEAR => Op::OmapClear {},
        code::OMAP_RM_KEY_RANGE => {
            let (from, to): (Bytes, Bytes) = decoded(&input)?;
            Op::OmapRemoveRange { from: name(&from), to: name(&to) }
        }
        code::OMAP_CMP => omap_cmp(&input)?,
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
        code => Op::Unsupported { code },
    })
}

/// The argument of a checksum, whose data is what it begins with.
fn checksum(op: &OsdOp, input: &[u8]) -> Result<Op, Errno> {
    let ((offset, length), (chunk, kind)): ((u64, u64), (u32, u8)) = op.argument().map_err(undecodable)?;
    let kind = match kind {
        0 => Checksum::XxHash32(decoded(input)?),
        1 => Checksum::XxHash64(decoded(input)?),
        2 => Checksum::Crc32c(decoded(input)?),
        _ => return Err(Errno::EINVAL),
    };
    Ok(Op::Checksum { kind, offset, length, chunk })
}

/// What follows the source's place is of no concern.
fn copy_from(op: &OsdOp, input: &[u8]) -> Result<Op, Errno> {
    let (snap_id, version): (u64, u64) = op.argument().map_err(undecodable)?;
    let (object, ObjectLocator { pool, namespace, .. }): (Bytes, ObjectLocator) = decoded(input)?;
    let pool = PoolId(u64::try_from(pool).map_err(|_| Errno::EINVAL)?);
    let snap_id = super::request::snap_id(snap_id);
    let source = Source { pool, namespace: name(&namespace), object: name(&object), snap_id };
    Ok(Op::CopyFrom { source, version })
}

fn compare_xattr(op: &OsdOp, input: &Bytes) -> Result<Op, Errno> {
    /// How the value is meant.
    const TEXT: u8 = 1;
    const NUMBER: u8 = 2;
    let Xattr { comparison, mode, .. } = op.argument().map_err(undecodable)?;
    let (name, value) = xattr(op, input)?;
    let value = match mode {
        TEXT => Operand::Bytes(value),
        NUMBER => Operand::Number(decoded(&value)?),
        _ => return Err(Errno::EINVAL),
    };
    let comparison = Comparison::from_number(comparison).ok_or(Errno::EINVAL)?;
    Ok(Op::CompareXattr { name, comparison, value })
}

fn omap_cmp(input: &[u8]) -> Result<Op, Errno> {
    let assertions: Vec<(Bytes, (Bytes, i32))> = decoded(input)?;
    let assertion = |(key, (value, comparison)): (Bytes, (Bytes, i32))| {
        let comparison = u8::try_from(comparison).ok().and_then(Comparison::from_number);
        Ok((name(&key), (value, comparison.ok_or(Errno::EINVAL)?)))
    };
    let assertions = assertions.into_iter().map(assertion).collect::<Result<_, _>>()?;
    Ok(Op::OmapCompareAll { assertions })
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
