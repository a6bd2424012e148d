//! A state: the OSD, the clients, and what is on its way between them. An action takes one to the next.

use std::fmt;

use errno::Errno;
use osd::{Effect, StreamId, WatchEvent, WatchRequest};
use rbd_protocol::{Answer as NotifyAnswer, ClientId, NotifyAnswers};

use crate::ask::{Answer, Ask, Change, HEADER, OBJECTS, PARENT_DATA, POOL};
use crate::client::{AskId, Client, Heard, NotifyId, Phase, Rewatch, request_id};
use crate::daemon::{Daemon, View};
use crate::messages;
use crate::scenario::{Budget, Scenario};
use crate::shared::{Shared, fingerprint};

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`client` and `call` count from 0; `id` is that of a question")]
pub enum Action {
    /// The user of a client makes its call.
    Start { client: usize, call: usize },
    /// A question arrives at the OSD, which answers.
    Arrive { client: usize, id: AskId },
    /// An answer arrives at the client.
    Answer { client: usize, id: AskId },
    /// The next event of the watch stream arrives at the client.
    Hear { client: usize },
    /// A request for the watch arrives at the OSD.
    Rewatch { client: usize },
    /// The pause of a call is over.
    Resume { client: usize, call: usize },
    /// Time passes for a client, to its next timer.
    Timer { client: usize },
    /// Time passes until the notifies that wait have timed out.
    TimeOutNotifies,
    /// The watches of a client that is dead expire.
    ExpireDead { client: usize },
    /// The connections of a client are there again.
    Reconnect { client: usize },
    /// Fault: the next event of the watch stream is lost.
    Lose { client: usize },
    /// Fault: it comes twice.
    Duplicate { client: usize },
    /// Fault: the client dies.
    Crash { client: usize },
    /// Fault: the watch of a client that lives expires.
    Expire { client: usize },
    /// Fault: the connections of the client break.
    Cut { client: usize },
}

impl Action {
    /// Something breaks.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Lose { .. }
                | Self::Duplicate { .. }
                | Self::Crash { .. }
                | Self::Expire { .. }
                | Self::Cut { .. }
        )
    }

    /// Neither a user nor a fault.
    pub fn moves(self) -> bool {
        !self.is_fault() && !matches!(self, Self::Start { .. })
    }

    /// What happens only because time passes.
    pub fn is_timer(self) -> bool {
        matches!(self, Self::Timer { .. } | Self::TimeOutNotifies | Self::ExpireDead { .. })
    }
}

/// What has happened, for the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// First byte that each object must have; 0 = it reads as zeros.
    pub expected: Vec<u8>,
    /// How often the call of a client (by client and call) has been committed.
    pub commits: Vec<Vec<u8>>,
    /// Somebody has ended the image's having a parent.
    pub is_flattened: bool,
}

/// One state.
#[derive(Clone, Debug)]
pub struct World {
    /// The OSD.
    pub daemon: Shared<Daemon>,
    /// What properties look at of it.
    pub view: View,
    /// By number.
    pub clients: Vec<Shared<Client>>,
    /// For properties.
    pub history: History,
    /// What may still break.
    pub budget: Budget,
    /// Timers that each client may still see.
    pub timers: Vec<u8>,
}

