//! How the answer to an op vector is kept: the results of its ops as values, their bytes by value.

use bytes::Bytes;
use ceph_wire::{Problem, Reader, Wire, WireError, Writer};
use store::{Extents, Intervals, Name, ObjectClone};

use crate::op::{Checksums, Entries, OpResult, Output};
use crate::session::{Answer, Stored};
use crate::{Millis, WatcherInfo};

/// What was refused has changed nothing and has no record.
impl Wire for Stored {
    fn put(&self, out: &mut Writer) {
        match self {
            Self::SnapId(snap_id) => (0u8, *snap_id).put(out),
            Self::Reply(reply) => {
                1u8.put(out);
                reply.as_ref().as_ref().expect("it has changed something").put(out);
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(from)? {
            0 => Ok(Self::SnapId(Wire::take(from)?)),
            1 => Ok(Self::Reply(Ok(Wire::take(from)?).into())),
            other => Err(unknown(other)),
        }
    }
}

/// Structs whose encoding is that of their fields in order.
macro_rules! in_order {
    ($($name:ident { $($field:ident),* })*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                $(self.$field.put(out);)*
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(Self { $($field: Wire::take(from)?,)* })
            }
        })*
    };
}

in_order! {
    Answer { version, number, results }
    OpResult { number, output }
    WatcherInfo { gid, cookie, address, name, timeout, is_connected, expires_in }
}

impl Wire for Millis {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Wire::take(from).map(Self)
    }
}

/// A number for the kind, and the fields.
impl Wire for Output {
    fn put(&self, out: &mut Writer) {
        match self {
            Self::Done => 0u8.put(out),
            Self::Read { data, offset, length } => (1u8, *offset, *length, pieces(data)).put(out),
            Self::SparseRead { data } => (2u8, pieces(data)).put(out),
            Self::Stat { size, version, mtime_unix_ns } => (3u8, *size, *version, *mtime_unix_ns).put(out),
            Self::Xattrs { entries } => (4u8, pairs(entries)).put(out),
            Self::Omap { entries, more } => (5u8, pairs(entries), *more).put(out),
            Self::Exec { output } => (6u8, output.clone()).put(out),
            Self::Keys { keys, more } => (7u8, keys.iter().map(bytes).collect::<Vec<_>>(), *more).put(out),
            Self::Header { header } => (8u8, header.clone()).put(out),
            Self::Checksums { checksums: Checksums::Narrow(checksums), summed } => {
                (9u8, checksums.clone(), *summed).put(out);
            }
            Self::Checksums { checksums: Checksums::Wide(checksums), summed } => {
                (10u8, checksums.clone(), *summed).put(out);
            }
            Self::ListSnaps { seq, clones, head_bytes } => {
                (11u8, *seq, clones.iter().map(parts).collect::<Vec<_>>(), *head_bytes).put(out);
            }
            Self::Watchers { watchers } => (12u8, watchers.clone()).put(out),
            Self::Notified { notify_id } => (13u8, *notify_id).put(out),
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match u8::take(from)? {
            0 => Self::Done,
            1 => {
                let (offset, length, data) = Wire::take(from)?;
                Self::Read { data: extents(data), offset, length }
            }
            2 => Self::SparseRead { data: extents(Wire::take(from)?) },
            3 => {
                let (size, version, mtime_unix_ns) = Wire::take(from)?;
                Self::Stat { size, version, mtime_unix_ns }
            }
            4 => Self::Xattrs { entries: entries(Wire::take(from)?) },
            5 => {
                let (pairs, more) = Wire::take(from)?;
                Self::Omap { entries: entries(pairs), more }
            }
            6 => Self::Exec { output: Wire::take(from)? },
            7 => {
                let (keys, more): (Vec<Bytes>, bool) = Wire::take(from)?;
                Self::Keys { keys: keys.iter().map(name).collect(), more }
            }
            8 => Self::Header { header: Wire::take(from)? },
            9 => {
                let (checksums, summed) = Wire::take(from)?;
                Self::Checksums { checksums: Checksums::Narrow(checksums), summed }
            }
            10 => {
                let (checksums, summed) = Wire::take(from)?;
                Self::Checksums { checksums: Checksums::Wide(checksums), summed }
            }
            11 => {
                let (seq, clones, head_bytes): (_, Vec<Parts>, _) = Wire::take(from)?;
                Self::ListSnaps { seq, clones: clones.into_iter().map(clone).collect(), head_bytes }
            }
            12 => Self::Watchers { watchers: Wire::take(from)? },
            13 => Self::Notified { notify_id: Wire::take(from)? },
            other => return Err(unknown(other)),
        })
    }
}

