//! Who is connected, and what he wants to be sent.

use std::collections::BTreeMap;

use ceph_wire::mon::{LogLevel, SubscribeItem};

/// Names a connection to the monitor, for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The connected clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    wishes: BTreeMap<ConnectionId, BTreeMap<Map, SubscribeItem>>,
}

/// What clients subscribe to. Other maps are never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Map {
    Config,
    Monitors,
    Managers,
    Osds,
    /// What is said in the cluster's log from a level on.
    Log(LogLevel),
}

impl Map {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "config" => Some(Self::Config),
            "monmap" => Some(Self::Monitors),
            "mgrmap" => Some(Self::Managers),
            "osdmap" => Some(Self::Osds),
            _ => name.strip_prefix("log-").and_then(LogLevel::named).map(Self::Log),
        }
    }
}

impl Clients {
    pub(crate) fn opened(&mut self, connection: ConnectionId) {
        self.wishes.insert(connection, BTreeMap::new());
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.wishes.remove(&connection);
    }

    /// A wish takes the place of an earlier one for the same map, and one for the log that of any other level.
    pub(crate) fn wish(&mut self, connection: ConnectionId, map: Map, item: SubscribeItem) {
        if let Some(wishes) = self.wishes.get_mut(&connection) {
            if matches!(map, Map::Log(_)) {
                wishes.retain(|known, _| !matches!(known, Map::Log(_)));
            }
            wishes.insert(map, item);
        }
    }

    /// Who wants a map of this version by now, or any if he does not say which, and from which version on. Who wants it once
    /// is done with it; the others want the next one.
    pub(crate) fn take_due(&mut self, map: Map, version: u64) -> Vec<(ConnectionId, u64)> {
        let mut due = Vec::new();
        for (&connection, wishes) in &mut self.wishes {
            let Some(item) = wishes.get_mut(&map).filter(|item| item.start <= version) else { continue };
            due.push((connection, item.start));
            item.start = version + 1;
            if item.is_onetime() {
                wishes.remove(&map);
            }
        }
        due
    }
}
