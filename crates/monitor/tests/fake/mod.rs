//! A cluster of two lists, and a monitor that speaks for it.
#![allow(dead_code, reason = "every test program uses its own part")]

use bytes::Bytes;
use ceph_wire::mon::{MonCommand, MonCommandAck, Paxos, PoolOp, PoolOpReply, Subscribe, SubscribeItem};
use ceph_wire::{EntityAddr, Message, Payload, kind};
use errno::Errno;
use monitor::{
    Addresses, Cluster, ConnectionId, Event, Fence, Identity, Monitor, NamedSnap, PoolState, Refusal, Send,
    Usage,
};

/// 2026-11-27T20:00:00 UTC.
pub(crate) const NOW: u64 = 1_795_809_600_000;
pub(crate) const FSID: [u8; 16] = *b"0123456789abcdef";

#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) pools: Vec<PoolState>,
    pub(crate) fences: Vec<Fence>,
    newest_pool: u64,
}

impl Cluster for Fake {
    fn pools(&self) -> Vec<PoolState> {
        self.pools.clone()
    }

    fn create_pool(&mut self, name: &str) -> Result<u64, Refusal> {
        if self.pools.iter().any(|pool| pool.name == name) {
            return Err(Refusal::new(Errno::EEXIST, "there is one"));
        }
        self.newest_pool += 1;
        let usage = Usage { objects: 0, bytes: 0 };
        self.pools.push(PoolState {
            id: self.newest_pool,
            name: name.to_owned(),
            snap_seq: 0,
            has_named_snaps: false,
            named_snaps: Vec::new(),
            usage,
        });
        Ok(self.newest_pool)
    }

    fn rename_pool(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let pool = self.pools.iter_mut().find(|pool| pool.name == from).expect("the pool");
        pool.name = to.to_owned();
        Ok(())
    }

    fn remove_pool(&mut self, name: &str) -> Result<(), Refusal> {
        self.pools.retain(|pool| pool.name != name);
        Ok(())
    }

    fn create_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal> {
        let pool = self.pools.iter_mut().find(|found| found.name == pool).expect("the pool");
        (pool.snap_seq, pool.has_named_snaps) = (pool.snap_seq + 1, true);
        let snap = NamedSnap { id: pool.snap_seq, name: name.to_owned(), created_unix_ms: NOW };
        pool.named_snaps.push(snap);
        Ok(())
    }

    fn remove_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal> {
        let pool = self.pools.iter_mut().find(|found| found.name == pool).expect("the pool");
        pool.named_snaps.retain(|snap| snap.name != name);
        Ok(())
    }

    fn allocate_snap_id(&mut self, name: &str) -> Result<u64, Refusal> {
        let pool = self.pools.iter_mut().find(|pool| pool.name == name).expect("the pool");
        pool.snap_seq += 1;
        Ok(pool.snap_seq)
    }

    fn remove_snap_id(&mut self, _: &str, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    fn fences(&self) -> Vec<Fence> {
        self.fences.clone()
    }

    fn fence(&mut self, address: &EntityAddr, for_ms: Option<u64>) -> Result<Fence, Refusal> {
        let fence = Fence { address: *address, until_unix_ms: NOW + for_ms.unwrap_or(3_600_000) };
        self.fences.push(fence);
        Ok(fence)
    }

    fn unfence(&mut self, address: &EntityAddr) -> bool {
        let former = self.fences.len();
        self.fences.retain(|fence| !fence.address.is_instance(address));
        self.fences.len() < former
    }
}

pub(crate) struct Lab {
    pub(crate) cluster: Fake,
    pub(crate) monitor: Monitor,
}

pub(crate) const CLIENT: ConnectionId = ConnectionId(1);

impl Lab {
    /// With the pool "rbd" and a client that is connected.
    pub(crate) fn new() -> Self {
        let mut cluster = Fake::default();
        cluster.create_pool("rbd").expect("the first one");
        let at = |port: u16| EntityAddr::msgr2(([127, 0, 0, 1], port).into());
        let addresses = Addresses { mon: at(3300), osd: at(6800), mgr: at(6810) };
        let identity = Identity { fsid: FSID, started_unix_ms: NOW };
        let mut lab = Self { monitor: Monitor::new(identity, addresses, &cluster), cluster };
        assert_eq!(lab.step(Event::Opened(CLIENT)), []);
        lab
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Send> {
        self.monitor.step(NOW, event, &mut self.cluster).expect("the client says nothing wrong")
    }

    pub(crate) fn say<P: Payload>(&mut self, payload: &P) -> Vec<Message> {
        let sends = self.step(Event::Message(CLIENT, Message::of(7, payload)));
        sends.into_iter().map(|send| send.message).collect()
    }

    pub(crate) fn subscribe(&mut self, what: &str, start: u64, flags: u8) -> Vec<Message> {
        let what = [(what.to_owned(), SubscribeItem { start, flags })].into();
        self.say(&Subscribe { what, host: "host".to_owned() })
    }

    /// Result, status and output.
    pub(crate) fn command(&mut self, text: &str) -> (i32, String, String) {
        let command = vec![Bytes::copy_from_slice(text.as_bytes())];
        let messages = self.say(&MonCommand { paxos: Paxos, fsid: FSID, command: command.clone() });
        let answer = messages.iter().find(|message| message.kind == kind::MON_COMMAND_ACK);
        let answer = answer.expect("a command is answered at once");
        let ack: MonCommandAck = answer.read().expect("it decodes");
        assert_eq!((answer.tid, ack.command), (7, command));
        (ack.result, ack.status, String::from_utf8_lossy(&answer.data).into_owned())
    }

    pub(crate) fn pool_op(&mut self, op: u32, pool: u32, name: &str) -> PoolOpReply {
        let op = PoolOp {
            paxos: Paxos,
            fsid: FSID,
            pool,
            op,
            auid: 0,
            snap_id: 0,
            name: name.to_owned(),
            pad: 0,
            crush_rule: -1,
        };
        let messages = self.say(&op);
        let reply = messages.iter().find(|message| message.kind == kind::POOLOP_REPLY).expect("a reply");
        reply.read().expect("it decodes")
    }
}
