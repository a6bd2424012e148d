//! The OSD as the monitor sees it.

use ceph_wire::EntityAddr;
use monitor::{Cluster, Fence, NamedSnap, PoolState, Refusal, Usage};
use osd::{Effect, Millis, OpError, Osd};

use crate::daemon::AnyStore;

/// The OSD within one step, and the effects of what the monitor asks of it.
pub(super) struct InStep<'a> {
    pub(super) osd: &'a mut Osd<AnyStore>,
    pub(super) now: Millis,
    pub(super) started_unix_ms: u64,
    pub(super) effects: Vec<Effect>,
}

impl InStep<'_> {
    fn keep<T>(&mut self, (reply, effects): (T, Vec<Effect>)) -> T {
        self.effects.extend(effects);
        reply
    }

    fn listed(&self, address: EntityAddr, until: Millis) -> Fence {
        Fence { address, until_unix_ms: self.started_unix_ms.saturating_add(until.0) }
    }
}

fn refusal(error: OpError) -> Refusal {
    Refusal::new(error.errno, error.text)
}

impl Cluster for InStep<'_> {
    fn pools(&self) -> Vec<PoolState> {
        let pools = self.osd.pools().into_iter();
        let named = |(id, snap): (u64, osd::PoolSnap)| NamedSnap {
            id,
            name: snap.name,
            created_unix_ms: snap.created_unix_ms,
        };
        let state = |pool: osd::PoolTotals| PoolState {
            id: pool.id,
            has_named_snaps: pool.has_named_snaps,
            named_snaps: pool.named_snaps.into_iter().map(named).collect(),
            snap_seq: pool.snap_seq,
            name: pool.name,
            usage: Usage { objects: pool.totals.objects, bytes: pool.totals.bytes },
        };
        pools.map(state).collect()
    }

    fn create_pool(&mut self, name: &str) -> Result<u64, Refusal> {
        let created = self.osd.create_pool(self.now, name);
        self.keep(created).map_err(refusal)
    }

    fn rename_pool(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let renamed = self.osd.rename_pool(self.now, from, to);
        self.keep(renamed).map_err(refusal)
    }

    fn remove_pool(&mut self, name: &str) -> Result<(), Refusal> {
        let removed = self.osd.remove_pool(self.now, name);
        self.keep(removed).map_err(refusal)
    }

    fn create_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal> {
        let created = self.osd.create_pool_snap(self.now, pool, name);
        self.keep(created).map(drop).map_err(refusal)
    }

    fn remove_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal> {
        let removed = self.osd.remove_pool_snap(self.now, pool, name);
        self.keep(removed).map_err(refusal)
    }

    fn allocate_snap_id(&mut self, pool: &str) -> Result<u64, Refusal> {
        let allocated = self.osd.allocate_snap_id(self.now, pool, 0, 0);
        self.keep(allocated).map_err(refusal)
    }

    fn remove_snap_id(&mut self, pool: &str, snap_id: u64) -> Result<(), Refusal> {
        let removed = self.osd.remove_snap_id(self.now, pool, snap_id, 0);
        self.keep(removed).map_err(refusal)
    }

    fn fences(&self) -> Vec<Fence> {
        let fence = |(address, until): (&str, Millis)| {
            // Written by `fence`: it is an address.
            address.parse().ok().map(|address| self.listed(address, until))
        };
        self.osd.fenced_addresses().filter_map(fence).collect()
    }

    fn fence(&mut self, address: &EntityAddr, for_ms: Option<u64>) -> Result<Fence, Refusal> {
        let fenced = self.osd.fence_address(self.now, &address.to_string(), for_ms.map(Millis));
        let until = self.keep(fenced).map_err(refusal)?;
        Ok(self.listed(*address, until))
    }

    fn unfence(&mut self, address: &EntityAddr) -> bool {
        let unfenced = self.osd.unfence_address(self.now, &address.to_string());
        self.keep(unfenced)
    }
}
