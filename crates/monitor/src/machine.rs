//! What the monitor does with what it is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::mon::{
    Config, GetPoolStats, GetPoolStatsReply, GetVersion, GetVersionReply, LogLevel, MonCommand,
    MonCommandAck, MonMapMessage, Paxos, PoolOp, Statfs, StatfsReply, Subscribe,
};
use ceph_wire::osdmap::{OsdMapMessage, release};
use ceph_wire::{EntityAddr, Message, Uuid, WireError, kind, to_bytes};

use crate::clients::{Clients, ConnectionId, Map};
use crate::cluster::{Cluster, Refusal, Usage};
use crate::commands::{self, Settings};
use crate::log::Log;
use crate::maps::{self, MGR_EPOCH, MON_EPOCH, PoolNotes, Shown};
use crate::pool_ops;

/// Bytes that the cluster says it has: none of them is kept from anybody.
pub(crate) const CAPACITY_BYTES: u64 = 1 << 40;

/// Bytes of OSD maps that are kept for who missed some; the newest and the one before it are kept whatever their size.
const KEPT_BYTES_MAX: usize = 1 << 18;

/// What the cluster is, for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's identity.
    pub fsid: Uuid,
    /// When it began, in milliseconds of Unix time.
    pub started_unix_ms: u64,
}

/// Where clients find its daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The monitor.
    pub mon: EntityAddr,
    /// The OSD.
    pub osd: EntityAddr,
    /// The manager.
    pub mgr: EntityAddr,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client is connected.
    Opened(ConnectionId),
    /// It says something.
    Message(ConnectionId, Message),
    /// It is gone.
    Closed(ConnectionId),
    /// Pools, snapshot ids or fences may have changed.
    Changed,
}

/// A message to send, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// To whom.
    pub to: ConnectionId,
    /// What.
    pub message: Message,
    /// Its name in [`MAPS`](crate::MAPS) if it was subscribed to; `None` = it answers.
    pub map: Option<&'static str>,
}

/// The only monitor.
///
/// | what comes        | what goes                                                                          |
/// |-------------------|------------------------------------------------------------------------------------|
/// | MON_GET_MAP       | MON_MAP                                                                            |
/// | MON_SUBSCRIBE     | CONFIG, MON_MAP, MGR_MAP, OSD_MAP, LOG as asked, at once or when there is such a version |
/// | MON_GET_VERSION   | MON_GET_VERSION_REPLY                                                              |
/// | MON_COMMAND       | MON_COMMAND_ACK at once; EINVAL for what it does not know                          |
/// | POOLOP            | POOLOP_REPLY at once                                                               |
/// | STATFS            | STATFS_REPLY                                                                       |
/// | GETPOOLSTATS      | GETPOOLSTATS_REPLY                                                                 |
/// | anything else     | nothing                                                                            |
///
/// Whenever what the OSD map shows has changed there is a new epoch, and who waits for it is sent it: before the answer to
/// what changed it.
#[derive(Debug)]
pub struct Monitor {
    pub(crate) identity: Identity,
    pub(crate) addresses: Addresses,
    pub(crate) shown: Shown,
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    clients: Clients,
    /// The newest OSD maps by their epochs, encoded, without a gap.
    osd_maps: BTreeMap<u32, Bytes>,
}

impl Monitor {
    /// A monitor of a cluster as it stands.
    pub fn new(identity: Identity, addresses: Addresses, cluster: &impl Cluster) -> Self {
        let shown = Shown {
            epoch: 0,
            modified_unix_ms: identity.started_unix_ms,
            pools: Vec::new(),
            notes: BTreeMap::new(),
            pool_max: 0,
            fences: Vec::new(),
            // From Mimic on, librbd clones by format 2.
            require_min_compat_client: release::MIMIC,
        };
        let (settings, log, clients) = (Settings::default(), Log::default(), Clients::default());
        let started = identity.started_unix_ms;
        let osd_maps = BTreeMap::new();
        let mut monitor = Self { identity, addresses, shown, settings, log, clients, osd_maps };
        monitor.look(started, cluster);
        monitor
    }

    /// The newest OSD map's epoch.
    pub fn epoch(&self) -> u32 {
        self.shown.epoch
    }

    /// One thing that happened at a moment, in milliseconds of Unix time. An error is the client's: its connection ends.
    pub fn step(
        &mut self,
        now_unix_ms: u64,
        event: Event,
        cluster: &mut impl Cluster,
    ) -> Result<Vec<Send>, WireError> {
        // Others change the cluster too.
        let mut sends = self.publish(now_unix_ms, cluster);
        match event {
            Event::Opened(connection) => self.clients.opened(connection),
            Event::Closed(connection) => self.clients.closed(connection),
            Event::Changed => {}
            Event::Message(connection, message) => {
                let answer = self.answer(now_unix_ms, connection, &message, cluster)?;
                sends.extend(self.publish(now_unix_ms, cluster));
                sends.extend(answer.map(|message| Send { to: connection, message, map: None }));
                sends.extend(self.send_due());
            }
        }
        Ok(sends)
    }

