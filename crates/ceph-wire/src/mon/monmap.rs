use std::collections::BTreeMap;

use bytes::Bytes;

use crate::message::payloads;
use crate::{AddrVec, Utime, Uuid};

records! {
    /// Who the monitors are.
    MonMap version 9, 6 {
        /// The cluster's identity.
        fsid: Uuid,
        /// Version of the map.
        epoch: u32,
        /// When it changed.
        last_changed: Utime,
        /// When the cluster began.
        created: Utime,
        /// Features that all monitors must have.
        persistent_features: FeatureSet,
        /// Features that some of them have.
        optional_features: FeatureSet,
        /// By name.
        monitors: BTreeMap<String, MonInfo>,
        /// Names by rank.
        ranks: Vec<String>,
        /// Number of the oldest release that may be a monitor.
        min_mon_release: u8,
        /// Ranks of monitors that were removed.
        removed_ranks: Vec<u32>,
        /// How the leader is elected.
        strategy: u8,
        /// Who cannot lead.
        disallowed_leaders: Vec<String>,
        /// Whether two sites are one cluster.
        stretch_mode_enabled: bool,
        /// Who decides between two sites.
        tiebreaker: String,
        /// Monitors of a site that is down.
        stretch_marked_down: Vec<String>,
    }

    /// Features of monitors.
    #[derive(Copy, Eq)]
    FeatureSet version 1, 1 {
        /// One bit each.
        bits: u64,
    }

    /// One monitor.
    #[derive(Eq)]
    MonInfo version 5, 1 {
        /// Its name.
        name: String,
        /// Where it is.
        addresses: AddrVec,
        /// Who is asked first.
        priority: u16,
        /// How often it is asked.
        weight: u16,
        /// Where it stands.
        crush_location: BTreeMap<String, String>,
    }

    /// Asks for the map.
    #[derive(Copy, Eq)]
    MonGetMap {}

    /// The map, encoded.
    #[derive(Eq)]
    MonMapMessage {
        /// A [`MonMap`].
        map: Bytes,
    }
}

payloads! {
    MonGetMap = MON_GET_MAP, 1, 1;
    MonMapMessage = MON_MAP, 1, 1;
}
