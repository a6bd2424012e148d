use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Problem, WireError};
use crate::{Reader, Utime, Wire, Writer};

/// Numbers of the kinds of snapshots.
const USER: u32 = 0;
const GROUP: u32 = 1;
const TRASH: u32 = 2;
const MIRROR: u32 = 3;

/// What a snapshot is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SnapshotNamespace {
    /// Whatever its user likes.
    #[default]
    User,
    /// A part of a snapshot of a group.
    Group {
        /// The group's pool.
        pool: i64,
        /// Id of the group.
        group_id: String,
        /// Id of the group's snapshot.
        group_snapshot_id: String,
    },
    /// Removed, but with clones.
    Trash {
        /// The name it had.
        original_name: String,
        /// The number of the kind it had.
        original_kind: u32,
    },
    /// Kept by snapshot-based mirroring.
    Mirror(MirrorSnapshot),
}

numbered! {
    /// Which side a mirrored snapshot is on.
    MirrorSnapshotState: u8 {
        /// The image is written here.
        Primary = 0,
        /// It was.
        PrimaryDemoted = 1,
        /// It is written elsewhere.
        NonPrimary = 2,
        /// It was.
        NonPrimaryDemoted = 3,
    }

    /// Whether a snapshot may be removed.
    Protection: u8 {
        /// It may.
        Unprotected = 0,
        /// Somebody looks for clones before it may.
        Unprotecting = 1,
        /// It may not.
        Protected = 2,
    }
}

records! {
    /// What mirroring knows of a snapshot.
    #[derive(Eq)]
    MirrorSnapshot {
        /// Which side it is on.
        state: MirrorSnapshotState,
        /// Whether everything of it is here.
        is_complete: bool,
        /// Peers that need it still.
        peer_uuids: BTreeSet<String>,
        /// Where it comes from.
        primary_mirror_uuid: String,
        /// What it is there.
        primary_snap_id: u64,
        /// How far it was copied, in data objects.
        last_copied_object: u64,
        /// Snapshot ids there, and what they are here.
        snap_seqs: BTreeMap<u64, u64>,
    }

    /// A snapshot, as its image's header is asked for it.
    #[derive(Eq)]
    SnapshotInfo version 1, 1 {
        /// Its id.
        id: u64,
        /// What it is for.
        namespace: SnapshotNamespace,
        /// Its name.
        name: String,
        /// Bytes of the image.
        image_size: u64,
        /// When it was made.
        timestamp: Utime,
        /// Clones that the header knows.
        child_count: u32,
    }

    /// A snapshot as an image's header stores it. Since Nautilus only decoders of version 8 may read it.
    #[derive(Eq)]
    SnapshotRecord version 8, 8 {
        /// Its id.
        id: u64,
        /// Its name.
        name: String,
        /// Bytes of the image.
        image_size: u64,
        /// Whether it may be removed.
        protection: Protection,
        /// The image's flags when it was made, as changed since.
        flags: u64,
        /// What it is for.
        namespace: SnapshotNamespace,
        /// When it was made.
        timestamp: Utime,
        /// Clones that the header knows.
        child_count: u32,
        /// Bytes of the image that it may still read from the parent.
        parent_overlap: Option<u64>,
    }
}

impl SnapshotNamespace {
    /// The number of its kind.
    pub fn kind(&self) -> u32 {
        match self {
            Self::User => USER,
            Self::Group { .. } => GROUP,
            Self::Trash { .. } => TRASH,
            Self::Mirror(_) => MIRROR,
        }
    }
}

impl From<SnapshotRecord> for SnapshotInfo {
    fn from(record: SnapshotRecord) -> Self {
        let SnapshotRecord { id, name, image_size, namespace, timestamp, child_count, .. } = record;
        Self { id, namespace, name, image_size, timestamp, child_count }
    }
}

impl Wire for SnapshotNamespace {
    fn put(&self, out: &mut Writer) {
        out.versioned(1, 1, |out| {
            self.kind().put(out);
            match self {
                Self::User => {}
                Self::Group { pool, group_id, group_snapshot_id } => {
                    pool.put(out);
                    group_id.put(out);
                    group_snapshot_id.put(out);
                }
                Self::Trash { original_name, original_kind } => {
                    original_name.put(out);
                    original_kind.put(out);
                }
                Self::Mirror(mirror) => mirror.put(out),
            }
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(1, |from, _| match u32::take(from)? {
            USER => Ok(Self::User),
            GROUP => Ok(Self::Group {
                pool: Wire::take(from)?,
                group_id: Wire::take(from)?,
                group_snapshot_id: Wire::take(from)?,
            }),
            TRASH => Ok(Self::Trash { original_name: Wire::take(from)?, original_kind: Wire::take(from)? }),
            MIRROR => Ok(Self::Mirror(Wire::take(from)?)),
            kind => Err(WireError::new(Problem::Unknown(kind.into()))),
        });
        taken.map_err(|error| error.at("SnapshotNamespace"))
    }
}

#[cfg(test)]
impl crate::sample::Sample for SnapshotNamespace {
    fn sample(draw: &mut crate::sample::Draw<'_>) -> Self {
        match u8::sample(draw) % 4 {
            0 => Self::User,
            1 => Self::Group {
                pool: crate::sample::Sample::sample(draw),
                group_id: crate::sample::Sample::sample(draw),
                group_snapshot_id: crate::sample::Sample::sample(draw),
            },
            2 => Self::Trash {
                original_name: crate::sample::Sample::sample(draw),
                original_kind: crate::sample::Sample::sample(draw),
            },
            _ => Self::Mirror(crate::sample::Sample::sample(draw)),
        }
    }
}
