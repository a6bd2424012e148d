//! Scripts: what the OSD says and what handles ask, and what is sent and told in return.

use errno::Errno;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::watch::queue::EVENTS_MAX;

type Done = oneshot::Receiver<Result<(), Error>>;

struct Script {
    table: Table,
    commands: mpsc::UnboundedReceiver<Command>,
}

struct Watched {
    queue: Arc<Queue>,
    done: Done,
}

impl Script {
    fn new() -> Self {
        let (sender, commands) = mpsc::unbounded_channel();
        Self { table: Table::new(7, sender), commands }
    }

    /// A script with watch 1 attached under cookie 1.
    fn attached() -> (Self, Watched) {
        let mut script = Self::new();
        let mut watched = script.watch(1);
        script.table.opened();
        assert_eq!(script.sent(), ["hello 7", "register 1"]);
        script.ok(0);
        script.ok(1);
        assert!(matches!(watched.done.try_recv(), Ok(Ok(()))));
        (script, watched)
    }

    fn watch(&mut self, id: u64) -> Watched {
        let queue = Arc::new(Queue::default());
        let (sender, done) = oneshot::channel();
        self.table.apply(Command::Register {
            id,
            pool: "rbd".to_owned(),
            object: "x".to_owned(),
            timeout_ms: 0,
            queue: queue.clone(),
            done: sender,
        });
        Watched { queue, done }
    }

    fn unwatch(&mut self, id: u64) -> Done {
        let (sender, done) = oneshot::channel();
        self.table.apply(Command::Unwatch { id, done: Some(sender) });
        done
    }

    fn ping(&mut self) -> oneshot::Receiver<()> {
        let (done, answered) = oneshot::channel();
        self.table.apply(Command::Ping { done });
        answered
    }

    fn pong(&mut self, sequence: u64) {
        self.event(Event::Pong(wire::Pong { sequence })).expect("the stream goes on");
    }

    fn ok(&mut self, cookie: u64) {
        self.answer(cookie, None).expect("the stream goes on");
    }

    fn refuse(&mut self, cookie: u64, errno: Errno) -> Result<(), Broken> {
        self.answer(cookie, Some(wire_error(errno)))
    }

    fn answer(&mut self, cookie: u64, error: Option<wire::Error>) -> Result<(), Broken> {
        self.event(Event::Result(wire::WatchResult { cookie, error }))
    }

    fn notify(&mut self, cookie: u64, notify_id: u64) {
        let notify = wire::Notification { cookie, notify_id, ..Default::default() };
        self.event(Event::Notify(notify)).expect("the stream goes on");
    }

    fn disconnected(&mut self, cookie: u64, errno: Errno) -> Result<(), Broken> {
        let gone = wire::Disconnected { cookie, error: Some(wire_error(errno)), ..Default::default() };
        self.event(Event::Disconnected(gone))
    }

    fn event(&mut self, event: Event) -> Result<(), Broken> {
        self.table.event(wire::WatchEvent { event: Some(event) })
    }

    fn reopened(&mut self) {
        self.table.lost();
        self.table.opened();
    }

    /// What is to be sent, in short.
    fn sent(&mut self) -> Vec<String> {
        let short = |request: wire::WatchRequest| match request.request {
            Some(Request::Hello(hello)) => format!("hello {}", hello.gid),
            Some(Request::Register(watch)) => format!("register {}", watch.cookie),
            Some(Request::Reconnect(watch)) => format!("reconnect {}", watch.cookie),
            Some(Request::Unwatch(watch)) => format!("unwatch {}", watch.cookie),
            Some(Request::Ping(ping)) => format!("ping {}", ping.sequence),
            Some(Request::Ack(ack)) => format!("ack {} {:?}", ack.notify_id, ack.payload),
            other => format!("{other:?}"),
        };
        self.table.take_outbox().into_iter().map(short).collect()
    }

    /// Applies what handles have sent, acks above all.
    fn apply_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.table.apply(command);
        }
    }
}

impl Watched {
    /// Events for the consumer so far, in short.
    fn told(&self) -> Vec<String> {
        let short = |event| match event {
            WatchEvent::Notify(notify) => format!("notify {}", notify.notify_id),
            WatchEvent::Lost(error) => format!("lost {}", error.errno()),
            other => format!("{other:?}"),
        };
        self.queue.drain().into_iter().map(short).collect()
    }
}

fn wire_error(errno: Errno) -> wire::Error {
    let (number, name) = (errno.number(), errno.name().to_owned());
    wire::Error { number, name, failed_op: None, text: String::new() }
}

#[test]
fn a_watch_is_registered_and_gets_notifies() {
    let (mut script, watched) = Script::attached();
    script.notify(1, 5);
    assert_eq!(watched.told(), ["notify 5"]);
    script.apply_commands();
    assert_eq!(script.sent(), ["ack 5 b\"\""], "a dropped notification acks with nothing");
}

