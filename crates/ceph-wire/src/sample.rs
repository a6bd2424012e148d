//! Values drawn from bytes, for the property tests.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::cls::{
    BitVector, MigrationSpec, MirrorImage, MirrorImageStatus, MirrorPeer, MirrorSiteStatus,
    MirrorSiteStatusRecord, ObjectState, OldHeader, OldSnapshot,
};
use crate::mon::{GetPoolStatsReply, Paxos, Subscribe};
use crate::osd::{OsdOp, OsdOpReply, OsdOpRequest};
use crate::osdmap::{Bucket, CrushMap, OsdMap, Rule};
use crate::{AddrKind, AddrVec, EntityAddr, EntityType, ObjectLocator, Pg, Tail};

/// Bytes that values are drawn from; zeros when they are used up.
pub(crate) struct Draw<'a>(pub(crate) &'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Few, and none when the bytes are used up.
    fn few(&mut self) -> usize {
        usize::from(self.byte() % 4)
    }
}

/// A value that can be drawn.
pub(crate) trait Sample {
    fn sample(draw: &mut Draw<'_>) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Sample for $number {
            fn sample(draw: &mut Draw<'_>) -> Self {
                Self::from_le_bytes(std::array::from_fn(|_| draw.byte()))
            }
        })*
    };
}

numbers! { u8 u16 u32 u64 i8 i16 i32 i64 }

/// Not every float equals itself.
impl Sample for f32 {
    fn sample(draw: &mut Draw<'_>) -> Self {
        f32::from(i16::sample(draw))
    }
}

impl Sample for bool {
    fn sample(draw: &mut Draw<'_>) -> Self {
        draw.byte() % 2 == 1
    }
}

impl<const N: usize> Sample for [u8; N] {
    fn sample(draw: &mut Draw<'_>) -> Self {
        std::array::from_fn(|_| draw.byte())
    }
}

impl Sample for Bytes {
    fn sample(draw: &mut Draw<'_>) -> Self {
        Vec::<u8>::sample(draw).into()
    }
}

impl Sample for String {
    fn sample(draw: &mut Draw<'_>) -> Self {
        (0..draw.few()).map(|_| char::from(draw.byte())).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(draw: &mut Draw<'_>) -> Self {
        bool::sample(draw).then(|| T::sample(draw))
    }
}

impl<A: Sample, B: Sample> Sample for (A, B) {
    fn sample(draw: &mut Draw<'_>) -> Self {
        (A::sample(draw), B::sample(draw))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(draw: &mut Draw<'_>) -> Self {
        (0..draw.few()).map(|_| T::sample(draw)).collect()
    }
}

impl<K: Sample + Ord, V: Sample> Sample for BTreeMap<K, V> {
    fn sample(draw: &mut Draw<'_>) -> Self {
        (0..draw.few()).map(|_| <(K, V)>::sample(draw)).collect()
    }
}

impl<T: Sample + Ord> Sample for BTreeSet<T> {
    fn sample(draw: &mut Draw<'_>) -> Self {
        (0..draw.few()).map(|_| T::sample(draw)).collect()
    }
}

impl<T: Sample> Sample for Tail<T> {
    fn sample(draw: &mut Draw<'_>) -> Self {
        Self(Sample::sample(draw))
    }
}

/// Structs that are not declared as records.
macro_rules! samples {
    ($($name:ident { $($field:ident),* })*) => {
        $(impl Sample for $name {
            fn sample(draw: &mut Draw<'_>) -> Self {
                Self { $($field: Sample::sample(draw)),* }
            }
        })*
    };
}

samples! {
    Pg { pool, seed }
    ObjectLocator { pool, key, namespace, hash }
    Subscribe { what, host }
    GetPoolStatsReply { fsid }
    OsdOp { code, flags, argument, data_bytes }
    OsdOpRequest { head, ops, tail }
    OsdOpReply {
        oid, pg, flags, result, bad_replay_version, epoch, ops, retry, replay_version, user_version
    }
    OsdMap { client, osd }
    MigrationSpec {
        header_kind, pool, namespace, image_name, image_id, snap_seqs, overlap, is_flattening, is_mirroring,
        state, state_description, mirror_image_mode, source_spec
    }
    MirrorPeer { uuid, site_name, client_name, direction, mirror_uuid, last_seen }
    MirrorImage { global_image_id, state, mode }
    MirrorSiteStatus { mirror_uuid, state, description, last_update, is_up }
    OldHeader { fixed, reserved, snapshots }
    MirrorSiteStatusRecord { origin, origin_address, status }
    Rule { ruleset, kind, min_size, max_size, steps }
    CrushMap {
        max_devices, buckets, rules, type_names, item_names, rule_names, tunables, class_map, class_names,
        class_buckets
    }
}

impl Sample for Paxos {
    fn sample(_: &mut Draw<'_>) -> Self {
        Self
    }
}

impl Sample for EntityType {
    fn sample(draw: &mut Draw<'_>) -> Self {
        Self::ALL[usize::from(draw.byte()) % Self::ALL.len()]
    }
}

impl Sample for EntityAddr {
    fn sample(draw: &mut Draw<'_>) -> Self {
        let kinds = [AddrKind::None, AddrKind::Legacy, AddrKind::Msgr2, AddrKind::Any];
        let socket = match draw.byte() % 3 {
            0 => None,
            1 => Some((<[u8; 4]>::sample(draw), u16::sample(draw)).into()),
            _ => Some((<[u8; 16]>::sample(draw), u16::sample(draw)).into()),
        };
        Self { kind: kinds[draw.few()], nonce: u32::sample(draw), socket }
    }
}

impl Sample for AddrVec {
    fn sample(draw: &mut Draw<'_>) -> Self {
        Self(Sample::sample(draw))
    }
}

/// As many straws as items.
impl Sample for Bucket {
    fn sample(draw: &mut Draw<'_>) -> Self {
        let items = Vec::<i32>::sample(draw);
        let straws = items.iter().map(|_| Sample::sample(draw)).collect();
        let [id, weight] = [i32::sample(draw), 0];
        Self {
            id,
            kind: Sample::sample(draw),
            hash: Sample::sample(draw),
            weight: weight as u32,
            items,
            straws,
        }
    }
}

/// The local site has no name.
impl Sample for MirrorImageStatus {
    fn sample(draw: &mut Draw<'_>) -> Self {
        let local: Option<MirrorSiteStatus> = Sample::sample(draw);
        let local = local.map(|status| MirrorSiteStatus { mirror_uuid: String::new(), ..status });
        Self { local, remotes: Sample::sample(draw) }
    }
}

impl Sample for BitVector {
    fn sample(draw: &mut Draw<'_>) -> Self {
        let mut vector = Self::new(u64::from(u8::sample(draw)), Sample::sample(draw));
        for _ in 0..draw.few().min(vector.len() as usize) {
            vector.set(u64::from(u8::sample(draw)) % vector.len(), ObjectState::sample(draw));
        }
        vector
    }
}

/// A name has no zero.
impl Sample for OldSnapshot {
    fn sample(draw: &mut Draw<'_>) -> Self {
        let (id, image_size) = Sample::sample(draw);
        Self { id, image_size, name: Vec::<u8>::sample(draw).into_iter().map(|byte| byte.max(1)).collect() }
    }
}
