use std::collections::BTreeMap;

use bytes::Bytes;

use super::{PoolInfo, SnapIntervals};
use crate::crc::{SEED, crc32c};
use crate::error::{Problem, WireError};
use crate::{AddrVec, EntityAddr, Pg, Reader, Utime, Uuid, Wire, Writer};

/// Versions of the envelope of both parts.
const ENVELOPE: (u8, u8) = (8, 7);
/// Bytes of the envelope before its body.
const ENVELOPE_HEADER_BYTES: usize = 6;

/// The whole map. It is encoded with a checksum; whoever sees a wrong one dies.
#[derive(Clone, Debug, PartialEq)]
pub struct OsdMap {
    /// What clients need.
    pub client: ClientPart,
    /// What OSDs need, and who is fenced.
    pub osd: OsdPart,
}

impl Wire for OsdMap {
    fn put(&self, out: &mut Writer) {
        let mut map = Writer::new();
        map.versioned(ENVELOPE.0, ENVELOPE.1, |out| {
            self.client.put(out);
            self.osd.put(out);
            // Where the checksum goes: the length counts it.
            out.bytes(&[0; 4]);
        });
        let covered = &map.written()[..map.written().len() - 4];
        out.bytes(covered);
        crc32c(SEED, covered).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let whole = from.left();
        let (map, crc, covered) = from.versioned(ENVELOPE.0, |from, _| {
            let body = from.left().len();
            let map = Self { client: Wire::take(from)?, osd: Wire::take(from)? };
            let covered = ENVELOPE_HEADER_BYTES + body - from.left().len();
            Ok((map, u32::take(from)?, covered))
        })?;
        if crc32c(SEED, &whole[..covered]) != crc {
            return Err(WireError { field: "OsdMap", problem: Problem::Checksum });
        }
        Ok(map)
    }
}

records! {
    /// What clients need.
    ClientPart version 9, 1 {
        /// The cluster's identity.
        fsid: Uuid,
        /// Version of the map.
        epoch: u32,
        /// When the cluster began.
        created: Utime,
        /// When the map changed.
        modified: Utime,
        /// By number.
        pools: BTreeMap<i64, PoolInfo>,
        /// By number.
        pool_names: BTreeMap<i64, String>,
        /// The highest number that a pool ever had.
        pool_max: i32,
        /// See [`OsdMap::FLAGS`].
        flags: u32,
        /// Numbers of OSDs are below.
        max_osd: i32,
        /// By number: 1 = it exists, 2 = it is up.
        osd_state: Vec<u32>,
        /// By number, in 1/65536.
        osd_weight: Vec<u32>,
        /// Where clients find them, by number.
        client_addresses: Vec<AddrVec>,
        /// Placement for a while.
        pg_temp: BTreeMap<Pg, Vec<i32>>,
        /// Primaries for a while.
        primary_temp: BTreeMap<Pg, i32>,
        /// Who would rather not be primary, by number.
        primary_affinity: Vec<u32>,
        /// A [`CrushMap`](super::CrushMap).
        crush: Bytes,
        /// By name.
        erasure_code_profiles: BTreeMap<String, BTreeMap<String, String>>,
        /// Placement by decree.
        pg_upmap: BTreeMap<Pg, Vec<i32>>,
        /// Exchanges by decree.
        pg_upmap_items: BTreeMap<Pg, Vec<(i32, i32)>>,
        /// Version of the placement.
        crush_version: i32,
        /// Given up in this epoch, by pool.
        new_removed_snaps: BTreeMap<i64, SnapIntervals>,
        /// Trimmed in this epoch, by pool.
        new_purged_snaps: BTreeMap<i64, SnapIntervals>,
        /// When an OSD came or went.
        last_up_change: Utime,
        /// When an OSD was counted in or out.
        last_in_change: Utime,
    }

    /// What OSDs need, and who is fenced.
    OsdPart version 9, 1 {
        /// By number.
        heartbeat_back_addresses: Vec<AddrVec>,
        /// By number.
        osd_info: Vec<OsdInfo>,
        /// Fenced instances, until when.
        blocklist: BTreeMap<EntityAddr, Utime>,
        /// By number.
        cluster_addresses: Vec<AddrVec>,
        /// Of a snapshot of the cluster.
        cluster_snapshot_epoch: u32,
        /// Of a snapshot of the cluster.
        cluster_snapshot: String,
        /// By number.
        osd_uuid: Vec<Uuid>,
        /// By number.
        osd_xinfo: Vec<OsdXinfo>,
        /// By number.
        heartbeat_front_addresses: Vec<AddrVec>,
        /// From where on a warning is due.
        nearfull_ratio: f32,
        /// From where on nothing is written.
        full_ratio: f32,
        /// From where on nothing is moved to it.
        backfillfull_ratio: f32,
        /// Number of the oldest release whose clients are let in. From Mimic on, librbd clones by format 2.
        require_min_compat_client: u8,
        /// Number of the oldest release that OSDs may have.
        require_osd_release: u8,
        /// What is being trimmed, by pool.
        removed_snaps_queue: BTreeMap<i64, SnapIntervals>,
        /// By node.
        crush_node_flags: BTreeMap<i32, u32>,
        /// By device class.
        device_class_flags: BTreeMap<i32, u32>,
    }

    /// The life of an OSD, in epochs.
    #[derive(Copy, Eq)]
    OsdInfo {
        /// Always 1.
        form: u8,
        /// Of its last clean time.
        last_clean_begin: u32,
        /// Of its last clean time.
        last_clean_end: u32,
        /// Since when it is up.
        up_from: u32,
        /// Until when it was surely up.
        up_thru: u32,
        /// When it went down.
        down_at: u32,
        /// When it was lost.
        lost_at: u32,
    }

    /// More about an OSD.
    #[derive(Copy, Eq)]
    OsdXinfo version 4, 1 {
        /// When it went down.
        down_stamp: Utime,
        /// Of no concern here.
        laggy_probability: u32,
        /// Of no concern here.
        laggy_interval: u32,
        /// Its features.
        features: u64,
        /// Of no concern here.
        old_weight: u32,
        /// Of no concern here.
        last_purged_snaps_scrub: Utime,
        /// Of no concern here.
        dead_epoch: u32,
    }
}

impl OsdMap {
    /// sortbitwise, recovery_deletes, purged_snapdirs, pglog_hardlimit: what every cluster since Nautilus has.
    pub const FLAGS: u32 = 0x0058_8000;
}