    fn answer(
        &mut self,
        now_unix_ms: u64,
        connection: ConnectionId,
        message: &Message,
        cluster: &mut impl Cluster,
    ) -> Result<Option<Message>, WireError> {
        let tid = message.tid;
        let fsid = self.identity.fsid;
        Ok(match message.kind {
            kind::MON_GET_MAP => Some(self.mon_map()),
            kind::MON_SUBSCRIBE => {
                for (name, item) in message.read::<Subscribe>()?.what {
                    if let Some(map) = Map::named(&name) {
                        self.clients.wish(connection, map, item);
                    }
                }
                None
            }
            kind::MON_GET_VERSION => {
                let GetVersion { handle, what } = message.read()?;
                let kept = self.osd_maps.first_key_value().map_or(self.shown.epoch, |(epoch, _)| *epoch);
                let (version, oldest) =
                    if what == "osdmap" { (self.shown.epoch, kept) } else { (MON_EPOCH, MON_EPOCH) };
                let (version, oldest) = (version.into(), oldest.into());
                Some(Message::of(tid, &GetVersionReply { handle, version, oldest }))
            }
            kind::MON_COMMAND => {
                let MonCommand { command, .. } = message.read()?;
                let reply = commands::run(self, now_unix_ms, cluster, &command, &message.data);
                let commands::Reply { result, status, output } = reply;
                Some(Message::with_data(
                    tid,
                    &MonCommandAck { paxos: Paxos, result, status, command },
                    output,
                ))
            }
            kind::POOLOP => {
                let op: PoolOp = message.read()?;
                let outcome = pool_ops::run(&op, cluster);
                // The client waits for the map in which it shows.
                self.look(now_unix_ms, cluster);
                Some(Message::of(tid, &pool_ops::reply(fsid, self.shown.epoch, outcome)))
            }
            kind::STATFS => {
                let Statfs { pool, .. } = message.read()?;
                let usage = usage(cluster, pool);
                let [kib, kib_used] = [CAPACITY_BYTES, usage.bytes].map(|bytes| bytes.div_ceil(1024));
                let kib_available = kib.saturating_sub(kib_used);
                let (version, objects) = (1, usage.objects);
                Some(Message::of(tid, &StatfsReply { fsid, version, kib, kib_used, kib_available, objects }))
            }
            kind::GETPOOLSTATS => {
                message.read::<GetPoolStats>()?;
                Some(Message::of(tid, &GetPoolStatsReply { fsid }))
            }
            _ => None,
        })
    }

    /// A new epoch when something has changed; what is due with it.
    fn publish(&mut self, now_unix_ms: u64, cluster: &impl Cluster) -> Vec<Send> {
        self.look(now_unix_ms, cluster);
        self.send_due()
    }

    /// Whatever subscribers are due by now.
    fn send_due(&mut self) -> Vec<Send> {
        let mut sends = Vec::new();
        let epoch = self.shown.epoch.into();
        let sent = |to, name, message| Send { to, message, map: Some(name) };
        for (to, _) in self.clients.take_due(Map::Config, self.settings.version) {
            let config = Config { settings: self.settings.for_clients() };
            sends.push(sent(to, "config", Message::of(0, &config)));
        }
        for (to, _) in self.clients.take_due(Map::Monitors, MON_EPOCH.into()) {
            sends.push(sent(to, "monmap", self.mon_map()));
        }
        for (to, _) in self.clients.take_due(Map::Managers, MGR_EPOCH.into()) {
            let managers = maps::mgr_map(&self.identity, &self.addresses);
            sends.push(sent(to, "mgrmap", Message::of(0, &managers)));
        }
        for (to, start) in self.clients.take_due(Map::Osds, epoch) {
            sends.push(sent(to, "osdmap", self.osd_maps_from(start)));
        }
        for &level in LogLevel::ALL {
            for (to, start) in self.clients.take_due(Map::Log(level), self.log.version()) {
                let message = self.log.since(start, level, self.identity.fsid);
                sends.extend(message.map(|message| sent(to, "log", message)));
            }
        }
        sends
    }

    fn mon_map(&self) -> Message {
        Message::of(0, &MonMapMessage { map: self.mon_map_bytes() })
    }

    pub(crate) fn mon_map_bytes(&self) -> Bytes {
        to_bytes(&maps::mon_map(&self.identity, &self.addresses))
    }

    pub(crate) fn osd_map_bytes(&self) -> Bytes {
        self.osd_maps.last_key_value().map(|(_, map)| map.clone()).unwrap_or_default()
    }

