//! The monitor says nothing that a crash could take back: on a store that is late.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use ceph_wire::mon::{MonCommand, MonCommandAck, Paxos, Subscribe, SubscribeItem};
use ceph_wire::{EntityAddr, Message, Payload, kind};
use futures_util::poll;
use monitor::{Addresses, ConnectionId, Event, Identity};
use tokio::sync::mpsc;

use super::Daemons;
use crate::Config;
use crate::ceph::mon_client::{Came, MonitorInlet, Who};
use crate::daemon::Daemon;
use crate::shaky::{Handle, Shaky};

const FSID: [u8; 16] = *b"0123456789abcdef";

/// A client of the monitor, on a store that is late from here on.
struct World {
    daemon: Arc<Daemon>,
    daemons: Daemons,
    store: Handle,
    client: ConnectionId,
    inlet: MonitorInlet,
}

impl World {
    fn new() -> Self {
        let (store, handle) = Shaky::new();
        let daemon =
            Daemon::with_store(Box::new(store), &Config::ci(), 1).expect("the configuration is valid");
        let daemon = Arc::new(daemon);
        let address: EntityAddr = EntityAddr::msgr2("127.0.0.1:3300".parse().expect("it is one"));
        let addresses = Addresses { mon: address, osd: address, mgr: address };
        let identity = Identity { fsid: FSID, started_unix_ms: 0 };
        let daemons = Daemons::new(daemon.clone(), identity, addresses);
        let (outlet, inlet) = mpsc::channel(100);
        let who = Who { gid: 4, name: "admin".to_owned(), address: "127.0.0.1:0/7".to_owned() };
        let client = daemons.opened(who, outlet);
        handle.be_late();
        Self { daemon, daemons, store: handle, client, inlet: MonitorInlet::new(inlet) }
    }

    fn say(&self, what: &impl Payload) {
        self.daemons.tell(Event::Message(self.client, Message::of(7, what))).expect("it decodes");
    }

    fn catch_up(&self) {
        self.store.catch_up();
        self.daemon.step(|osd, now| ((), osd.tick(now)));
    }

    /// The next message waits, also when who waits for it looks away meanwhile, and comes when everything is durable.
    async fn next_is_held(&mut self) -> Message {
        for _ in ["once", "and again"] {
            assert!(poll!(pin!(self.inlet.next(&self.daemon))).is_pending());
        }
        self.catch_up();
        self.next().await
    }

    async fn next(&mut self) -> Message {
        match self.inlet.next(&self.daemon).await.expect("the client is known") {
            Came::Told(message, _) => message,
            Came::Asked(_) | Came::AskedAgain(_) => panic!("nothing is late"),
        }
    }
}

#[tokio::test]
async fn a_command_is_answered_when_what_it_did_is_durable() {
    let mut world = World::new();
    let command = vec![Bytes::from_static(br#"{"prefix":"osd pool create","pool":"images"}"#)];
    world.say(&MonCommand { paxos: Paxos, fsid: FSID, command });
    let answer = world.next_is_held().await;
    assert_eq!(answer.kind, kind::MON_COMMAND_ACK);
    assert_eq!(answer.read::<MonCommandAck>().expect("it decodes").result, 0);
}

#[tokio::test]
async fn a_map_shows_a_pool_a_snap_id_and_a_fence_when_they_are_durable() {
    let mut world = World::new();
    let what = [("osdmap".to_owned(), SubscribeItem { start: 0, flags: 0 })].into();
    world.say(&Subscribe { what, host: String::new() });
    assert_eq!(world.next().await.kind, kind::OSD_MAP, "what it shows is durable");
    for change in ["pool", "snap id", "fence"] {
        match change {
            "pool" => drop(world.daemon.step(|osd, now| osd.create_pool(now, "images"))),
            "snap id" => drop(world.daemon.step(|osd, now| osd.create_pool_snap(now, "images", "s"))),
            _ => drop(world.daemon.step(|osd, now| osd.fence_address(now, "127.0.0.1:0/7", None))),
        }
        world.daemons.changed();
        assert_eq!(world.next_is_held().await.kind, kind::OSD_MAP, "{change}");
    }
}

#[tokio::test]
async fn a_client_is_told_its_gid_when_that_is_durable() {
    let world = World::new();
    let mut gid = pin!(world.daemons.gid(0));
    assert!(poll!(&mut gid).is_pending());
    world.catch_up();
    gid.await.expect("there is one");
    assert_eq!(world.daemons.gid(5_000).await, Ok(5_000), "it has one");
}
