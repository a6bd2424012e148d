use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::osd::v1::{self as wire, op::Op};

/// The snapshots that exist when a write is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapContext {
    /// Newest snapshot id ever; 0 = none.
    pub seq: u64,
    /// Existing snapshots, descending, none above `seq`.
    pub snaps: Vec<u64>,
}

/// An op vector for one object: all of its ops happen, or none. Each step appends one op; results are numbered in the
/// same order. The rules and errors of each op stand at its message in `osd.proto`.
#[derive(Clone, Debug, Default)]
pub struct ObjectOp {
    snap_id: u64,
    snap_context: Option<SnapContext>,
    ops: Vec<Op>,
}

impl ObjectOp {
    /// An empty vector, read at HEAD, written without snapshots.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads at snapshot `id` (0 = HEAD). EINVAL in a vector that mutates.
    pub fn at_snap(mut self, id: u64) -> Self {
        self.snap_id = id;
        self
    }

    /// The snapshots that a write preserves.
    pub fn snap_context(mut self, snaps: SnapContext) -> Self {
        self.snap_context = Some(snaps);
        self
    }

    fn then(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Bytes [offset, offset + length); length 0 = to the end. Answered by [`Reply::bytes`](crate::Reply::bytes).
    pub fn read(self, offset: u64, length: u64) -> Self {
        self.then(Op::Read(wire::Read { offset, length }))
    }

    /// Like `read`, only the extents that hold data. Answered by [`Reply::sparse`](crate::Reply::sparse).
    pub fn sparse_read(self, offset: u64, length: u64) -> Self {
        self.then(Op::SparseRead(wire::SparseRead { offset, length }))
    }

    /// Size and version. Answered by [`Reply::stat`](crate::Reply::stat).
    pub fn stat(self) -> Self {
        self.then(Op::Stat(wire::Stat {}))
    }

    /// ENOENT unless the object exists.
    pub fn assert_exists(self) -> Self {
        self.then(Op::AssertExists(wire::AssertExists {}))
    }

    /// ERANGE if `version` is lower than the object's version, EOVERFLOW if it is higher, EINVAL if it is 0.
    pub fn assert_version(self, version: u64) -> Self {
        self.then(Op::AssertVersion(wire::AssertVersion { version }))
    }

    /// Writes `data` at byte `offset`; creates the object.
    pub fn write(self, offset: u64, data: impl Into<Bytes>) -> Self {
        self.then(Op::Write(wire::Write { offset, data: data.into() }))
    }

    /// Replaces the whole content.
    pub fn write_full(self, data: impl Into<Bytes>) -> Self {
        self.then(Op::WriteFull(wire::WriteFull { data: data.into() }))
    }

    /// Sets the size in bytes; creates the object.
    pub fn truncate(self, size: u64) -> Self {
        self.then(Op::Truncate(wire::Truncate { size }))
    }

    /// Makes a range read as zeros without growing the object.
    pub fn zero(self, offset: u64, length: u64) -> Self {
        self.then(Op::Zero(wire::Zero { offset, length }))
    }

    /// Creates an empty object; EEXIST if `exclusive` and it exists.
    pub fn create(self, exclusive: bool) -> Self {
        self.then(Op::Create(wire::Create { exclusive }))
    }

    /// Removes the object; ENOENT if there is none.
    pub fn remove(self) -> Self {
        self.then(Op::Remove(wire::Remove {}))
    }

    /// ENODATA if the attribute is missing. Answered by [`Reply::xattr`](crate::Reply::xattr).
    pub fn get_xattr(self, name: impl Into<String>) -> Self {
        self.then(Op::GetXattr(wire::GetXattr { name: name.into() }))
    }

    /// All attributes. Answered by [`Reply::xattrs`](crate::Reply::xattrs).
    pub fn list_xattrs(self) -> Self {
        self.then(Op::ListXattrs(wire::ListXattrs {}))
    }

    /// Sets an attribute; creates the object.
    pub fn set_xattr(self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.then(Op::SetXattr(wire::SetXattr { name: name.into(), value: value.into() }))
    }

    /// ENODATA if the attribute is missing.
    pub fn remove_xattr(self, name: impl Into<String>) -> Self {
        self.then(Op::RemoveXattr(wire::RemoveXattr { name: name.into() }))
    }

    /// ECANCELED unless the attribute equals `value`; a missing one equals the empty value.
    pub fn compare_xattr(self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.then(Op::CompareXattr(wire::CompareXattr { name: name.into(), value: value.into() }))
    }

    /// At most `max` keys (0 = the OSD's bound) that start with `prefix` and are greater than `after`. Answered by
    /// [`Reply::omap`](crate::Reply::omap).
    pub fn omap_list(self, after: impl Into<String>, prefix: impl Into<String>, max: u32) -> Self {
        self.then(Op::OmapList(wire::OmapList { after: after.into(), prefix: prefix.into(), max }))
    }

    /// The named keys; missing ones are left out. Answered by [`Reply::omap`](crate::Reply::omap).
    pub fn omap_get<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        self.then(Op::OmapGet(wire::OmapGet { keys: keys.into_iter().map(Into::into).collect() }))
    }

