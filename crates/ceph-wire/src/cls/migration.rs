use std::collections::BTreeMap;

use super::mirror::MirrorImageMode;
use crate::error::WireError;
use crate::{Reader, Wire, Writer};

numbered! {
    /// Which end of a migration an image is.
    MigrationHeaderKind: u8 {
        /// Where the data is.
        Source = 1,
        /// Where it goes.
        Destination = 2,
    }

    /// How far a migration is.
    MigrationState: u8 {
        /// It failed.
        Error = 0,
        /// It begins.
        Preparing = 1,
        /// Clients use the destination.
        Prepared = 2,
        /// Data is copied.
        Executing = 3,
        /// All data is there.
        Executed = 4,
        /// It is undone.
        Aborting = 5,
    }
}

/// A migration, as the headers of both of its images store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationSpec {
    /// Which end this header is.
    pub header_kind: MigrationHeaderKind,
    /// The other image's pool.
    pub pool: i64,
    /// The pool's namespace.
    pub namespace: String,
    /// The other image's name.
    pub image_name: String,
    /// Id of the other image.
    pub image_id: String,
    /// Snapshot ids of the source, and what they are in the destination.
    pub snap_seqs: BTreeMap<u64, u64>,
    /// Bytes that the destination reads from the source.
    pub overlap: u64,
    /// Whether the destination becomes independent of the source's parent.
    pub is_flattening: bool,
    /// Whether the source was mirrored.
    pub is_mirroring: bool,
    /// How far it is.
    pub state: MigrationState,
    /// How far it is, for people.
    pub state_description: String,
    /// How the source was mirrored.
    pub mirror_image_mode: MirrorImageMode,
    /// A source that is no image of a cluster, as JSON; empty = it is one.
    pub source_spec: String,
}

/// A decoder that does not know `source_spec` must not take its migration for one between images.
impl Wire for MigrationSpec {
    fn put(&self, out: &mut Writer) {
        let compat = if self.source_spec.is_empty() { 1 } else { 3 };
        out.versioned(3, compat, |out| {
            self.header_kind.put(out);
            self.pool.put(out);
            self.namespace.put(out);
            self.image_name.put(out);
            self.image_id.put(out);
            self.snap_seqs.put(out);
            self.overlap.put(out);
            self.is_flattening.put(out);
            self.is_mirroring.put(out);
            self.state.put(out);
            self.state_description.put(out);
            self.mirror_image_mode.put(out);
            self.source_spec.put(out);
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(3, |from, version| {
            Ok(Self {
                header_kind: Wire::take(from)?,
                pool: Wire::take(from)?,
                namespace: Wire::take(from)?,
                image_name: Wire::take(from)?,
                image_id: Wire::take(from)?,
                snap_seqs: Wire::take(from)?,
                overlap: Wire::take(from)?,
                is_flattening: Wire::take(from)?,
                is_mirroring: Wire::take(from)?,
                state: Wire::take(from)?,
                state_description: Wire::take(from)?,
                mirror_image_mode: if version >= 2 { Wire::take(from)? } else { MirrorImageMode::Journal },
                source_spec: if version >= 3 { Wire::take(from)? } else { String::new() },
            })
        });
        taken.map_err(|error| error.at("MigrationSpec"))
    }
}
