//! How a vector is meant, beside its ops: RADOS' clients and ours ask for the same ops and rely on different rules.

use std::collections::BTreeSet;

use crate::limits::Limits;

/// Through which door a vector came, and so whose rules hold for it:
///
/// | | [`Grpc`](Self::Grpc) | [`Ceph`](Self::Ceph), as RADOS does it |
/// |---|---|---|
/// | what ops and class methods see of the ops before them | everything | whether the object exists, and its size; all else is as it was before the vector |
/// | a vector that only reads, of an object that is missing | each op has its own rule | ENOENT before any op runs |
/// | an unknown class, an unknown method | EOPNOTSUPP when its turn comes | EPERM, EOPNOTSUPP before any op runs |
/// | what the ops of a vector answer that has changed something | what they found | nothing, unless [`returns`](Terms::returns) says so |
/// | a read at a snapshot that was removed | ESTALE | ENOENT |
/// | a snapshot id that was never allocated | EINVAL | HEAD |
/// | ops in a vector that only reads, in one that changes something | `ops_per_vector_max` | as many as a message can have, `ops_per_vector_max` |
/// | bytes that ops carry, that are read for results | `payload_bytes_max` (E2BIG) | 90 MiB (EMSGSIZE), `object_bytes_max` (E2BIG) |
/// | bytes of the names of objects, namespaces, xattrs | 256 | 2048, 256, 100 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Our own clients'.
    #[default]
    Grpc,
    /// Those of Ceph.
    Ceph,
}

/// How a vector is meant. The default is what the gRPC door's clients get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whose rules hold.
    pub door: Door,
    /// RETURNVEC: also a vector that changes something answers what its ops found, at most
    /// [`RETURN_BYTES_MAX`](super::RETURN_BYTES_MAX) for each. Without effect at the gRPC door, which always does.
    pub returns: bool,
    /// ORDERSNAP: a write under an older snap context than the object's is refused (ERESTART, which is EOLDSNAPC).
    pub is_snap_ordered: bool,
    /// When the change was made, in nanoseconds of Unix time; `None` = the OSD's clock.
    pub mtime_unix_ns: Option<u64>,
    /// FAILOK: ops, by index, whose error is their own result and fails nothing else.
    pub may_fail: BTreeSet<usize>,
}

impl Terms {
    /// Ceph's rules, and nothing else asked for.
    pub fn ceph() -> Self {
        Self { door: Door::Ceph, ..Self::default() }
    }
}

impl Door {
    /// Ops in one vector. librbd reads the header's part of all snapshots in one, four ops for each.
    pub(crate) const fn ops_per_vector_max(self, limits: &Limits, mutates: bool) -> usize {
        match self {
            Self::Ceph if !mutates => u16::MAX as usize,
            Self::Grpc | Self::Ceph => limits.ops_per_vector_max as usize,
        }
    }

    /// Bytes of an object's name.
    pub(crate) const fn object_name_bytes_max(self) -> usize {
        match self {
            Self::Grpc => 256,
            Self::Ceph => 2048,
        }
    }

    /// Bytes of an xattr's name.
    pub(crate) const fn xattr_name_bytes_max(self) -> usize {
        match self {
            Self::Grpc => 256,
            Self::Ceph => 100,
        }
    }
}