/// Catalogue row 95: a registration error.
#[test]
fn a_registration_refused_is_told_to_the_caller_alone() {
    let mut script = Script::new();
    script.table.opened();
    script.ok(0);
    let mut watched = script.watch(1);
    script.refuse(1, Errno::ENOENT).expect("the stream goes on");
    assert_eq!(watched.done.try_recv().unwrap().unwrap_err().errno(), Errno::ENOENT);
    assert!(watched.told().is_empty());
    assert!(script.table.is_idle());
}

#[test]
fn a_lost_stream_resumes_every_watch_under_its_cookie() {
    let (mut script, first) = Script::attached();
    let second = script.watch(2);
    script.ok(2);
    script.sent();
    script.reopened();
    assert_eq!(script.sent(), ["hello 7", "reconnect 1", "reconnect 2"]);
    script.ok(0);
    script.ok(1);
    script.notify(1, 5);
    script.ok(2);
    assert_eq!(first.told(), ["Interrupted", "Resumed", "notify 5"]);
    assert_eq!(second.told(), ["Interrupted", "Resumed"]);
}

/// Catalogue row 96, 101: reregistered under a new handle.
#[test]
fn an_expired_watch_is_registered_under_a_cookie_never_used_before() {
    let (mut script, watched) = Script::attached();
    script.reopened();
    script.sent();
    script.ok(0);
    script.refuse(1, Errno::ENOTCONN).expect("the stream goes on");
    assert_eq!(script.sent(), ["register 2"]);
    script.ok(2);
    assert_eq!(watched.told(), ["Interrupted", "Reregistered { old: 1, new: 2 }"]);
    assert_eq!(watched.queue.handle(), 2);
}

/// Catalogue row 102: the object does not exist.
#[test]
fn a_watch_whose_object_is_gone_is_lost() {
    let (mut script, watched) = Script::attached();
    script.reopened();
    script.sent();
    script.ok(0);
    script.refuse(1, Errno::ENOENT).expect("the stream goes on");
    assert_eq!(watched.told(), ["Interrupted", "lost ENOENT"]);
    assert!(script.table.is_idle());
}

/// Catalogue row 98: an error of the new registration is not the end.
#[test]
fn a_renewed_registration_that_is_refused_is_retried() {
    let (mut script, watched) = Script::attached();
    script.disconnected(1, Errno::ENOTCONN).expect("the stream goes on");
    script.refuse(2, Errno::EMFILE).expect("the stream goes on");
    assert_eq!(script.sent(), ["register 2"]);
    script.table.retry();
    assert_eq!(script.sent(), ["register 3"]);
    script.refuse(3, Errno::EMFILE).expect("the stream goes on");
    script.reopened();
    assert_eq!(script.sent(), ["hello 7", "register 4"]);
    script.ok(0);
    script.ok(4);
    assert_eq!(watched.told(), ["Interrupted", "Reregistered { old: 1, new: 4 }"]);
}

/// Catalogue row 100: closed in the middle of the repair.
#[test]
fn an_unwatch_during_the_repair_removes_the_watch_of_the_new_cookie() {
    let (mut script, _watched) = Script::attached();
    script.disconnected(1, Errno::ENOTCONN).expect("the stream goes on");
    let mut done = script.unwatch(1);
    assert_eq!(script.sent(), ["register 2", "unwatch 2"]);
    script.ok(2);
    script.ok(2);
    assert!(matches!(done.try_recv(), Ok(Ok(()))));
    assert!(script.table.is_idle());
}

#[test]
fn a_watch_dropped_by_the_osd_is_registered_anew() {
    let (mut script, watched) = Script::attached();
    script.disconnected(1, Errno::ENOTCONN).expect("the stream goes on");
    assert_eq!(script.sent(), ["register 2"]);
    script.ok(2);
    assert_eq!(watched.told(), ["Interrupted", "Reregistered { old: 1, new: 2 }"]);
}

#[test]
fn a_watch_dropped_by_the_osd_is_lost_when_its_object_is_gone() {
    let (mut script, watched) = Script::attached();
    script.disconnected(1, Errno::ENOTCONN).expect("the stream goes on");
    script.refuse(2, Errno::ENOENT).expect("the stream goes on");
    assert_eq!(watched.told(), ["Interrupted", "lost ENOENT"]);
}

#[test]
fn a_stream_lost_in_the_middle_of_a_registration_asks_whether_it_happened() {
    let mut script = Script::new();
    let mut watched = script.watch(1);
    script.table.opened();
    script.reopened();
    assert_eq!(script.sent(), ["hello 7", "reconnect 1"]);
    script.ok(0);
    assert_eq!(watched.done.try_recv().unwrap_err(), TryRecvError::Empty);
    script.refuse(1, Errno::ENOTCONN).expect("the stream goes on");
    assert_eq!(script.sent(), ["register 2"]);
    script.ok(2);
    assert!(matches!(watched.done.try_recv(), Ok(Ok(()))));
    assert!(watched.told().is_empty(), "the caller knows no older cookie");
}

