//! What the door's daemons do with messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ceph_wire::mon::{Command, CommandReply};
use ceph_wire::{EntityType, Message, Utime, WireError, kind};
use errno::Errno;
use monitor::{Call, ConnectionId, Event, Monitor, Send};
use osd::faults::Direction;
use osd::{OpError, Osd};
use store::Seq;
use tokio::sync::{mpsc, oneshot};

use super::cluster::InStep;
use super::mon_client::{Came, Parcel, Who};
use crate::daemon::{Daemon, Passage};

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
    outlets: BTreeMap<ConnectionId, Outlet>,
    newest_connection: u64,
}

/// Where what concerns a client of the monitor goes. Dropping it ends the connection.
struct Outlet {
    who: Arc<Who>,
    parcels: mpsc::Sender<Parcel>,
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
    pub(super) fn opened(&self, who: Who, parcels: mpsc::Sender<Parcel>) -> ConnectionId {
        let mut state = self.lock();
        state.newest_connection += 1;
        let connection = ConnectionId(state.newest_connection);
        state.outlets.insert(connection, Outlet { who: Arc::new(who), parcels });
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

    /// A client of the monitor asks something: faults are asked first.
    pub(super) fn take(&self, from: ConnectionId, message: Message) -> Result<(), WireError> {
        if !self.daemon.has_rules() {
            return self.tell(Event::Message(from, message));
        }
        let who = self.lock().outlets.get(&from).map(|outlet| outlet.who.clone());
        let (Some(call), Some(who)) = (Call::of(&message)?, who) else {
            return self.tell(Event::Message(from, message));
        };
        let bytes = bytes_of(&message);
        match self.daemon.pass(who.crossing(Direction::Request, &call.names, call.can_fail), bytes) {
            Passage::Goes | Passage::Old => self.tell(Event::Message(from, message))?,
            Passage::Waits(word) => self.lock().post(from, Came::Asked(message), Some(word)),
            Passage::Twice(after) => {
                let word = self.daemon.later(after, bytes);
                self.lock().post(from, Came::AskedAgain(message.clone()), Some(word));
                self.tell(Event::Message(from, message))?;
            }
            Passage::Refused(error) => {
                match monitor::refuse(&message, error.errno, &error.text, self.epoch())? {
                    Some(refusal) => self.lock().post(from, Came::Told(refusal, Seq(0)), None),
                    // There is no room for it to wait, and its answer cannot say so.
                    None => self.tell(Event::Message(from, message))?,
                }
            }
            Passage::Lost => {}
            Passage::Cut(_) => drop(self.lock().outlets.remove(&from)),
        }
        Ok(())
    }

    /// What a client asked and faults had made late.
    pub(super) fn go_on(&self, from: ConnectionId, came: Came) -> Result<(), WireError> {
        match came {
            Came::Asked(message) => self.tell(Event::Message(from, message)),
            Came::AskedAgain(message) => self.step(Event::Message(from, message), Copy::Second),
            Came::Told(..) => Ok(()),
        }
    }

    /// Something has happened.
    pub(super) fn tell(&self, event: Event) -> Result<(), WireError> {
        self.step(event, Copy::First)
    }

    /// One step of the monitor. Its messages are handed out while it is locked, so that they keep their order.
    fn step(&self, event: Event, copy: Copy) -> Result<(), WireError> {
        let asked = match &event {
            Event::Message(_, message) if self.daemon.has_rules() => Some(message.clone()),
            _ => None,
        };
        let mut state = self.lock();
        let State { monitor, .. } = &mut *state;
        let (sends, seen) = self.daemon.step_seeing(|osd, now| {
            let started_unix_ms = self.started_unix_ms;
            let mut cluster = InStep { osd, now, started_unix_ms, effects: Vec::new() };
            let sends = monitor.step(started_unix_ms + now.0, event, &mut cluster);
            (sends, cluster.effects)
        });
        self.epoch.store(monitor.epoch(), Ordering::Release);
        for send in sends? {
            if send.map.is_some() || copy == Copy::First {
                self.hand_out(&mut state, send, seen, asked.as_ref())?;
            }
        }
        Ok(())
    }

    /// Sends what a step said, through the door for replies or that for maps.
    fn hand_out(
        &self,
        state: &mut State,
        Send { to, message, map }: Send,
        seen: Seq,
        asked: Option<&Message>,
    ) -> Result<(), WireError> {
        let Some(who) = state.outlets.get(&to).map(|outlet| outlet.who.clone()) else { return Ok(()) };
        let bytes = bytes_of(&message);
        let call = asked.map(Call::of).transpose()?.flatten();
        let passage = match (map, call) {
            _ if !self.daemon.has_rules() => Passage::Goes,
            (Some(map), _) => self.daemon.pass(who.crossing(Direction::Map, &[map.to_owned()], false), bytes),
            (None, Some(Call { names, can_fail })) => {
                self.daemon.pass(who.crossing(Direction::Reply, &names, can_fail), bytes)
            }
            (None, None) => Passage::Goes,
        };
        match passage {
            Passage::Goes => state.post(to, Came::Told(message, seen), None),
            Passage::Waits(word) => state.post(to, Came::Told(message, seen), Some(word)),
            Passage::Twice(after) => {
                state.post(to, Came::Told(message.clone(), seen), None);
                state.post(to, Came::Told(message, seen), Some(self.daemon.later(after, bytes)));
            }
            Passage::Refused(error) => {
                let epoch = state.monitor.epoch();
                let refuse = |asked| monitor::refuse(asked, error.errno, &error.text, epoch);
                let refusal = asked.map(refuse).transpose()?.flatten().unwrap_or(message);
                state.post(to, Came::Told(refusal, seen), None);
            }
            Passage::Old => {
                let old = state.monitor.former_osd_map().unwrap_or(message);
                state.post(to, Came::Told(old, seen), None);
            }
            Passage::Lost => {}
            Passage::Cut(_) => drop(state.outlets.remove(&to)),
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

impl State {
    /// Nobody waits for a client that does not read: its connection ends.
    fn post(&mut self, to: ConnectionId, came: Came, word: Option<oneshot::Receiver<()>>) {
        let parcel = Parcel { came, word };
        if self.outlets.get(&to).is_some_and(|outlet| outlet.parcels.try_send(parcel).is_err()) {
            self.outlets.remove(&to);
        }
    }
}

/// Which of two copies of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copy {
    First,
    /// Nobody takes its answer.
    Second,
}

fn bytes_of(message: &Message) -> usize {
    message.front.len() + message.data.len()
}

#[cfg(test)]
mod tests;
