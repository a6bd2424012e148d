use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use prost::Message;
use proto::osd::v1::{self as wire, op_result::Result as WireResult};

use crate::Error;

/// The answer to an op vector that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The object's version after the vector; for reads the version that was read; 0 when the object does not exist.
    pub version: u64,
    /// One result for each op, in order.
    pub results: Vec<OpResult>,
    /// What was asked of which object, for errors.
    attempted: String,
}

/// The answer to one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Of ops without an answer.
    Done,
    /// Of `read`.
    Bytes(Bytes),
    /// Of `sparse_read`: (offset, data), ascending, not overlapping.
    Sparse(Vec<(u64, Bytes)>),
    /// Of `stat`.
    Stat(Stat),
    /// Of `get_xattr` and `list_xattrs`.
    Xattrs(BTreeMap<String, Bytes>),
    /// Of `omap_list` and `omap_get`.
    Omap(Omap),
    /// Of `exec`: the encoded reply message; empty when the method has none.
    Exec(Bytes),
    /// Of `list_snaps`.
    Snaps(ObjectSnaps),
}

/// Size and version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Grows with every mutation.
    pub version: u64,
}

/// Entries of an object's omap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omap {
    /// By key, in byte order.
    pub entries: BTreeMap<String, Bytes>,
    /// `omap_list` only: there are more keys after the last one.
    pub more: bool,
}

/// What an object preserves for snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSnaps {
    /// The newest snap context seq that the object was written under.
    pub seq: u64,
    /// Oldest first.
    pub clones: Vec<ObjectClone>,
    /// Whether HEAD exists.
    pub head_exists: bool,
}

/// A preserved state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectClone {
    /// The newest snapshot it preserves.
    pub id: u64,
    /// All snapshots it preserves, descending.
    pub snaps: Vec<u64>,
    /// Bytes.
    pub size: u64,
}

impl Reply {
    /// Converts an answer. EBADMSG when a result is missing, e.g. from an OSD that knows more kinds than this client.
    pub(crate) fn from_wire(reply: wire::OperateReply, attempted: String) -> Result<Self, Error> {
        let results = reply.results.into_iter().map(|result| result.result.map(OpResult::from));
        match results.collect() {
            Some(results) => Ok(Self { version: reply.version, results, attempted }),
            None => Err(Error::new(
                Errno::EBADMSG,
                attempted,
                "the OSD's answer holds a result of an unknown kind",
            )),
        }
    }

    /// The bytes of `read` number `index`; shorter than asked at the object's end.
    pub fn bytes(&self, index: usize) -> Result<Bytes, Error> {
        match self.results.get(index) {
            Some(OpResult::Bytes(data)) => Ok(data.clone()),
            _ => Err(self.mismatch(index, "bytes")),
        }
    }

    /// The data extents of `sparse_read` number `index`: (offset, data).
    pub fn sparse(&self, index: usize) -> Result<Vec<(u64, Bytes)>, Error> {
        match self.results.get(index) {
            Some(OpResult::Sparse(extents)) => Ok(extents.clone()),
            _ => Err(self.mismatch(index, "extents")),
        }
    }

    /// Size and version from `stat` number `index`.
    pub fn stat(&self, index: usize) -> Result<Stat, Error> {
        match self.results.get(index) {
            Some(OpResult::Stat(stat)) => Ok(*stat),
            _ => Err(self.mismatch(index, "size and version")),
        }
    }

    /// The value from `get_xattr` number `index`.
    pub fn xattr(&self, index: usize) -> Result<Bytes, Error> {
        match self.results.get(index) {
            Some(OpResult::Xattrs(entries)) if entries.len() == 1 => {
                Ok(entries.values().next().cloned().unwrap_or_default())
            }
            _ => Err(self.mismatch(index, "one attribute")),
        }
    }

    /// The attributes from `list_xattrs` number `index`.
    pub fn xattrs(&self, index: usize) -> Result<BTreeMap<String, Bytes>, Error> {
        match self.results.get(index) {
            Some(OpResult::Xattrs(entries)) => Ok(entries.clone()),
            _ => Err(self.mismatch(index, "attributes")),
        }
    }

    /// The entries from `omap_list` or `omap_get` number `index`.
    pub fn omap(&self, index: usize) -> Result<Omap, Error> {
        match self.results.get(index) {
            Some(OpResult::Omap(omap)) => Ok(omap.clone()),
            _ => Err(self.mismatch(index, "omap entries")),
        }
    }

