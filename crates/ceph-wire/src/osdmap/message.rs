use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Uuid;
use crate::message::payloads;

records! {
    /// Maps by epoch.
    #[derive(Eq)]
    OsdMapMessage {
        /// The cluster.
        fsid: Uuid,
        /// Changes from one epoch to the next; clients take whole maps as well.
        incremental: BTreeMap<u32, Bytes>,
        /// Whole maps: [`OsdMap`](super::OsdMap)s.
        full: BTreeMap<u32, Bytes>,
        /// The oldest epoch that is kept.
        oldest: u32,
        /// The newest one.
        newest: u32,
        /// Removed snapshots of epochs that are missing; only OSDs look.
        gap_removed_snaps: u32,
    }
}

payloads! {
    OsdMapMessage = OSD_MAP, 4, 3;
}
