//! What the OSD keeps beside objects: records of the store, each under a key of its own, changed in the same transactions.
//!
//! A key is a letter for the kind and what tells one record from the next, numbers in the order of their bytes. A value says all of the
//! record, as a versioned struct of Ceph's encodings.

mod reply;

use bytes::Bytes;
use ceph_wire::{Reader, Wire, WireError, Writer, from_bytes};
use errno::Errno;
use store::{Change, Name, ObjectId, PoolId, Store};

use crate::error::Refusal;
use crate::osd::error;
use crate::session::Stored;
use crate::watch::WatchId;
use crate::{Millis, OpError};

/// Records that are read at a time.
const PAGE_RECORDS: usize = 1_000;

/// Most records are shorter.
const USUAL_BYTES: usize = 128;

/// A kind of record.
pub(crate) trait Record: Wire {
    /// What its keys begin with.
    const KIND: u8;
    /// For errors.
    const NAME: &str;

    fn key(&self) -> Name;
}

macro_rules! records {
    ($($(#[$meta:meta])* $name:ident = $kind:literal, |$record:ident| $key:expr => {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
        }

        impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                out.versioned(1, 1, |out| {
                    $(self.$field.put(out);)*
                });
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
                from.versioned(1, |from, _| Ok(Self { $($field: Wire::take(from)?,)* }))
            }
        }

        impl Record for $name {
            const KIND: u8 = $kind;
            const NAME: &str = stringify!($name);

            fn key(&self) -> Name {
                let $record = self;
                $key
            }
        }
    )*};
}

records! {
    /// Numbers that are never given twice; there is one such record.
    #[derive(Default)]
    Counters = b'c', |_record| key(b'c', []) => {
        /// How often the OSD was opened on this store before.
        lives: u64,
        newest_gid: u64,
        newest_pool: u64,
    }

    /// A pool.
    Pool = b'p', |pool| pool_key(PoolId(pool.id)) => {
        id: u64,
        name: String,
        snap_seq: u64,
        /// How many of its snapshot ids were given up.
        removed_snaps: u64,
        has_named_snaps: bool,
    }

    /// A snapshot of a pool.
    NamedSnap = b'n', |snap| named_snap_key(PoolId(snap.pool), snap.snap_id) => {
        pool: u64,
        snap_id: u64,
        name: String,
        created_unix_ms: u64,
    }

    /// Snapshot ids of a pool that were given up, `first` to `last`: none touches the next. They stay until the pool is erased.
    RemovedSnaps = b's', |range| removed_snaps_key(PoolId(range.pool), range.first) => {
        pool: u64,
        first: u64,
        last: u64,
    }

    /// A snapshot id that was given to an instance and that nothing names yet.
    UnnamedSnap = b'u', |snap| unnamed_snap_key(PoolId(snap.pool), snap.snap_id) => {
        pool: u64,
        snap_id: u64,
        gid: u64,
    }

    /// A snapshot that was given up and that objects may still preserve.
    Trimming = b't', |trim| trimming_key(PoolId(trim.pool), trim.snap_id) => {
        pool: u64,
        pool_name: String,
        snap_id: u64,
        gid: u64,
    }

    /// A pool that was removed and whose objects may still be there.
    Erasing = b'e', |erasing| erasing_key(PoolId(erasing.pool)) => {
        pool: u64,
        pool_name: String,
        snap_seq: u64,
    }

    /// An instance that was fenced.
    Fence = b'f', |fence| fence_key(fence.gid) => {
        gid: u64,
        /// When it leaves the blocklist; `None` = it has.
        expires_unix_ms: Option<u64>,
    }

    /// An address that is on the blocklist.
    FencedAddress = b'a', |fence| fenced_address_key(&fence.address) => {
        address: String,
        expires_unix_ms: u64,
    }

    /// A client instance whose session has not ended.
    Instance = b'i', |instance| instance_key(instance.gid) => {
        gid: u64,
        /// At the door of Ceph's clients.
        is_ceph: bool,
        name: String,
        address: String,
    }

    /// What a tid that has changed something came to. It says the watermark of its session at that time: the records of lower tids
    /// go with it, or with later ones.
    Reply = b'r', |reply| reply_key(reply.gid, reply.tid) => {
        gid: u64,
        tid: u64,
        watermark: u64,
        stored: Stored,
    }

    /// A watch. Its object exists, and the session of its client.
    Watching = b'w', |watch| watching_key(&watch.object(), (watch.gid, watch.cookie)) => {
        gid: u64,
        cookie: u64,
        pool: u64,
        namespace: Bytes,
        object: Bytes,
        timeout_ms: u64,
    }
}