impl World {
    /// Everybody has opened the image.
    pub fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let mut daemon = Daemon::new(scenario.budget.cuts > 0)?;
        let mut clients = Vec::new();
        for index in 0..scenario.deeds.len() {
            let (gid, stream) = daemon.connect(1)?;
            clients.push(Shared::new(Client::new(scenario, index, (gid, stream.0), 1)));
        }
        let view = daemon.view();
        let expected = (0..OBJECTS).map(|object| if object == 0 { PARENT_DATA[0] } else { 0 });
        let commits = scenario.deeds.iter().map(|deeds| vec![0; deeds.len()]).collect();
        Ok(Self {
            daemon: Shared::new(daemon),
            view,
            timers: vec![scenario.budget.timers; clients.len()],
            clients,
            history: History { expected: expected.collect(), commits, is_flattened: false },
            budget: scenario.budget,
        })
    }

    /// Equal states have equal ones.
    pub fn fingerprint(&self) -> u128 {
        let lowest = self.clients.iter().map(Shared::lowest_notify).chain([self.daemon.lowest_notify()]);
        let first = lowest.clone().flatten().min().unwrap_or(0);
        let lowest: Vec<Option<u64>> = lowest.map(|lowest| lowest.map(|lowest| lowest - first)).collect();
        let clients: Vec<u128> = self.clients.iter().map(Shared::hash).collect();
        let parts = (self.daemon.hash(), clients, lowest);
        fingerprint(&(parts, &self.history, self.budget, &self.timers), 0)
    }

    /// Everything that may happen.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (client, it) in self.clients.iter().enumerate() {
            let mut objects = Vec::new();
            for &id in &it.flying {
                let object =
                    it.asked.iter().find(|asked| asked.id == id).and_then(|asked| asked.ask.object());
                if object.as_ref().is_none_or(|object| !objects.contains(object)) {
                    actions.push(Action::Arrive { client, id });
                }
                objects.extend(object);
            }
            if !it.is_alive {
                if self.daemon.is_watched_by(it.gid) {
                    actions.push(Action::ExpireDead { client });
                }
                continue;
            }
            self.actions_of_living(client, it, &mut actions);
        }
        if self.is_somebody_deaf() {
            actions.push(Action::TimeOutNotifies);
        }
        let is_quiet = is_quiet(&actions);
        for (client, it) in self.clients.iter().enumerate() {
            if !(it.is_alive && it.has_timer()) {
                continue;
            }
            if is_quiet || self.timers[client] > 0 {
                actions.push(Action::Timer { client });
            }
        }
        actions
    }

    fn actions_of_living(&self, client: usize, it: &Client, actions: &mut Vec<Action>) {
        for (call, state) in it.calls.iter().enumerate() {
            match state.phase {
                Phase::Idle => actions.push(Action::Start { client, call }),
                Phase::Pausing => actions.push(Action::Resume { client, call }),
                _ => {}
            }
        }
        // Answers to op vectors come in order; others may overtake them.
        let mut has_vector = false;
        for (id, _) in &it.answers {
            let is_vector = it.asked.iter().any(|asked| asked.id == *id && asked.ask.object().is_some());
            if !(is_vector && has_vector) {
                actions.push(Action::Answer { client, id: *id });
            }
            has_vector |= is_vector;
        }
        if !it.heard.is_empty() {
            actions.push(Action::Hear { client });
        }
        match it.stream {
            None => actions.push(Action::Reconnect { client }),
            Some(_) if it.rewatch.is_some() && !self.awaits_watch(it) => {
                actions.push(Action::Rewatch { client });
            }
            Some(_) => {}
        }
        let notification = matches!(it.heard.front(), Some(Heard::Notification { .. }));
        let faults = [
            (self.budget.losses > 0 && notification, Action::Lose { client }),
            (self.budget.duplicates > 0 && notification, Action::Duplicate { client }),
            (self.budget.crashes > 0, Action::Crash { client }),
            (self.budget.expiries > 0 && self.daemon.is_watched_by(it.gid), Action::Expire { client }),
            (self.budget.cuts > 0 && it.stream.is_some(), Action::Cut { client }),
        ];
        actions.extend(faults.into_iter().filter(|(may, _)| *may).map(|(_, fault)| fault));
    }

    fn awaits_watch(&self, it: &Client) -> bool {
        it.heard.iter().any(|heard| matches!(heard, Heard::Watched { .. } | Heard::Cut(_)))
    }

    /// A notify waits for a watch that does not have it and will not get it.
    fn is_somebody_deaf(&self) -> bool {
        self.daemon.pending_notifies().iter().any(|(notify_id, waiting)| {
            waiting.iter().any(|(gid, _)| {
                let it = self.clients.iter().find(|it| it.gid == *gid);
                it.is_none_or(|it| !it.has_notify(NotifyId(*notify_id)))
            })
        })
    }

    /// After this action.
    pub fn next(&self, scenario: &Scenario, action: Action) -> Self {
        let mut step =
            Step { scenario, world: self.clone(), daemon: None, clients: vec![None; self.clients.len()] };
        step.take(action);
        step.done()
    }
}

