//! What the OSD's core answers, as Ceph's clients read it.

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, OsdOpReply, OsdOpRequest, WatcherItem, Watchers, code, flag};
use ceph_wire::{
    AddrKind, EntityAddr, EntityName, EntityType, Eversion, Hobject, Message, Wire, Writer, to_bytes,
};
use errno::Errno;
use osd::op::{Checksums, Entries, OpResult, Output};
use osd::{OpError, Reply, WatcherInfo};
use store::{HashPlace, ObjectClone};

use super::request::Asked;

/// The end of a listing: another page would be empty.
const LIST_ENDED: i32 = 1;

/// What came of a listing: a page, and where the next one begins unless it was the last.
pub(super) type Page = Result<(Vec<HashPlace>, Option<HashPlace>), OpError>;

/// An answer as it is sent.
#[derive(Clone)]
pub(super) struct Letter {
    /// Without its data.
    pub(super) message: Message,
    /// In pieces, which may be those of the store.
    pub(super) data: Vec<Bytes>,
}

/// What one op came to.
#[derive(Clone)]
struct Done {
    number: i32,
    /// In pieces.
    data: Vec<Bytes>,
}

impl Asked {
    /// The reply to a vector. `mutates` = it was one that may have changed something.
    pub(super) fn answer(self, reply: &Reply, epoch: u32, mutates: bool) -> Letter {
        let (number, version, results) = match reply {
            Ok(answer) => (answer.number, answer.version, &answer.results),
            Err(refused) => (refused.number(), 0, &refused.results),
        };
        let versions = match (reply, mutates) {
            (Err(_), _) => Default::default(),
            (Ok(_), false) => (Eversion { version, epoch: 0 }, Eversion::default()),
            (Ok(_), true) => (Eversion { version, epoch }, Eversion { version, epoch }),
        };
        let none = Done { number: 0, data: Vec::new() };
        let results = results.iter().map(Some).chain(std::iter::repeat(None));
        let done = self
            .request
            .ops
            .iter()
            .zip(results)
            .map(|(op, result)| result.map_or_else(|| none.clone(), |result| done_with(op, result)));
        let done = done.collect();
        self.message(number, versions, version, done, epoch)
    }

    /// The reply to a listing.
    pub(super) fn answer_page(self, page: Page, epoch: u32) -> Letter {
        let pool = self.pool();
        match page {
            Ok((places, next)) => {
                let number = if next.is_some() { 0 } else { LIST_ENDED };
                let done = Done { number, data: vec![listed(&places, next, pool)] };
                self.message(number, Default::default(), 0, vec![done], epoch)
            }
            Err(refusal) => self.answer(&Err(refusal.into()), epoch, false),
        }
    }

    /// The reply to what the core was not asked for.
    pub(super) fn refuse(self, errno: Errno, epoch: u32) -> Letter {
        let refusal = OpError { errno, failed_op: None, text: String::new() };
        self.answer(&Err(refusal.into()), epoch, false)
    }

    fn message(
        self,
        result: i32,
        (bad_replay_version, replay_version): (Eversion, Eversion),
        user_version: u64,
        done: Vec<Done>,
        epoch: u32,
    ) -> Letter {
        let Self { request: OsdOpRequest { head, ops, tail }, tid, .. } = self;
        let success = if result >= 0 { flag::ACK } else { 0 };
        let mut data = Vec::new();
        let said = |(op, mut done): (OsdOp, Done)| {
            let bytes: usize = done.data.iter().map(Bytes::len).sum();
            data.append(&mut done.data);
            (OsdOp { data_bytes: bytes as u32, ..op }, done.number)
        };
        let reply = OsdOpReply {
            oid: head.oid,
            pg: head.spg.pg,
            flags: (head.flags | success).into(),
            result,
            bad_replay_version,
            epoch,
            ops: ops.into_iter().zip(done).map(said).collect(),
            retry: tail.retry,
            replay_version,
            user_version,
        };
        Letter { message: Message::of(tid, &reply), data }
    }
}

fn done_with(op: &OsdOp, result: &OpResult) -> Done {
    Done { number: result.number, data: output(op.code, &result.output) }
}

