use std::collections::BTreeMap;

use super::SnapIntervals;
use crate::{Eversion, Pg, Utime};

/// Flags of a pool.
pub mod pool_flag {
    /// Placement depends on the pool's number.
    pub const HASHPSPOOL: u64 = 0x1;
    /// Nobody may remove it.
    pub const NODELETE: u64 = 0x10;
    /// Clients manage its snapshots.
    pub const SELFMANAGED_SNAPS: u64 = 0x2000;
    /// It has snapshots of its own.
    pub const POOL_SNAPS: u64 = 0x4000;
    /// Its placement groups are not all there yet.
    pub const CREATING: u64 = 0x8000;
}

records! {
    /// A pool. The fields are those of Ceph's `pg_pool_t`.
    #[allow(missing_docs, reason = "documented at pg_pool_t")]
    PoolInfo version 29, 5 {
        kind: u8,
        size: u8,
        crush_rule: u8,
        object_hash: u8,
        pg_num: u32,
        pgp_num: u32,
        lpg_num: u32,
        lpgp_num: u32,
        last_change: u32,
        snap_seq: u64,
        snap_epoch: u32,
        snaps: BTreeMap<u64, PoolSnap>,
        removed_snaps: SnapIntervals,
        auid: u64,
        flags: u64,
        crash_replay_interval: u32,
        min_size: u8,
        quota_max_bytes: u64,
        quota_max_objects: u64,
        tiers: Vec<u64>,
        tier_of: i64,
        cache_mode: u8,
        read_tier: i64,
        write_tier: i64,
        properties: BTreeMap<String, String>,
        hit_set_params: HitSetParams,
        hit_set_period: u32,
        hit_set_count: u32,
        stripe_width: u32,
        target_max_bytes: u64,
        target_max_objects: u64,
        cache_target_dirty_ratio_micro: u32,
        cache_target_full_ratio_micro: u32,
        cache_min_flush_age: u32,
        cache_min_evict_age: u32,
        erasure_code_profile: String,
        last_force_op_resend_preluminous: u32,
        min_read_recency_for_promote: u32,
        expected_num_objects: u64,
        cache_target_dirty_high_ratio_micro: u32,
        min_write_recency_for_promote: u32,
        use_gmt_hitset: bool,
        fast_read: bool,
        hit_set_grade_decay_rate: u32,
        hit_set_search_last_n: u32,
        options: PoolOptions,
        last_force_op_resend_prenautilus: u32,
        application_metadata: BTreeMap<String, BTreeMap<String, String>>,
        create_time: Utime,
        pg_num_target: u32,
        pgp_num_target: u32,
        pg_num_pending: u32,
        pg_num_dec_last_epoch_started: u32,
        pg_num_dec_last_epoch_clean: u32,
        last_force_op_resend: u32,
        pg_autoscale_mode: u8,
        last_pg_merge: MergeMeta,
    }

    /// A snapshot of a whole pool.
    #[derive(Eq)]
    PoolSnap version 2, 2 {
        /// Its id.
        id: u64,
        /// When it was made.
        stamp: Utime,
        /// Its name.
        name: String,
    }

    /// How a cache remembers what was hit: not at all.
    #[derive(Copy, Default, Eq)]
    HitSetParams version 1, 1 {
        /// 0 = not at all.
        kind: u8,
    }

    /// Options of a pool: none.
    #[derive(Copy, Default, Eq)]
    PoolOptions version 2, 1 {
        /// How many follow.
        count: u32,
    }

    /// The last merge of two placement groups.
    #[derive(Copy, Default, Eq)]
    MergeMeta version 1, 1 {
        /// Which one went.
        source: Pg,
        /// When.
        ready_epoch: u32,
        /// Of no concern here.
        last_epoch_started: u32,
        /// Of no concern here.
        last_epoch_clean: u32,
        /// Of no concern here.
        source_version: Eversion,
        /// Of no concern here.
        target_version: Eversion,
    }
}

impl PoolInfo {
    /// A replicated pool of one copy in one placement group, so that nothing is to be placed.
    pub fn replicated(created: Utime, epoch: u32) -> Self {
        Self {
            kind: 1,
            size: 1,
            crush_rule: 0,
            object_hash: 2,
            pg_num: 1,
            pgp_num: 1,
            lpg_num: 0,
            lpgp_num: 0,
            last_change: epoch,
            snap_seq: 0,
            snap_epoch: 0,
            snaps: BTreeMap::new(),
            removed_snaps: Vec::new(),
            auid: 0,
            flags: pool_flag::HASHPSPOOL,
            crash_replay_interval: 0,
            min_size: 1,
            quota_max_bytes: 0,
            quota_max_objects: 0,
            tiers: Vec::new(),
            tier_of: -1,
            cache_mode: 0,
            read_tier: -1,
            write_tier: -1,
            properties: BTreeMap::new(),
            hit_set_params: HitSetParams::default(),
            hit_set_period: 0,
            hit_set_count: 0,
            stripe_width: 0,
            target_max_bytes: 0,
            target_max_objects: 0,
            cache_target_dirty_ratio_micro: 400_000,
            cache_target_full_ratio_micro: 800_000,
            cache_min_flush_age: 0,
            cache_min_evict_age: 0,
            erasure_code_profile: String::new(),
            last_force_op_resend_preluminous: 0,
            min_read_recency_for_promote: 0,
            expected_num_objects: 0,
            cache_target_dirty_high_ratio_micro: 600_000,
            min_write_recency_for_promote: 0,
            use_gmt_hitset: true,
            fast_read: false,
            hit_set_grade_decay_rate: 0,
            hit_set_search_last_n: 0,
            options: PoolOptions::default(),
            last_force_op_resend_prenautilus: 0,
            application_metadata: BTreeMap::new(),
            create_time: created,
            pg_num_target: 1,
            pgp_num_target: 1,
            pg_num_pending: 1,
            pg_num_dec_last_epoch_started: 0,
            pg_num_dec_last_epoch_clean: 0,
            last_force_op_resend: 0,
            pg_autoscale_mode: 0,
            last_pg_merge: MergeMeta::default(),
        }
    }
}