    /// The reply message of `exec` number `index`. EBADMSG when the output does not decode as `M`.
    pub fn exec<M: Message + Default>(&self, index: usize) -> Result<M, Error> {
        let Some(OpResult::Exec(output)) = self.results.get(index) else {
            return Err(self.mismatch(index, "class output"));
        };
        M::decode(output.clone()).map_err(|error| {
            let text = format!("output of op {index} is not a {}: {error}", std::any::type_name::<M>());
            Error::new(Errno::EBADMSG, &self.attempted, text)
        })
    }

    /// The clones from `list_snaps` number `index`.
    pub fn snaps(&self, index: usize) -> Result<ObjectSnaps, Error> {
        match self.results.get(index) {
            Some(OpResult::Snaps(snaps)) => Ok(snaps.clone()),
            _ => Err(self.mismatch(index, "snapshots")),
        }
    }

    fn mismatch(&self, index: usize, wanted: &str) -> Error {
        let found = self.results.get(index).map_or("nothing", OpResult::kind);
        Error::new(Errno::EBADMSG, &self.attempted, format!("op {index} answered {found}, expected {wanted}"))
    }
}

impl OpResult {
    fn kind(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bytes(_) => "bytes",
            Self::Sparse(_) => "extents",
            Self::Stat(_) => "size and version",
            Self::Xattrs(_) => "attributes",
            Self::Omap(_) => "omap entries",
            Self::Exec(_) => "class output",
            Self::Snaps(_) => "snapshots",
        }
    }
}

impl From<WireResult> for OpResult {
    fn from(result: WireResult) -> Self {
        match result {
            WireResult::Done(_) => Self::Done,
            WireResult::Read(read) => Self::Bytes(read.data),
            WireResult::SparseRead(read) => {
                Self::Sparse(read.extents.into_iter().map(|extent| (extent.offset, extent.data)).collect())
            }
            WireResult::Stat(stat) => Self::Stat(Stat { size: stat.size, version: stat.version }),
            WireResult::Xattrs(xattrs) => Self::Xattrs(xattrs.entries),
            WireResult::Omap(omap) => Self::Omap(Omap { entries: omap.entries, more: omap.more }),
            WireResult::Exec(exec) => Self::Exec(exec.output),
            WireResult::ListSnaps(snaps) => Self::Snaps(snaps.into()),
        }
    }
}

impl From<wire::ListSnapsResult> for ObjectSnaps {
    fn from(snaps: wire::ListSnapsResult) -> Self {
        let clone =
            |clone: wire::ObjectClone| ObjectClone { id: clone.id, snaps: clone.snaps, size: clone.size };
        Self {
            seq: snaps.seq,
            clones: snaps.clones.into_iter().map(clone).collect(),
            head_exists: snaps.head_exists,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(results: impl IntoIterator<Item = WireResult>) -> Result<Reply, Error> {
        let results = results.into_iter().map(|result| wire::OpResult { result: Some(result) }).collect();
        let reply = wire::OperateReply { tid: 1, version: 5, results, error: None };
        Reply::from_wire(reply, "read, stat on rbd/x".to_owned())
    }

    #[test]
    fn results_are_read_by_position_and_kind() {
        let read = WireResult::Read(wire::ReadResult { data: Bytes::from_static(b"abc") });
        let stat = WireResult::Stat(wire::StatResult { size: 3, version: 5 });
        let reply = reply([read, stat]).unwrap();
        assert_eq!(reply.bytes(0).unwrap(), "abc");
        assert_eq!(reply.stat(1).unwrap(), Stat { size: 3, version: 5 });
        assert_eq!(reply.version, 5);
    }

    #[test]
    fn a_result_of_another_kind_is_ebadmsg_and_says_which() {
        let reply = reply([WireResult::Done(wire::Done {})]).unwrap();
        let error = reply.bytes(0).unwrap_err();
        assert_eq!(error.errno(), Errno::EBADMSG);
        assert_eq!(error.to_string(), "read, stat on rbd/x: op 0 answered done, expected bytes (EBADMSG)");
        assert_eq!(reply.stat(7).unwrap_err().text(), "op 7 answered nothing, expected size and version");
    }

    #[test]
    fn class_output_that_does_not_decode_is_ebadmsg() {
        let garbage = WireResult::Exec(wire::ExecResult { output: Bytes::from_static(&[0xff]) });
        let error = reply([garbage]).unwrap().exec::<wire::StatResult>(0).unwrap_err();
        assert_eq!(error.errno(), Errno::EBADMSG);
        assert!(error.text().contains("StatResult"), "{error}");
    }

    #[test]
    fn a_result_of_an_unknown_kind_is_ebadmsg() {
        let unknown =
            wire::OperateReply { results: vec![wire::OpResult { result: None }], ..Default::default() };
        assert_eq!(Reply::from_wire(unknown, String::new()).unwrap_err().errno(), Errno::EBADMSG);
    }
}