/// The bytes by which an op answers, in pieces.
fn output(asked: u16, output: &Output) -> Vec<Bytes> {
    let short = match output {
        Output::Done => return Vec::new(),
        Output::Read { data, offset, length } => return data.pieces(*offset, *length),
        Output::SparseRead { data } => {
            let mut out = Writer::new();
            let ranges = data.ranges();
            (ranges.len() as u32).put(&mut out);
            ranges.for_each(|range| range.put(&mut out));
            (data.allocated() as u32).put(&mut out);
            return std::iter::once(out.finish())
                .chain(data.iter().map(|(_, bytes)| bytes.clone()))
                .collect();
        }
        Output::Stat { size, mtime_unix_ns, .. } => {
            let (seconds, nanoseconds) = (mtime_unix_ns / 1_000_000_000, mtime_unix_ns % 1_000_000_000);
            to_bytes(&(*size, (seconds as u32, nanoseconds as u32)))
        }
        Output::Xattrs { entries } if asked == code::GETXATTR => {
            entries.values().next().cloned().unwrap_or_default()
        }
        Output::Xattrs { entries } => {
            let mut out = Writer::new();
            put_entries(entries, &mut out);
            out.finish()
        }
        Output::Omap { entries, more } => {
            let mut out = Writer::new();
            put_entries(entries, &mut out);
            if asked != code::OMAP_GET_VALS_BY_KEYS {
                more.put(&mut out);
            }
            out.finish()
        }
        Output::Exec { output } => output.clone(),
        Output::Keys { keys, more } => {
            let mut out = Writer::new();
            (keys.len() as u32).put(&mut out);
            keys.iter().for_each(|key| put_name(key, &mut out));
            more.put(&mut out);
            out.finish()
        }
        Output::Header { header } => header.clone(),
        Output::Checksums { checksums: Checksums::Narrow(checksums), .. } => to_bytes(checksums),
        Output::Checksums { checksums: Checksums::Wide(checksums), .. } => to_bytes(checksums),
        Output::ListSnaps { seq, clones, head_bytes } => snap_set(*seq, clones, *head_bytes),
        Output::Notified { notify_id } => to_bytes(notify_id),
        Output::Watchers { watchers } => {
            to_bytes(&Watchers { watchers: watchers.iter().map(watcher).collect() })
        }
    };
    vec![short]
}

/// The states of an object, the oldest one first.
fn snap_set(seq: u64, clones: &[ObjectClone], head_bytes: Option<u64>) -> Bytes {
    let mut out = Writer::new();
    out.versioned(2, 1, |out| {
        (clones.len() as u32 + u32::from(head_bytes.is_some())).put(out);
        for ObjectClone { id, snaps, size, overlap } in clones {
            out.versioned(1, 1, |out| {
                id.put(out);
                snaps.iter().rev().copied().collect::<Vec<u64>>().put(out);
                (overlap.iter().len() as u32).put(out);
                overlap.iter().for_each(|range| (range.start, range.end - range.start).put(out));
                size.put(out);
            });
        }
        if let Some(size) = head_bytes {
            // Neither snapshots nor an overlap.
            out.versioned(1, 1, |out| ((super::request::NOSNAP, 0u32), (0u32, size)).put(out));
        }
        seq.put(out);
    });
    out.finish()
}

fn watcher(watcher: &WatcherInfo) -> WatcherItem {
    // As a client that does not listen says it; one that has no such address has none here.
    let nowhere = EntityAddr { kind: AddrKind::None, nonce: 0, socket: None };
    WatcherItem {
        name: EntityName { kind: EntityType::Client, number: watcher.gid as i64 },
        cookie: watcher.cookie,
        timeout: u32::try_from(watcher.timeout.0 / 1000).unwrap_or(u32::MAX),
        address: watcher.address.parse().unwrap_or(nowhere),
    }
}

fn put_entries(entries: &Entries, out: &mut Writer) {
    (entries.len() as u32).put(out);
    for (name, value) in entries {
        put_name(name, out);
        value.put(out);
    }
}

fn put_name(name: &[u8], out: &mut Writer) {
    out.counted(|out| out.bytes(name));
}

/// A page of a listing, and where the next one begins.
fn listed(places: &[HashPlace], next: Option<HashPlace>, pool: u64) -> Bytes {
    let next = next.map_or_else(Hobject::max, |HashPlace { hash, namespace, name }| Hobject {
        oid: Bytes::copy_from_slice(&name),
        snap: super::request::NOSNAP,
        hash: hash.reverse_bits(),
        namespace: Bytes::copy_from_slice(&namespace),
        pool: pool as i64,
        ..Hobject::min()
    });
    let mut out = Writer::new();
    out.versioned(1, 1, |out| {
        next.put(out);
        (places.len() as u32).put(out);
        for HashPlace { namespace, name, .. } in places {
            put_name(namespace, out);
            put_name(name, out);
            // The locator's key: objects have none.
            put_name(b"", out);
        }
    });
    out.finish()
}
