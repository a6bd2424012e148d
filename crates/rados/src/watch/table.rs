use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use errno::Errno;
use proto::osd::v1::{self as wire, watch_event::Event, watch_request::Request};
use tokio::sync::{mpsc, oneshot};

use super::{Ack, Notification, WatchEvent, handle::no_such_watch, queue::Queue};
use crate::Error;

/// What handles ask of the watch stream's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new watch; `done` hears how the first registration ends.
    Register {
        id: u64,
        pool: String,
        object: String,
        timeout_ms: u64,
        queue: Arc<Queue>,
        done: oneshot::Sender<Result<(), Error>>,
    },
    /// The consumer of a parked watch has caught up.
    Unpark { id: u64 },
    /// Removes a watch; an unknown one is fine.
    Unwatch { id: u64, done: Option<oneshot::Sender<Result<(), Error>>> },
    /// Answers a notify.
    Ack(wire::NotifyAck),
    /// Asks the OSD for a sign of life; `done` hears when it came, and is dropped when there is no stream (any more).
    Ping { done: oneshot::Sender<()> },
    /// Removes every watch; `done` hears when the last one is gone.
    Close { done: oneshot::Sender<()> },
}

/// The watches of one session, and what the OSD has yet to answer. Events go in; requests to send are left in the outbox
/// and events for consumers in their queues. No I/O and no time.
///
/// | phase     | event                            | next      | sent, told                                          |
/// |-----------|----------------------------------|-----------|-----------------------------------------------------|
/// | Asked     | stream opened                    | Asked     | Register, or Reconnect if this cookie was sent      |
/// | Asked     | answer ok                        | Attached  | caller: Ok / Resumed / Reregistered                 |
/// | Asked     | Reconnect: ENOTCONN              | Asked     | Register under a new cookie                         |
/// | Asked     | first Register refused           | (gone)    | caller: Err                                         |
/// | Asked     | ENOENT                           | (gone)    | Lost                                                |
/// | Asked     | any other error                  | Refused   |                                                     |
/// | Refused   | time to retry, stream opened     | Asked     | Register under a new cookie                         |
/// | Attached  | stream lost                      | Asked     | Interrupted                                         |
/// | Attached  | Disconnected                     | Asked     | Interrupted; Register under a new cookie            |
/// | Attached  | notify, queue full               | Parked    | Unwatch; Interrupted                                |
/// | Parked    | consumer caught up               | Asked     | Register under a new cookie                         |
/// | any       | unwatch                          | Unwatching| Unwatch                                             |
/// | Unwatching| answer                           | (gone)    | caller: the answer; Lost                            |
/// | Unwatching| stream opened                    | Unwatching| Unwatch                                             |
/// | any       | session ended                    | (gone)    | caller: Err / Lost                                  |
#[derive(Debug)]
pub(super) struct Table {
    gid: u64,
    next_cookie: u64,
    watches: BTreeMap<u64, Entry>,
    /// Answers that are due, in order. Empty while the stream is down.
    expected: VecDeque<Expected>,
    outbox: Vec<wire::WatchRequest>,
    is_open: bool,
    pings_sent: u64,
    /// Who waits for the pong to which ping.
    pinging: VecDeque<(u64, oneshot::Sender<()>)>,
    /// For acks of the notifies handed out.
    commands: mpsc::UnboundedSender<Command>,
    closing: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Entry {
    pool: String,
    object: String,
    timeout_ms: u64,
    /// Never used before in this session.
    cookie: u64,
    /// A Register with this cookie was sent: the OSD may know it.
    was_sent: bool,
    /// The cookie that the consumer knows.
    announced: Option<u64>,
    phase: Phase,
    queue: Arc<Queue>,
    /// Who waits for the first registration.
    registering: Option<oneshot::Sender<Result<(), Error>>>,
}

#[derive(Debug)]
enum Phase {
    Asked,
    Attached,
    Parked,
    Refused,
    Unwatching(Option<oneshot::Sender<Result<(), Error>>>),
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Hello,
    Register {
        id: u64,
        cookie: u64,
    },
    Reconnect {
        id: u64,
        cookie: u64,
    },
    Unwatch {
        id: u64,
        cookie: u64,
    },
    /// Of a parked watch: its answer changes nothing.
    Forget {
        cookie: u64,
    },
}

/// Why a stream cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The session has ended for good.
    Session(Error),
    /// Not what the protocol says; to be opened again.
    Protocol(String),
}

