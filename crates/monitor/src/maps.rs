//! The maps that clients are sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::mon::{FeatureSet, MgrMap, MonInfo, MonMap};
use ceph_wire::osdmap::{
    ClientPart, CrushMap, OsdInfo, OsdMap, OsdPart, OsdXinfo, PoolInfo, PoolSnap, pool_flag, release,
};
use ceph_wire::{AddrKind, AddrVec, EntityAddr, FEATURES, Utime, Uuid, to_bytes};

use crate::cluster::{Fence, NamedSnap, PoolState};
use crate::machine::{Addresses, Identity};
use crate::time::utime;

/// The monitor's name.
pub(crate) const MON_NAME: &str = "a";
/// The manager's name.
pub(crate) const MGR_NAME: &str = "x";
/// The manager's global id; no client has it.
const MGR_GID: u64 = 1;
/// All features that monitors may have.
const MON_FEATURES: u64 = 0xff;
/// An OSD that exists and is up.
const EXISTS_AND_UP: u32 = 3;
/// A weight of 1.
const WEIGHT_ONE: u32 = 0x0001_0000;
/// The OSD is up since this epoch.
const UP_FROM: u32 = 1;

/// What the monitor adds to a pool of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolNotes {
    pub(crate) created_unix_ms: u64,
    /// Epoch of its last change.
    pub(crate) last_change: u32,
    /// Epoch of its last snapshot id.
    pub(crate) snap_epoch: u32,
    pub(crate) applications: BTreeMap<String, BTreeMap<String, String>>,
    /// Clients may not remove it.
    pub(crate) nodelete: bool,
}

/// Everything that the OSD map shows and that changes.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) epoch: u32,
    pub(crate) modified_unix_ms: u64,
    pub(crate) pools: Vec<PoolState>,
    pub(crate) notes: BTreeMap<u64, PoolNotes>,
    pub(crate) pool_max: u64,
    pub(crate) fences: Vec<Fence>,
    pub(crate) require_min_compat_client: u8,
}

impl PoolNotes {
    /// The pool as maps show it.
    pub(crate) fn info(&self, pool: &PoolState) -> PoolInfo {
        let snap_mode = match pool {
            PoolState { has_named_snaps: true, .. } => pool_flag::POOL_SNAPS,
            PoolState { snap_seq: 0, .. } => 0,
            _ => pool_flag::SELFMANAGED_SNAPS,
        };
        let named = |snap: &NamedSnap| {
            let stamp = utime(snap.created_unix_ms);
            (snap.id, PoolSnap { id: snap.id, stamp, name: snap.name.clone() })
        };
        let created = utime(self.created_unix_ms);
        let plain = PoolInfo::replicated(created, self.last_change);
        PoolInfo {
            snap_seq: pool.snap_seq,
            snap_epoch: self.snap_epoch,
            snaps: pool.named_snaps.iter().map(named).collect(),
            flags: pool_flag::HASHPSPOOL | snap_mode | if self.nodelete { pool_flag::NODELETE } else { 0 },
            application_metadata: self.applications.clone(),
            ..plain
        }
    }
}