    /// Sets keys; creates the object.
    pub fn omap_set(self, entries: BTreeMap<String, Bytes>) -> Self {
        self.then(Op::OmapSet(wire::OmapSet { entries }))
    }

    /// Removes keys; missing ones are fine.
    pub fn omap_remove<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        self.then(Op::OmapRemove(wire::OmapRemove { keys: keys.into_iter().map(Into::into).collect() }))
    }

    /// ECANCELED unless the key has this value; `None` = the key must be missing.
    pub fn omap_compare(self, key: impl Into<String>, value: Option<Bytes>) -> Self {
        self.then(Op::OmapCompare(wire::OmapCompare { key: key.into(), value }))
    }

    /// Calls `method` of object class `class`. Answered by [`Reply::exec`](crate::Reply::exec).
    pub fn exec(self, class: &str, method: &str, input: &impl Message) -> Self {
        let input = Bytes::from(input.encode_to_vec());
        self.then(Op::Exec(wire::Exec { class: class.to_owned(), method: method.to_owned(), input }))
    }

    /// Calls a method that takes no input.
    pub fn exec_empty(self, class: &str, method: &str) -> Self {
        self.exec(class, method, &())
    }

    /// The object's clones. Answered by [`Reply::snaps`](crate::Reply::snaps).
    pub fn list_snaps(self) -> Self {
        self.then(Op::ListSnaps(wire::ListSnaps {}))
    }

    /// Makes HEAD equal to what a read at snapshot `id` sees.
    pub fn rollback(self, id: u64) -> Self {
        self.then(Op::Rollback(wire::Rollback { snap_id: id }))
    }

    /// How many ops there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no op yet.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether an op changes the object by itself. Class methods that write do too, but only the OSD knows them.
    pub fn mutates(&self) -> bool {
        self.ops.iter().any(mutates)
    }

    /// The ops' names in order, e.g. "assert_exists, write, exec lock.assert_locked".
    pub fn summary(&self) -> String {
        self.ops.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// Bytes that the vector carries, as the OSD's limit counts them.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.ops.iter().map(payload_bytes).sum()
    }

    /// The request without its number.
    pub(crate) fn into_wire(self, gid: u64, pool: &str, object: &str) -> wire::OperateRequest {
        wire::OperateRequest {
            gid,
            tid: 0,
            watermark: 0,
            pool: pool.to_owned(),
            object: object.to_owned(),
            snap_id: self.snap_id,
            snap_context: self
                .snap_context
                .map(|snaps| wire::SnapContext { seq: snaps.seq, snaps: snaps.snaps }),
            ops: self.ops.into_iter().map(|op| wire::Op { op: Some(op) }).collect(),
        }
    }
}