impl Watching {
    pub(crate) fn new(object: &ObjectId, (gid, cookie): WatchId, Millis(timeout_ms): Millis) -> Self {
        let bytes = |name: &Name| Bytes::copy_from_slice(name);
        let (namespace, name) = (bytes(&object.namespace), bytes(&object.name));
        Self { gid, cookie, pool: object.pool.0, namespace, object: name, timeout_ms }
    }

    pub(crate) fn object(&self) -> ObjectId {
        let name = |bytes: &Bytes| Name::from(&bytes[..]);
        ObjectId { pool: PoolId(self.pool), namespace: name(&self.namespace), name: name(&self.object) }
    }
}

pub(crate) fn pool_key(pool: PoolId) -> Name {
    key(Pool::KIND, [pool.0])
}

pub(crate) fn named_snap_key(pool: PoolId, snap_id: u64) -> Name {
    key(NamedSnap::KIND, [pool.0, snap_id])
}

/// What the keys of all ranges of a pool begin with.
pub(crate) fn removed_snaps_prefix(pool: PoolId) -> Name {
    key(RemovedSnaps::KIND, [pool.0])
}

pub(crate) fn removed_snaps_key(pool: PoolId, first: u64) -> Name {
    key(RemovedSnaps::KIND, [pool.0, first])
}

pub(crate) fn unnamed_snap_key(pool: PoolId, snap_id: u64) -> Name {
    key(UnnamedSnap::KIND, [pool.0, snap_id])
}

pub(crate) fn trimming_key(pool: PoolId, snap_id: u64) -> Name {
    key(Trimming::KIND, [pool.0, snap_id])
}

pub(crate) fn erasing_key(pool: PoolId) -> Name {
    key(Erasing::KIND, [pool.0])
}

pub(crate) fn fence_key(gid: u64) -> Name {
    key(Fence::KIND, [gid])
}

pub(crate) fn fenced_address_key(address: &str) -> Name {
    [&[FencedAddress::KIND], address.as_bytes()].concat().as_slice().into()
}

pub(crate) fn instance_key(gid: u64) -> Name {
    key(Instance::KIND, [gid])
}

/// What the keys of all replies of a session begin with.
pub(crate) fn replies_prefix(gid: u64) -> Name {
    key(Reply::KIND, [gid])
}

pub(crate) fn reply_key(gid: u64, tid: u64) -> Name {
    key(Reply::KIND, [gid, tid])
}

pub(crate) fn watching_key(object: &ObjectId, (gid, cookie): WatchId) -> Name {
    let ObjectId { pool, namespace, name } = object;
    let numbers = key(Watching::KIND, [gid, cookie, pool.0, namespace.len() as u64]);
    [&numbers[..], namespace, name].concat().as_slice().into()
}

fn key<const N: usize>(kind: u8, numbers: [u64; N]) -> Name {
    let mut key = [kind; 40];
    for (part, number) in key[1..].chunks_exact_mut(8).zip(numbers) {
        part.copy_from_slice(&number.to_be_bytes());
    }
    key[..1 + 8 * N].into()
}

/// The change that makes a record be what it says.
pub(crate) fn kept<R: Record>(record: &R) -> Change {
    let mut out = Writer::with_capacity(USUAL_BYTES);
    record.put(&mut out);
    // As long as it is: it is kept.
    Change::Record { key: record.key(), value: Some(Bytes::copy_from_slice(out.written())) }
}

/// The change after which there is no record.
pub(crate) fn gone(key: Name) -> Change {
    Change::Record { key, value: None }
}

/// Every record of a kind, in the order of keys. EIO when the store fails, or for one that cannot be understood.
pub(crate) fn all<R: Record>(store: &impl Store) -> Result<Vec<R>, OpError> {
    let (mut records, mut after) = (Vec::new(), Name::default());
    loop {
        let page = store.records(&[R::KIND], &after, PAGE_RECORDS).map_err(Refusal::from)?;
        let is_last = page.len() < PAGE_RECORDS;
        for (key, value) in page {
            records.push(read(&key, &value)?);
            after = key;
        }
        if is_last {
            return Ok(records);
        }
    }
}

/// What a record says is what its key says: no two are about the same.
fn read<R: Record>(key: &Name, value: &Bytes) -> Result<R, OpError> {
    let unreadable = |why: String| error(Errno::EIO, format!("a stored record {} {key:?}: {why}", R::NAME));
    let record: R = from_bytes(value).map_err(|why: WireError| unreadable(why.to_string()))?;
    if record.key() == *key {
        Ok(record)
    } else {
        Err(unreadable(format!("it says that it is {:?}", record.key())))
    }
}