/// Nothing else moves, so time passes. Notifies time out first: no client asks again while its question waits.
fn is_quiet(actions: &[Action]) -> bool {
    let moves = |action: &Action| {
        action.moves() && !matches!(action, Action::Timer { .. } | Action::ExpireDead { .. })
    };
    !actions.iter().any(moves)
}

/// One action under way: parts are taken out of the state as they change.
struct Step<'a> {
    scenario: &'a Scenario,
    world: World,
    daemon: Option<Daemon>,
    clients: Vec<Option<Client>>,
}

impl Step<'_> {
    fn client(&mut self, client: usize) -> &mut Client {
        let known = &self.world.clients[client];
        self.clients[client].get_or_insert_with(|| Client::clone(known))
    }

    fn daemon(&mut self) -> &mut Daemon {
        let known = &self.world.daemon;
        self.daemon.get_or_insert_with(|| Daemon::clone(known))
    }

    fn done(mut self) -> World {
        // Acks end notifies, whose ends are heard, and so on.
        while let Some(client) = self.clients.iter().position(|it| it.as_ref().is_some_and(Client::has_acks))
        {
            self.send_acks(client);
        }
        let Self { mut world, daemon, clients, .. } = self;
        if let Some(mut daemon) = daemon {
            if daemon.has_stored_more(&world.daemon) {
                world.view = daemon.view();
            }
            world.daemon = Shared::new(daemon);
        }
        for (client, changed) in clients.into_iter().enumerate() {
            if let Some(changed) = changed {
                world.clients[client] = Shared::new(changed);
            }
        }
        world
    }

    fn take(&mut self, action: Action) {
        let scenario = self.scenario;
        match action {
            Action::Start { client, call } => self.client(client).start(scenario, call),
            Action::Arrive { client, id } => self.arrive(client, id),
            Action::Answer { client, id } => {
                let it = self.client(client);
                let position = it.answers.iter().position(|(answered, _)| *answered == id);
                let answer = position.map(|position| it.answers.remove(position).1);
                if let Some(answer) = answer {
                    it.answered(scenario, id, answer);
                }
            }
            Action::Hear { client } => {
                let it = self.client(client);
                if let Some(heard) = it.heard.pop_front() {
                    it.hears(scenario, heard);
                }
            }
            Action::Rewatch { client } => self.rewatch(client),
            Action::Resume { client, call } => {
                self.client(client).resume(scenario, call);
            }
            Action::Timer { client } => {
                let is_quiet = is_quiet(&self.world.actions());
                self.world.timers[client] -= u8::from(!is_quiet);
                self.client(client).time_passes(scenario);
            }
            Action::TimeOutNotifies => {
                let effects = self.daemon().time_out_notifies();
                self.perform(effects);
            }
            Action::Reconnect { client } => self.reconnect(client),
            Action::Lose { client } => {
                self.world.budget.losses -= 1;
                self.client(client).heard.pop_front();
            }
            Action::Duplicate { client } => {
                self.world.budget.duplicates -= 1;
                let it = self.client(client);
                if let Some(heard) = it.heard.front().cloned() {
                    it.hears(scenario, heard);
                }
            }
            Action::Crash { client } => {
                self.world.budget.crashes -= 1;
                let stream = self.client(client).stream;
                self.client(client).crash(scenario);
                self.lose_stream(stream);
            }
            Action::Expire { client } | Action::ExpireDead { client } => {
                self.world.budget.expiries =
                    self.world.budget.expiries.saturating_sub(u8::from(action.is_fault()));
                let gid = self.client(client).gid;
                let effects = self.daemon().expire(gid);
                self.perform(effects);
            }
            Action::Cut { client } => {
                self.world.budget.cuts -= 1;
                let stream = self.client(client).stream;
                self.client(client).cut(scenario);
                self.lose_stream(stream);
            }
        }
    }

    fn lose_stream(&mut self, stream: Option<u64>) {
        if let Some(stream) = stream {
            let effects = self.daemon().lose(StreamId(stream));
            self.perform(effects);
        }
    }

    fn arrive(&mut self, client: usize, id: AskId) {
        let it = self.client(client);
        it.flying.retain(|flying| *flying != id);
        let (gid, watermark) = (it.gid, it.watermark());
        let Some(asked) = it.asked.iter_mut().find(|asked| asked.id == id) else { return };
        let is_first = !std::mem::replace(&mut asked.is_applied, true);
        let ask = asked.ask.clone();
        if let Ask::Notify(message) = &ask {
            let (begun, effects) = self.daemon().notify(gid, message);
            match begun {
                Ok(notify_id) => drop(self.client(client).notifying.insert(NotifyId(notify_id), id)),
                Err(errno) => self.client(client).answers.push((id, Answer::Failed(errno, None))),
            }
            return self.perform(effects);
        }
        let (answer, effects) = self.daemon().answer(gid, (id.0, watermark), &ask);
        if is_first {
            self.note(&ask, &answer);
        }
        let scenario = self.scenario;
        let it = self.client(client);
        if !it.is_alive {
            it.asked.retain(|asked| asked.id != id);
        } else if it.takes_at_once(id) {
            it.answered(scenario, id, answer);
        } else {
            it.answers.push((id, answer));
        }
        self.perform(effects);
    }

    /// What a vector that has happened means to the image.
    fn note(&mut self, ask: &Ask, answer: &Answer) {
        let history = &mut self.world.history;
        let is_done = !matches!(answer, Answer::Failed(..));
        match ask {
            Ask::Write { object, value, .. } if is_done => history.expected[*object as usize] = *value,
            // What is missing need not be discarded.
            Ask::Discard { object, .. } if is_done || *answer == Answer::Failed(Errno::ENOENT, Some(0)) => {
                history.expected[*object as usize] = 0;
            }
            Ask::Commit { id, change, .. } if is_done && *change != Change::Nothing => {
                history.is_flattened |= *change == Change::DetachParent;
                for (client, it) in self.world.clients.iter().enumerate() {
                    for (call, commits) in history.commits[client].iter_mut().enumerate() {
                        *commits += u8::from(request_id(it.gid, call) == *id);
                    }
                }
            }
            _ => {}
        }
    }

    fn rewatch(&mut self, client: usize) {
        let it = self.client(client);
        let (stream, cookie) = (it.stream, it.cookie);
        let (Some(stream), Some(rewatch)) = (stream, it.rewatch) else { return };
        let (pool, object) = (POOL.to_owned(), HEADER.to_owned());
        let request = match rewatch {
            Rewatch::Reconnect => WatchRequest::Reconnect { pool, object, cookie },
            Rewatch::Register => self.daemon().register(cookie),
        };
        let effects = self.daemon().watch(StreamId(stream), request);
        self.perform(effects);
    }

    fn reconnect(&mut self, client: usize) {
        let gid = self.client(client).gid;
        let (stream, effects) = self.daemon().hello(gid);
        match stream {
            Ok(stream) => self.client(client).reconnect(stream.0),
            Err(errno) => {
                let scenario = self.scenario;
                self.client(client).reconnect(0);
                self.client(client).hears(scenario, Heard::Cut(errno));
            }
        }
        self.perform(effects);
    }

    fn send_acks(&mut self, client: usize) {
        let it = self.client(client);
        let (stream, acks) = (it.stream, std::mem::take(&mut it.acks_out));
        let Some(stream) = stream else { return };
        for (NotifyId(notify_id), cookie, payload) in acks {
            let payload = messages::encode_ack(&payload);
            let (pool, object) = (POOL.to_owned(), HEADER.to_owned());
            let ack = WatchRequest::Ack { pool, object, notify_id, cookie, payload };
            let effects = self.daemon().watch(StreamId(stream), ack);
            self.perform(effects);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::ToWatcher { stream, event } => {
                    let heard = match event {
                        WatchEvent::Notification(notification) => Heard::Notification {
                            notify_id: NotifyId(notification.notify_id),
                            cookie: notification.cookie,
                            notifier: notification.notifier_gid,
                            message: messages::decode_message(&notification.payload),
                        },
                        WatchEvent::Result { cookie: 0, error: None } => continue,
                        WatchEvent::Result { error, .. } => {
                            Heard::Watched { error: error.map(|error| error.errno) }
                        }
                        WatchEvent::Disconnected { .. } => Heard::Disconnected,
                        _ => continue,
                    };
                    self.on_stream(stream, heard);
                }
                Effect::CutStream { stream, reason } => self.on_stream(stream, Heard::Cut(reason.errno)),
                Effect::NotifyDone { notify_id, reply } => {
                    let answer = |ack: osd::Ack| NotifyAnswer {
                        from: ClientId { gid: ack.gid, handle: ack.cookie },
                        payload: messages::decode_ack(&ack.payload),
                    };
                    let answers = reply.replies.into_iter().map(answer).collect();
                    let answers = NotifyAnswers { timed_out: reply.timed_out, answers };
                    self.notify_done(NotifyId(notify_id), answers);
                }
                Effect::SessionEnded { .. } => {}
            }
        }
    }

    fn on_stream(&mut self, stream: StreamId, heard: Heard) {
        let listening = |it: &Client| it.is_alive && it.stream == Some(stream.0);
        for client in 0..self.clients.len() {
            let it = self.clients[client].as_ref().unwrap_or(&self.world.clients[client]);
            if listening(it) {
                let scenario = self.scenario;
                let it = self.client(client);
                return match it.hears_at_once(&heard) {
                    true => it.hears(scenario, heard),
                    false => it.heard.push_back(heard),
                };
            }
        }
    }

    /// One whose notifier is not there any more is nobody's.
    fn notify_done(&mut self, notify_id: NotifyId, answers: NotifyAnswers) {
        for client in 0..self.clients.len() {
            let it = self.clients[client].as_ref().unwrap_or(&self.world.clients[client]);
            if it.notifying.contains_key(&notify_id) {
                let scenario = self.scenario;
                let it = self.client(client);
                if let Some(id) = it.notifying.remove(&notify_id) {
                    match it.takes_at_once(id) {
                        true => it.answered(scenario, id, Answer::Notified(answers)),
                        false => it.answers.push((id, Answer::Notified(answers))),
                    }
                }
                return;
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { client, .. } => write!(f, "the user of {} calls", name(*client)),
            Self::Arrive { client, .. } => write!(f, "{} is answered at the OSD", name(*client)),
            Self::Answer { client, .. } => write!(f, "{} gets the answer", name(*client)),
            Self::Hear { client } => write!(f, "{} hears", name(*client)),
            Self::Rewatch { client } => write!(f, "{} watches again", name(*client)),
            Self::Resume { client, .. } => write!(f, "{} starts over", name(*client)),
            Self::Timer { client } => write!(f, "a timer of {} goes off", name(*client)),
            Self::TimeOutNotifies => write!(f, "notifies time out"),
            Self::ExpireDead { client } => {
                write!(f, "the watch of {}, which is dead, expires", name(*client))
            }
            Self::Reconnect { client } => write!(f, "{} connects again", name(*client)),
            Self::Lose { client } => write!(f, "FAULT: lost on its way to {}", name(*client)),
            Self::Duplicate { client } => write!(f, "FAULT: comes to {} twice", name(*client)),
            Self::Crash { client } => write!(f, "FAULT: {} dies", name(*client)),
            Self::Expire { client } => write!(f, "FAULT: the watch of {} expires", name(*client)),
            Self::Cut { client } => write!(f, "FAULT: the connections of {} break", name(*client)),
        }
    }
}

/// "A", "B", ...
pub fn name(client: usize) -> char {
    char::from(b'A' + client as u8)
}

impl World {
    /// What an action is about, in this state.
    pub fn describe(&self, action: Action) -> String {
        let detail = match action {
            Action::Start { client, call } => format!("{:?}", self.clients[client].calls[call].deed),
            Action::Arrive { client, id } => {
                let asked = self.clients[client].asked.iter().find(|asked| asked.id == id);
                asked.map(|asked| format!("{:?}", asked.ask)).unwrap_or_default()
            }
            Action::Answer { client, id } => {
                let mut answers = self.clients[client].answers.iter();
                answers
                    .find(|(answered, _)| *answered == id)
                    .map(|(_, answer)| format!("{answer:?}"))
                    .unwrap_or_default()
            }
            Action::Hear { client } | Action::Lose { client } | Action::Duplicate { client } => {
                self.clients[client].heard.front().map(|heard| format!("{heard:?}")).unwrap_or_default()
            }
            _ => String::new(),
        };
        if detail.is_empty() { action.to_string() } else { format!("{action}: {detail}") }
    }
}