/// Catalogue row 99, 102: blocklisted during the repair.
#[test]
fn an_instance_fenced_or_forgotten_ends_the_session() {
    for errno in [Errno::EBLOCKLISTED, Errno::ENOTCONN] {
        let (mut script, watched) = Script::attached();
        script.reopened();
        let broken = script.refuse(0, errno).unwrap_err();
        let Broken::Session(error) = broken else { panic!("{broken:?}") };
        script.table.end(&error);
        assert_eq!(watched.told(), ["Interrupted".to_owned(), format!("lost {errno}")]);
    }
}

#[test]
fn a_watch_dropped_because_its_instance_is_fenced_ends_the_session() {
    let (mut script, _watched) = Script::attached();
    let broken = script.disconnected(1, Errno::EBLOCKLISTED).unwrap_err();
    assert!(matches!(broken, Broken::Session(error) if error.errno() == Errno::EBLOCKLISTED));
}

#[test]
fn an_answer_that_nobody_asked_for_breaks_the_stream() {
    let (mut script, _watched) = Script::attached();
    assert!(matches!(script.answer(1, None), Err(Broken::Protocol(_))));
}

#[test]
fn unwatch_is_asked_again_after_a_lost_stream() {
    let (mut script, _watched) = Script::attached();
    let mut done = script.unwatch(1);
    assert_eq!(script.sent(), ["unwatch 1"]);
    script.reopened();
    assert_eq!(script.sent(), ["hello 7", "unwatch 1"]);
    script.ok(0);
    script.ok(1);
    assert!(matches!(done.try_recv(), Ok(Ok(()))));
    assert!(script.table.is_idle());
}

#[test]
fn the_drop_that_follows_an_unwatch_takes_nothing_from_its_caller() {
    let (mut script, _watched) = Script::attached();
    let mut done = script.unwatch(1);
    script.table.apply(Command::Unwatch { id: 1, done: None });
    script.ok(1);
    assert!(matches!(done.try_recv(), Ok(Ok(()))));
}

#[test]
fn a_watch_that_the_osd_never_heard_of_is_unwatched_at_once() {
    let mut script = Script::new();
    script.watch(1);
    let mut done = script.unwatch(1);
    assert!(matches!(done.try_recv(), Ok(Ok(()))));
    script.table.opened();
    assert_eq!(script.sent(), ["hello 7"]);
}

#[test]
fn an_ack_without_a_stream_is_dropped() {
    let (mut script, watched) = Script::attached();
    script.notify(1, 5);
    script.table.lost();
    watched.told();
    script.apply_commands();
    script.table.opened();
    assert_eq!(script.sent(), ["hello 7", "reconnect 1"]);
}

#[test]
fn a_consumer_that_does_not_read_loses_its_watch_and_no_one_waits_for_it() {
    let (mut script, watched) = Script::attached();
    let other = script.watch(2);
    script.ok(2);
    script.sent();
    for notify in 0..=EVENTS_MAX as u64 {
        script.notify(1, notify);
    }
    script.notify(2, 9_999);
    assert_eq!(other.told(), ["notify 9999"]);
    assert_eq!(script.sent(), ["unwatch 1"]);
    script.ok(1);

    let told = watched.told();
    assert_eq!(told.len(), EVENTS_MAX + 1);
    assert_eq!(told[EVENTS_MAX], "Interrupted");
    script.table.apply(Command::Unpark { id: 1 });
    assert_eq!(script.sent(), ["register 3"]);
    script.ok(3);
    assert_eq!(watched.told(), ["Reregistered { old: 1, new: 3 }"]);
}

#[test]
fn closing_removes_every_watch_and_says_when_it_is_done() {
    let (mut script, _watched) = Script::attached();
    let (done, mut closed) = oneshot::channel();
    script.table.apply(Command::Close { done });
    assert_eq!(script.sent(), ["unwatch 1"]);
    assert!(closed.try_recv().is_err());
    script.ok(1);
    assert_eq!(closed.try_recv(), Ok(()));
}

/// Or a clock that is advanced would take a live client for a silent one.
#[test]
fn an_ask_is_answered_by_a_ping_at_once() {
    let (mut script, _watched) = Script::attached();
    script.event(Event::Ask(wire::Ask {})).expect("the stream goes on");
    assert_eq!(script.sent(), ["ping 1"]);
}

#[test]
fn who_pings_hears_the_pong_to_his_own_ping() {
    let (mut script, _watched) = Script::attached();
    script.table.ping();
    let mut pinging = script.ping();
    assert_eq!(script.sent(), ["ping 1", "ping 2"]);
    script.pong(1);
    assert_eq!(pinging.try_recv(), Err(TryRecvError::Empty));
    script.pong(2);
    assert_eq!(pinging.try_recv(), Ok(()));
}

#[test]
fn without_a_stream_nobody_waits_for_a_pong() {
    let (mut script, _watched) = Script::attached();
    let mut pinging = script.ping();
    script.table.lost();
    assert_eq!(pinging.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(script.ping().try_recv(), Err(TryRecvError::Closed), "there is none yet");
}