/// Every op, once: its name, whether it changes the object by itself, and the payload that it carries.
macro_rules! ops {
    ($($op:ident = $name:literal, $kind:ident $(, $carried:ident => $bytes:expr)?;)+) => {
        fn name(op: &Op) -> String {
            match op {
                $(Op::$op(_) => $name.to_owned(),)+
                Op::Exec(exec) => format!("exec {}.{}", exec.class, exec.method),
            }
        }

        fn mutates(op: &Op) -> bool {
            match op {
                $(Op::$op(_) => Kind::$kind == Kind::Writes,)+
                Op::Exec(_) => false,
            }
        }

        fn payload_bytes(op: &Op) -> u64 {
            let bytes = match op {
                $($(Op::$op($carried) => $bytes,)?)+
                Op::Exec(exec) => exec.input.len(),
                _ => 0,
            };
            bytes as u64
        }
    };
}

#[derive(PartialEq)]
enum Kind {
    Reads,
    Writes,
}

ops! {
    Read = "read", Reads;
    SparseRead = "sparse_read", Reads;
    Stat = "stat", Reads;
    AssertExists = "assert_exists", Reads;
    AssertVersion = "assert_version", Reads;
    Write = "write", Writes, write => write.data.len();
    WriteFull = "write_full", Writes, write => write.data.len();
    Truncate = "truncate", Writes;
    Zero = "zero", Writes;
    Create = "create", Writes;
    Remove = "remove", Writes;
    GetXattr = "get_xattr", Reads;
    ListXattrs = "list_xattrs", Reads;
    SetXattr = "set_xattr", Writes, xattr => xattr.name.len() + xattr.value.len();
    RemoveXattr = "remove_xattr", Writes;
    CompareXattr = "compare_xattr", Reads, xattr => xattr.name.len() + xattr.value.len();
    OmapList = "omap_list", Reads;
    OmapGet = "omap_get", Reads, omap => total(&omap.keys);
    OmapSet = "omap_set", Writes, omap => omap.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    OmapRemove = "omap_remove", Writes, omap => total(&omap.keys);
    OmapCompare = "omap_compare", Reads, omap => omap.key.len() + omap.value.as_ref().map_or(0, Bytes::len);
    ListSnaps = "list_snaps", Reads;
    Rollback = "rollback", Writes;
}

fn total(keys: &[String]) -> usize {
    keys.iter().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_appends_one_op_in_order() {
        let op = ObjectOp::new()
            .assert_exists()
            .write(0, "data")
            .exec_empty("rbd", "get_header")
            .omap_get(["a", "b"]);
        assert_eq!(op.len(), 4);
        assert_eq!(op.summary(), "assert_exists, write, exec rbd.get_header, omap_get");
    }

    #[test]
    fn a_vector_mutates_when_one_of_its_ops_does() {
        let reads = ObjectOp::new().read(0, 0).stat().assert_version(3).compare_xattr("a", "").list_snaps();
        assert!(!reads.mutates());
        assert!(reads.clone().zero(0, 1).mutates());
        assert!(reads.rollback(4).mutates());
    }

    #[test]
    fn the_request_carries_identity_snapshot_and_ops() {
        let snaps = SnapContext { seq: 7, snaps: vec![7, 3] };
        let request = ObjectOp::new().at_snap(3).snap_context(snaps).create(true).into_wire(9, "rbd", "x");
        assert_eq!((request.gid, request.pool.as_str(), request.object.as_str()), (9, "rbd", "x"));
        assert_eq!(request.snap_id, 3);
        assert_eq!(request.snap_context, Some(wire::SnapContext { seq: 7, snaps: vec![7, 3] }));
        assert_eq!(request.ops, [wire::Op { op: Some(Op::Create(wire::Create { exclusive: true })) }]);
    }

    #[test]
    fn payload_counts_what_the_ops_carry() {
        let entries = BTreeMap::from([("key".to_owned(), Bytes::from_static(b"value"))]);
        let op = ObjectOp::new().write(0, "1234").omap_set(entries).set_xattr("n", "v").read(0, 100);
        assert_eq!(op.payload_bytes(), 4 + 8 + 2);
    }
}