pub(crate) fn osd_map(identity: &Identity, addresses: &Addresses, shown: &Shown) -> OsdMap {
    let osd = || vec![AddrVec::from(addresses.osd)];
    let started = utime(identity.started_unix_ms);
    let of = |pool: &PoolState| (pool.id as i64, shown.notes[&pool.id].info(pool));
    OsdMap {
        client: ClientPart {
            fsid: identity.fsid,
            epoch: shown.epoch,
            created: started,
            modified: utime(shown.modified_unix_ms),
            pools: shown.pools.iter().map(of).collect(),
            pool_names: shown.pools.iter().map(|pool| (pool.id as i64, pool.name.clone())).collect(),
            pool_max: i32::try_from(shown.pool_max).unwrap_or(i32::MAX),
            flags: OsdMap::FLAGS,
            max_osd: 1,
            osd_state: vec![EXISTS_AND_UP],
            osd_weight: vec![WEIGHT_ONE],
            client_addresses: osd(),
            pg_temp: BTreeMap::new(),
            primary_temp: BTreeMap::new(),
            primary_affinity: Vec::new(),
            crush: crush_map(),
            erasure_code_profiles: BTreeMap::new(),
            pg_upmap: BTreeMap::new(),
            pg_upmap_items: BTreeMap::new(),
            crush_version: 1,
            new_removed_snaps: BTreeMap::new(),
            new_purged_snaps: BTreeMap::new(),
            last_up_change: started,
            last_in_change: started,
        },
        osd: OsdPart {
            heartbeat_back_addresses: osd(),
            osd_info: vec![OsdInfo {
                form: 1,
                last_clean_begin: 0,
                last_clean_end: 0,
                up_from: UP_FROM,
                up_thru: UP_FROM,
                down_at: 0,
                lost_at: 0,
            }],
            blocklist: shown.fences.iter().map(listed).collect(),
            cluster_addresses: osd(),
            cluster_snapshot_epoch: 0,
            cluster_snapshot: String::new(),
            osd_uuid: vec![identity.osd_uuid()],
            osd_xinfo: vec![OsdXinfo {
                down_stamp: Utime::default(),
                laggy_probability: 0,
                laggy_interval: 0,
                features: FEATURES,
                old_weight: 0,
                last_purged_snaps_scrub: Utime::default(),
                dead_epoch: 0,
            }],
            heartbeat_front_addresses: osd(),
            nearfull_ratio: 0.85,
            full_ratio: 0.95,
            backfillfull_ratio: 0.90,
            require_min_compat_client: shown.require_min_compat_client,
            require_osd_release: release::PACIFIC,
            removed_snaps_queue: BTreeMap::new(),
            crush_node_flags: BTreeMap::new(),
            device_class_flags: BTreeMap::new(),
        },
    }
}

/// Clients compare with their own address, which is of no protocol.
fn listed(fence: &Fence) -> (EntityAddr, Utime) {
    (EntityAddr { kind: AddrKind::Any, ..fence.address }, utime(fence.until_unix_ms))
}

pub(crate) fn crush_map() -> Bytes {
    to_bytes(&CrushMap::single_device())
}

pub(crate) fn mon_map(identity: &Identity, addresses: &Addresses) -> MonMap {
    let started = utime(identity.started_unix_ms);
    let monitor = MonInfo {
        name: MON_NAME.to_owned(),
        addresses: addresses.mon.into(),
        priority: 0,
        weight: 0,
        crush_location: BTreeMap::new(),
    };
    MonMap {
        fsid: identity.fsid,
        epoch: MON_EPOCH,
        last_changed: started,
        created: started,
        persistent_features: FeatureSet { bits: MON_FEATURES },
        optional_features: FeatureSet { bits: 0 },
        monitors: [(MON_NAME.to_owned(), monitor)].into(),
        ranks: vec![MON_NAME.to_owned()],
        min_mon_release: release::PACIFIC,
        removed_ranks: Vec::new(),
        strategy: 1,
        disallowed_leaders: Vec::new(),
        stretch_mode_enabled: false,
        tiebreaker: String::new(),
        stretch_marked_down: Vec::new(),
    }
}

/// The monitors never change.
pub(crate) const MON_EPOCH: u32 = 1;
/// The managers never change.
pub(crate) const MGR_EPOCH: u32 = 1;

/// There is an active manager, so that clients ask it and do not wait for one; it knows no command.
pub(crate) fn mgr_map(identity: &Identity, addresses: &Addresses) -> MgrMap {
    MgrMap {
        epoch: MGR_EPOCH,
        active_addresses: addresses.mgr.into(),
        active_gid: MGR_GID,
        is_available: true,
        active_name: MGR_NAME.to_owned(),
        standbys: BTreeMap::new(),
        modules: Vec::new(),
        available_modules: 0,
        services: BTreeMap::new(),
        active_change: utime(identity.started_unix_ms),
        always_on_modules: BTreeMap::new(),
        // Without Octopus' bit, commands come in the form that OSDs take as well.
        active_features: 0,
        last_failure_osd_epoch: 0,
        client_addresses: Vec::new(),
        client_names: Vec::new(),
    }
}

impl Identity {
    /// The OSD's, made from the cluster's.
    pub(crate) fn osd_uuid(&self) -> Uuid {
        let mut uuid = self.fsid;
        uuid[15] ^= 1;
        uuid
    }

    /// The cluster's identity as people write it.
    pub fn fsid_text(&self) -> String {
        uuid_text(&self.fsid)
    }
}

/// As people write it.
pub(crate) fn uuid_text(uuid: &Uuid) -> String {
    let digits: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