fn unknown(kind: u8) -> WireError {
    WireError { field: "Reply.kind", problem: Problem::Unknown(kind.into()) }
}

fn bytes(name: &Name) -> Bytes {
    Bytes::copy_from_slice(name)
}

fn name(bytes: &Bytes) -> Name {
    bytes[..].into()
}

fn pieces(data: &Extents) -> Vec<(u64, Bytes)> {
    data.iter().map(|(offset, data)| (offset, data.clone())).collect()
}

fn extents(pieces: Vec<(u64, Bytes)>) -> Extents {
    pieces.into_iter().collect()
}

fn pairs(entries: &Entries) -> Vec<(Bytes, Bytes)> {
    entries.iter().map(|(name, value)| (bytes(name), value.clone())).collect()
}

fn entries(pairs: Vec<(Bytes, Bytes)>) -> Entries {
    pairs.into_iter().map(|(key, value)| (name(&key), value)).collect()
}

/// Of a clone: its id, its snapshots, its size and its overlap.
type Parts = (u64, Vec<u64>, u64, Vec<(u64, u64)>);

fn parts(clone: &ObjectClone) -> Parts {
    let overlap = clone.overlap.iter().map(|range| (range.start, range.end)).collect();
    (clone.id, clone.snaps.clone(), clone.size, overlap)
}

fn clone((id, snaps, size, overlap): Parts) -> ObjectClone {
    let overlap: Intervals = overlap.into_iter().map(|(start, end)| start..end).collect();
    ObjectClone { id, snaps, size, overlap }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ceph_wire::{from_bytes, to_bytes};

    use super::*;

    fn all() -> Vec<Output> {
        let data: Extents =
            [(3, Bytes::from_static(b"abc")), (9, Bytes::from_static(b"d"))].into_iter().collect();
        let entries: Entries = [("k".into(), Bytes::from_static(b"v")), ("l".into(), Bytes::new())].into();
        let clone = ObjectClone { id: 4, snaps: vec![4, 2], size: 7, overlap: Intervals::up_to(7) };
        let watcher = WatcherInfo {
            gid: 1,
            cookie: 2,
            address: "127.0.0.1:0/1".to_owned(),
            name: "client".to_owned(),
            timeout: Millis(30_000),
            is_connected: true,
            expires_in: Millis(5),
        };
        vec![
            Output::Done,
            Output::Read { data: data.clone(), offset: 2, length: 9 },
            Output::SparseRead { data },
            Output::Stat { size: 1, version: 2, mtime_unix_ns: 3 },
            Output::Xattrs { entries: entries.clone() },
            Output::Omap { entries, more: true },
            Output::Exec { output: Bytes::from_static(b"said") },
            Output::Keys { keys: vec!["k".into(), "".into()], more: false },
            Output::Header { header: Bytes::from_static(b"h") },
            Output::Checksums { checksums: Checksums::Narrow(vec![1, 2]), summed: 8 },
            Output::Checksums { checksums: Checksums::Wide(vec![3]), summed: 4 },
            Output::ListSnaps { seq: 9, clones: vec![clone], head_bytes: Some(8) },
            Output::Watchers { watchers: vec![watcher] },
            Output::Notified { notify_id: 12 },
        ]
    }

    #[test]
    fn every_answer_is_read_as_it_was_kept() {
        let results = all().into_iter().zip(-5..).map(|(output, number)| OpResult { number, output });
        let answer = Answer { version: 6, number: 1, results: results.collect() };
        for stored in [Stored::SnapId(7), Stored::Reply(Arc::new(Ok(answer)))] {
            assert_eq!(from_bytes(&to_bytes(&stored)), Ok(stored));
        }
    }
}