    /// Every map from this epoch on, each whole, for who has the one before: a client that sees a gap takes everything that it has under way for
    /// lost, and sends it again, its notifies too. Who has none, or is too far behind, is sent the newest alone.
    fn osd_maps_from(&self, epoch: u64) -> Message {
        let first = u32::try_from(epoch).ok().filter(|first| self.osd_maps.contains_key(first));
        self.whole(self.osd_maps.range(first.unwrap_or(self.shown.epoch)..))
    }

    /// The map before the newest one, as a monitor that lags behind has it; `None` = there is none.
    pub fn former_osd_map(&self) -> Option<Message> {
        let former = self.osd_maps.range(..self.shown.epoch).next_back()?;
        Some(self.whole(std::iter::once(former)))
    }

    fn whole<'a>(&self, maps: impl Iterator<Item = (&'a u32, &'a Bytes)>) -> Message {
        let full: BTreeMap<u32, Bytes> = maps.map(|(epoch, map)| (*epoch, map.clone())).collect();
        let [oldest, newest] = [full.first_key_value(), full.last_key_value()]
            .map(|map| map.map_or(self.shown.epoch, |(epoch, _)| *epoch));
        let (fsid, incremental) = (self.identity.fsid, BTreeMap::new());
        Message::of(0, &OsdMapMessage { fsid, incremental, full, oldest, newest, gap_removed_snaps: 0 })
    }

    /// Looks whether the cluster has changed; then there is a new epoch.
    pub(crate) fn look(&mut self, now_unix_ms: u64, cluster: &impl Cluster) {
        let (pools, fences) = (cluster.pools(), cluster.fences());
        let is_same = |former: &[crate::PoolState]| {
            let shown = |pool: &crate::PoolState| {
                (pool.id, pool.name.clone(), pool.snap_seq, pool.named_snaps.clone())
            };
            former.iter().map(shown).eq(pools.iter().map(shown))
        };
        let is_changed = self.shown.epoch == 0
            || !is_same(&self.shown.pools)
            || self.shown.fences != fences
            || std::mem::take(&mut self.settings.is_map_changed);
        if !is_changed {
            return;
        }
        let epoch = self.shown.epoch + 1;
        self.shown.notes.retain(|id, _| pools.iter().any(|pool| pool.id == *id));
        for pool in &pools {
            let former = self.shown.pools.iter().find(|former| former.id == pool.id);
            let is_new = former.is_none();
            let notes = self
                .shown
                .notes
                .entry(pool.id)
                .or_insert_with(|| PoolNotes { created_unix_ms: now_unix_ms, ..PoolNotes::default() });
            let has_new_snaps = former.is_some_and(|former| {
                (former.snap_seq, &former.named_snaps) != (pool.snap_seq, &pool.named_snaps)
            });
            if has_new_snaps {
                notes.snap_epoch = epoch;
            }
            if is_new || has_new_snaps {
                notes.last_change = epoch;
            }
        }
        self.shown.pool_max = pools.iter().map(|pool| pool.id).max().unwrap_or(0).max(self.shown.pool_max);
        (self.shown.epoch, self.shown.modified_unix_ms) = (epoch, now_unix_ms);
        (self.shown.pools, self.shown.fences) = (pools, fences);
        let map = to_bytes(&maps::osd_map(&self.identity, &self.addresses, &self.shown));
        self.osd_maps.insert(epoch, map);
        let mut bytes: usize = self.osd_maps.values().map(Bytes::len).sum();
        while bytes > KEPT_BYTES_MAX && self.osd_maps.len() > 2 {
            bytes -= self.osd_maps.pop_first().map_or(0, |(_, map)| map.len());
        }
    }

    /// The notes of a pool, to be changed: the map shows them, so that there is a new epoch.
    pub(crate) fn pool_notes(&mut self, name: &str) -> Result<(u64, &mut PoolNotes), Refusal> {
        let id = self.pool_id(name)?;
        self.settings.is_map_changed = true;
        let notes = self.shown.notes.get_mut(&id).expect("every pool has notes");
        notes.last_change = self.shown.epoch + 1;
        Ok((id, notes))
    }

    /// The number of a pool. ENOENT if there is none.
    pub(crate) fn pool_id(&self, name: &str) -> Result<u64, Refusal> {
        let found = self.shown.pools.iter().find(|pool| pool.name == name);
        let missing = || Refusal::new(errno::Errno::ENOENT, format!("unrecognized pool '{name}'"));
        found.map(|pool| pool.id).ok_or_else(missing)
    }
}

/// What all pools hold, or one.
pub(crate) fn usage(cluster: &impl Cluster, pool: Option<i64>) -> Usage {
    let counted = |id: u64| pool.is_none_or(|pool| u64::try_from(pool) == Ok(id));
    let pools = cluster.pools().into_iter().filter(|pool| counted(pool.id));
    pools.fold(Usage::default(), |sum, pool| Usage {
        objects: sum.objects + pool.usage.objects,
        bytes: sum.bytes + pool.usage.bytes,
    })
}