impl Table {
    pub(super) fn new(gid: u64, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self {
            gid,
            next_cookie: 1,
            watches: BTreeMap::new(),
            expected: VecDeque::new(),
            outbox: Vec::new(),
            is_open: false,
            pings_sent: 0,
            pinging: VecDeque::new(),
            commands,
            closing: None,
        }
    }

    /// Whether a stream is needed.
    pub(super) fn is_idle(&self) -> bool {
        self.watches.is_empty()
    }

    /// What is to be sent, in order.
    pub(super) fn take_outbox(&mut self) -> Vec<wire::WatchRequest> {
        std::mem::take(&mut self.outbox)
    }

    /// A stream is being opened: greets, and asks for every watch again.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
        self.ask(Request::Hello(wire::Hello { gid: self.gid }), Expected::Hello);
        let ids: Vec<u64> = self.watches.keys().copied().collect();
        ids.into_iter().for_each(|id| self.ask_again(id));
        self.retry();
    }

    /// Renews the watches.
    pub(super) fn ping(&mut self) {
        self.pings_sent += 1;
        self.send(Request::Ping(wire::Ping { sequence: self.pings_sent }));
    }

    /// Asks again for watches whose renewed registration was refused, e.g. at the OSD's limit.
    pub(super) fn retry(&mut self) {
        let is_refused = |entry: &Entry| matches!(entry.phase, Phase::Refused);
        let refused = self.watches.iter().filter(|(_, entry)| is_refused(entry)).map(|(&id, _)| id);
        let refused: Vec<u64> = refused.collect();
        refused.into_iter().for_each(|id| self.register_anew(id));
    }

    /// The stream is lost. That says nothing about the watches: they belong to their objects.
    pub(super) fn lost(&mut self) {
        self.is_open = false;
        self.expected.clear();
        self.outbox.clear();
        self.pinging.clear();
        for entry in self.watches.values_mut() {
            if matches!(entry.phase, Phase::Attached) {
                entry.phase = Phase::Asked;
                entry.queue.push_change(WatchEvent::Interrupted);
            }
        }
    }

    /// The session has ended.
    pub(super) fn end(&mut self, cause: &Error) {
        self.lost();
        for entry in std::mem::take(&mut self.watches).into_values() {
            entry.fail(cause);
        }
        self.check_closed();
    }

    pub(super) fn apply(&mut self, command: Command) {
        match command {
            Command::Register { id, pool, object, timeout_ms, queue, done } => {
                let cookie = self.take_cookie();
                let entry = Entry {
                    pool,
                    object,
                    timeout_ms,
                    cookie,
                    was_sent: false,
                    announced: None,
                    phase: Phase::Asked,
                    queue,
                    registering: Some(done),
                };
                self.watches.insert(id, entry);
                self.ask_again(id);
            }
            Command::Unpark { id } => {
                if matches!(self.watches.get(&id), Some(Entry { phase: Phase::Parked, .. })) {
                    self.register_anew(id);
                }
            }
            Command::Unwatch { id, done } => self.unwatch(id, done),
            Command::Ack(ack) if self.is_open => self.send(Request::Ack(ack)),
            Command::Ack(_) => {}
            Command::Ping { done } if self.is_open => {
                self.ping();
                self.pinging.push_back((self.pings_sent, done));
            }
            Command::Ping { .. } => {}
            Command::Close { done } => {
                self.closing = Some(done);
                let ids: Vec<u64> = self.watches.keys().copied().collect();
                ids.into_iter().for_each(|id| self.unwatch(id, None));
                self.check_closed();
            }
        }
    }

    /// Takes what the OSD sent.
    pub(super) fn event(&mut self, event: wire::WatchEvent) -> Result<(), Broken> {
        match event.event {
            Some(Event::Result(result)) => self.answered(result),
            Some(Event::Notify(notify)) => {
                self.deliver(notify);
                Ok(())
            }
            Some(Event::Disconnected(gone)) => self.disconnected(gone),
            Some(Event::Pong(pong)) => {
                self.ponged(pong.sequence);
                Ok(())
            }
            Some(Event::Ask(_)) => {
                self.ping();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The OSD answers pings in their order.
    fn ponged(&mut self, sequence: u64) {
        while self.pinging.front().is_some_and(|(of, _)| *of <= sequence) {
            let _ = self.pinging.pop_front().map(|(_, done)| done.send(()));
        }
    }

    fn answered(&mut self, result: wire::WatchResult) -> Result<(), Broken> {
        let Some(expected) = self.expected.pop_front() else {
            return Err(Broken::Protocol(format!(
                "an answer for cookie {} that nobody asked for",
                result.cookie
            )));
        };
        if expected.cookie() != result.cookie {
            return Err(Broken::Protocol(format!("{expected:?} was answered for cookie {}", result.cookie)));
        }
        let error = result.error.map(|error| Error::from_wire(error, ""));
        if let Some(error) = &error
            && expected.is_about_session(error.errno())
        {
            return Err(Broken::Session(error.clone()));
        }
        match (expected, error) {
            (Expected::Hello, Some(error)) => return Err(Broken::Protocol(error.to_string())),
            (Expected::Hello | Expected::Forget { .. }, _) => {}
            (Expected::Register { id, cookie } | Expected::Reconnect { id, cookie }, None) => {
                self.attached(id, cookie);
            }
            (Expected::Reconnect { id, cookie }, Some(error)) if error.errno() == Errno::ENOTCONN => {
                if self.is_asked(id, cookie) {
                    self.register_anew(id);
                }
            }
            (Expected::Register { id, cookie } | Expected::Reconnect { id, cookie }, Some(error)) => {
                if self.is_asked(id, cookie) {
                    self.refused(id, &error);
                }
            }
            (Expected::Unwatch { id, .. }, error) => self.unwatched(id, error),
        }
        Ok(())
    }

    fn attached(&mut self, id: u64, cookie: u64) {
        if !self.is_asked(id, cookie) {
            return;
        }
        let Some(entry) = self.watches.get_mut(&id) else { return };
        entry.phase = Phase::Attached;
        entry.queue.set_handle(cookie);
        match entry.announced.replace(cookie) {
            None => {
                if let Some(registering) = entry.registering.take() {
                    let _ = registering.send(Ok(()));
                }
            }
            Some(known) if known == cookie => entry.queue.push_change(WatchEvent::Resumed),
            Some(old) => entry.queue.push_change(WatchEvent::Reregistered { old, new: cookie }),
        }
    }

    /// A watch that its consumer has had before is given up only when its object is gone.
    fn refused(&mut self, id: u64, error: &Error) {
        let Some(entry) = self.watches.get_mut(&id) else { return };
        if entry.announced.is_some() && error.errno() != Errno::ENOENT {
            tracing::warn!(object = entry.object, %error, "watch not registered again; to be retried");
            entry.phase = Phase::Refused;
            return;
        }
        if let Some(entry) = self.watches.remove(&id) {
            entry.fail(error);
        }
        self.check_closed();
    }

    fn deliver(&mut self, notify: wire::Notification) {
        let watching = self.watches.iter_mut().find(|(_, entry)| entry.cookie == notify.cookie);
        let Some((&id, entry)) = watching else { return };
        if !matches!(entry.phase, Phase::Asked | Phase::Attached) {
            return;
        }
        let commands = self.commands.clone();
        let was_queued = entry.queue.push_notify(|| {
            let ack = Ack::new(commands, &notify);
            WatchEvent::Notify(Notification {
                notify_id: notify.notify_id,
                notifier_gid: notify.notifier_gid,
                payload: notify.payload,
                ack,
            })
        });
        if !was_queued {
            self.park(id);
        }
    }

    /// The consumer is too slow: gives the watch up so that no notifier waits for it.
    fn park(&mut self, id: u64) {
        let Some(entry) = self.watches.get_mut(&id) else { return };
        tracing::warn!(object = entry.object, cookie = entry.cookie, "watch parked: its events are not read");
        if matches!(entry.phase, Phase::Attached) {
            entry.queue.push_change(WatchEvent::Interrupted);
        }
        entry.phase = Phase::Parked;
        let cookie = entry.cookie;
        let request = entry.unwatch_request();
        self.ask(request, Expected::Forget { cookie });
    }

    fn disconnected(&mut self, gone: wire::Disconnected) -> Result<(), Broken> {
        let error = gone.error.map(|error| Error::from_wire(error, ""));
        if let Some(error) = error
            && error.errno() == Errno::EBLOCKLISTED
        {
            return Err(Broken::Session(error));
        }
        let is_attached =
            |entry: &Entry| entry.cookie == gone.cookie && matches!(entry.phase, Phase::Attached);
        let watching = self.watches.iter().find(|(_, entry)| is_attached(entry));
        if let Some((&id, entry)) = watching {
            entry.queue.push_change(WatchEvent::Interrupted);
            self.register_anew(id);
        }
        Ok(())
    }

    fn register_anew(&mut self, id: u64) {
        let cookie = self.take_cookie();
        if let Some(entry) = self.watches.get_mut(&id) {
            entry.cookie = cookie;
            entry.was_sent = false;
            entry.phase = Phase::Asked;
            self.ask_again(id);
        }
    }

    /// Asks for what the entry's phase still wants.
    fn ask_again(&mut self, id: u64) {
        if !self.is_open {
            return;
        }
        let Some(entry) = self.watches.get_mut(&id) else { return };
        let cookie = entry.cookie;
        let (request, expected) = match entry.phase {
            Phase::Attached | Phase::Parked | Phase::Refused => return,
            Phase::Unwatching(_) => (entry.unwatch_request(), Expected::Unwatch { id, cookie }),
            Phase::Asked if entry.was_sent => (entry.reconnect_request(), Expected::Reconnect { id, cookie }),
            Phase::Asked => (entry.register_request(), Expected::Register { id, cookie }),
        };
        entry.was_sent = true;
        self.ask(request, expected);
    }

    fn unwatch(&mut self, id: u64, done: Option<oneshot::Sender<Result<(), Error>>>) {
        let Some(entry) = self.watches.get_mut(&id) else {
            if let Some(done) = done {
                let _ = done.send(Err(no_such_watch()));
            }
            return;
        };
        if let Phase::Unwatching(waiting) = &mut entry.phase {
            // The handle's drop follows its unwatch().
            *waiting = waiting.take().or(done);
            return;
        }
        let is_unknown_to_osd = !entry.was_sent;
        entry.phase = Phase::Unwatching(done);
        if is_unknown_to_osd {
            self.unwatched(id, None);
        } else {
            self.ask_again(id);
        }
    }

    fn unwatched(&mut self, id: u64, error: Option<Error>) {
        if let Some(Entry { phase: Phase::Unwatching(done), queue, .. }) = self.watches.remove(&id) {
            // Read only when the session is shut down under a watch that is still in use.
            queue.push_change(WatchEvent::Lost(Error::new(Errno::ESHUTDOWN, "watch", "it was unwatched")));
            if let Some(done) = done {
                let _ = done.send(error.map_or(Ok(()), Err));
            }
        }
        self.check_closed();
    }

    fn check_closed(&mut self) {
        if self.watches.is_empty()
            && let Some(closing) = self.closing.take()
        {
            let _ = closing.send(());
        }
    }

    fn is_asked(&self, id: u64, cookie: u64) -> bool {
        let entry = self.watches.get(&id);
        entry.is_some_and(|entry| entry.cookie == cookie && matches!(entry.phase, Phase::Asked))
    }

    fn take_cookie(&mut self) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        cookie
    }

    fn ask(&mut self, request: Request, expected: Expected) {
        if self.is_open {
            self.expected.push_back(expected);
            self.send(request);
        }
    }

    fn send(&mut self, request: Request) {
        self.outbox.push(wire::WatchRequest { request: Some(request) });
    }
}

impl Expected {
    /// The cookie that the answer names; 0 for Hello.
    fn cookie(self) -> u64 {
        match self {
            Self::Hello => 0,
            Self::Register { cookie, .. }
            | Self::Reconnect { cookie, .. }
            | Self::Unwatch { cookie, .. }
            | Self::Forget { cookie } => cookie,
        }
    }

    /// Whether an error is about the session: ENOTCONN is, unless the request names a watch that may have expired.
    fn is_about_session(self, errno: Errno) -> bool {
        match self {
            Self::Hello | Self::Register { .. } => matches!(errno, Errno::EBLOCKLISTED | Errno::ENOTCONN),
            Self::Reconnect { .. } | Self::Unwatch { .. } | Self::Forget { .. } => {
                errno == Errno::EBLOCKLISTED
            }
        }
    }
}

impl Entry {
    fn register_request(&self) -> Request {
        Request::Register(wire::Register {
            pool: self.pool.clone(),
            object: self.object.clone(),
            cookie: self.cookie,
            timeout_ms: self.timeout_ms,
        })
    }

    fn reconnect_request(&self) -> Request {
        Request::Reconnect(wire::Reconnect {
            pool: self.pool.clone(),
            object: self.object.clone(),
            cookie: self.cookie,
        })
    }

    fn unwatch_request(&self) -> Request {
        Request::Unwatch(wire::Unwatch {
            pool: self.pool.clone(),
            object: self.object.clone(),
            cookie: self.cookie,
        })
    }

    /// Tells everybody who waits that the watch is gone.
    fn fail(self, cause: &Error) {
        let error = cause.seen_by(format!("watch {}/{}", self.pool, self.object));
        if let Phase::Unwatching(Some(done)) = self.phase {
            let _ = done.send(Err(error.clone()));
        }
        match self.registering {
            Some(registering) => drop(registering.send(Err(error))),
            None => self.queue.push_change(WatchEvent::Lost(error)),
        }
    }
}

#[cfg(test)]
mod tests;
