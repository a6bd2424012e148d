//! What the door's daemons do with messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ceph_wire::mon::{Command, CommandReply};
use ceph_wire::{EntityType, Message, Utime, WireError, kind};
use errno::Errno;
use monitor::{ConnectionId, Event, Monitor, Send};
use osd::{OpError, Osd};
use store::Seq;
use tokio::sync::mpsc;

use super::cluster::InStep;
use crate::daemon::Daemon;

/// The three daemons of the cluster.
pub(super) struct Daemons {
    pub(super) daemon: Arc<Daemon>,
    started_unix_ms: u64,
    state: Mutex<State>,
    /// The monitor's newest.
    epoch: AtomicU32,
}

struct State {
    monitor: Monitor,
    /// Where the messages to each client of the monitor go. Dropping it ends the connection.
    outlets: BTreeMap<ConnectionId, mpsc::Sender<(Message, Seq)>>,
    newest_connection: u64,
}

/// Where the messages to a client of the monitor come out, each when all that it may have seen is durable.
pub(super) struct MonitorInlet {
    messages: mpsc::Receiver<(Message, Seq)>,
    /// What is next and waits.
    held: Option<(Message, Seq)>,
}

impl MonitorInlet {
    pub(super) fn new(messages: mpsc::Receiver<(Message, Seq)>) -> Self {
        Self { messages, held: None }
    }

    /// `None` when the client's connection has to end. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self, daemon: &Daemon) -> Option<Message> {
        if self.held.is_none() {
            self.held = Some(self.messages.recv().await?);
        }
        let seen = self.held.as_ref().map_or(Seq(0), |(_, seen)| *seen);
        daemon.until_durable(seen).await;
        self.held.take().map(|(message, _)| message)
    }
}

impl Daemons {
    pub(super) fn new(
        daemon: Arc<Daemon>,
        identity: monitor::Identity,
        addresses: monitor::Addresses,
    ) -> Self {
        let started_unix_ms = identity.started_unix_ms;
        let monitor = daemon.step(|osd, now| {
            let cluster = InStep { osd, now, started_unix_ms, effects: Vec::new() };
            (Monitor::new(identity, addresses, &cluster), cluster.effects)
        });
        let epoch = AtomicU32::new(monitor.epoch());
        let state = State { monitor, outlets: BTreeMap::new(), newest_connection: 0 };
        Self { daemon, started_unix_ms, state: Mutex::new(state), epoch }
    }

    /// The global id of a client: the one that it has, or a new one. One counter numbers the clients of both doors.
    pub(super) async fn gid(&self, claimed: u64) -> Result<u64, OpError> {
        if claimed == 0 { self.daemon.answer(Osd::new_gid).await } else { Ok(claimed) }
    }

    /// A client of the monitor may be sent messages.
    pub(super) fn opened(&self, outlet: mpsc::Sender<(Message, Seq)>) -> ConnectionId {
        let mut state = self.lock();
        state.newest_connection += 1;
        let connection = ConnectionId(state.newest_connection);
        state.outlets.insert(connection, outlet);
        drop(state);
        self.tell(Event::Opened(connection)).expect("nothing is decoded");
        connection
    }

    /// A client of the monitor is gone.
    pub(super) fn closed(&self, connection: ConnectionId) {
        self.lock().outlets.remove(&connection);
        self.tell(Event::Closed(connection)).expect("nothing is decoded");
    }

    /// Pools, snapshot ids or fences have changed.
    pub(super) fn changed(&self) {
        self.tell(Event::Changed).expect("nothing is decoded");
    }

    /// One step of the monitor. Its messages are handed out while it is locked, so that they keep their order.
    pub(super) fn tell(&self, event: Event) -> Result<(), WireError> {
        let mut state = self.lock();
        let State { monitor, outlets, .. } = &mut *state;
        let (sends, seen) = self.daemon.step_seeing(|osd, now| {
            let started_unix_ms = self.started_unix_ms;
            let mut cluster = InStep { osd, now, started_unix_ms, effects: Vec::new() };
            let sends = monitor.step(started_unix_ms + now.0, event, &mut cluster);
            (sends, cluster.effects)
        });
        self.epoch.store(monitor.epoch(), Ordering::Release);
        for Send { to, message } in sends? {
            // Nobody waits for a client that does not read: its connection ends.
            if outlets.get(&to).is_some_and(|outlet| outlet.try_send((message, seen)).is_err()) {
                outlets.remove(&to);
            }
        }
        Ok(())
    }

    /// By the OSD's clock.
    pub(super) fn wall_clock(&self) -> Utime {
        Utime::from_millis(self.started_unix_ms + self.daemon.now().0)
    }

    /// The newest OSD map's.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// What the OSD or the manager answers to a command; `None` to anything else.
    pub(super) fn answer(kind: EntityType, message: &Message) -> Result<Option<Message>, WireError> {
        Ok(match message.kind {
            kind::COMMAND => {
                let Command { command, .. } = message.read()?;
                let is_command = serde_json::from_slice::<serde_json::Value>(&command.concat())
                    .is_ok_and(|command| command.get("prefix").is_some_and(serde_json::Value::is_string));
                // As from an OSD that is not there to answer: who asks goes on without.
                let errno = if kind == EntityType::Osd && is_command { Errno::ENXIO } else { Errno::EINVAL };
                let status = format!("the {kind} here answers no commands");
                Some(Message::of(message.tid, &CommandReply { result: errno.result(), status }))
            }
            _ => None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no step panics")
    }
}

#[cfg(test)]
mod tests;
