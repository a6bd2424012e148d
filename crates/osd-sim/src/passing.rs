//! Op vectors of one stream or connection on their way through the doors at which faults are asked for: what is late, and what waits
//! behind it. Both kinds of clients come through here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osd::OpError;
use osd::faults::Direction;
use store::{Name, Seq};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::calls;
use crate::daemon::{Daemon, Passage, vector_bytes};

/// Op vectors on their way. What has to be answered comes out of [`Passing::answered`].
pub(crate) struct Passing<T> {
    daemon: Arc<Daemon>,
    /// Each ends when it is time.
    late: FuturesUnordered<BoxFuture<'static, Late<T>>>,
    /// What came behind a late request for the same object: ops on one object keep their order.
    behind: BTreeMap<Place, VecDeque<Coming<T>>>,
    answered: VecDeque<Answered<T>>,
}

/// What belongs to a request beside its vector, for its answer.
pub(crate) trait Beside: Send + 'static {
    /// For the second of two answers.
    fn twin(&self) -> Self;
    /// What it holds while it waits.
    fn bytes(&self) -> usize;
}

/// The answer to the vector of this number.
pub(crate) struct Answered<T> {
    pub(crate) tid: u64,
    pub(crate) reply: Arc<osd::Reply>,
    /// It waits for [`Daemon::until_durable`].
    pub(crate) seen: Seq,
    pub(crate) beside: T,
}

/// Pool, namespace and object.
type Place = (String, Name, Name);

/// Of a reply that no step made.
const NOTHING_SEEN: Seq = Seq(0);

struct Coming<T> {
    request: osd::Request,
    beside: T,
    /// False for a session that the OSD is going to refuse: nothing befalls its ops.
    has_doors: bool,
    /// Of what waits behind another.
    room_behind: Option<OwnedSemaphorePermit>,
}

/// What a fault has delayed or held.
pub(crate) struct Late<T>(Went<T>);

enum Went<T> {
    Request(Coming<T>),
    Reply(Answered<T>),
}

impl<T: Beside> Passing<T> {
    pub(crate) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, late: FuturesUnordered::new(), behind: BTreeMap::new(), answered: VecDeque::new() }
    }

    /// Nothing is late, and nothing befalls what comes.
    pub(crate) fn is_clear(&self) -> bool {
        self.behind.is_empty() && !self.daemon.has_rules()
    }

    /// Nothing is late.
    pub(crate) fn is_idle(&self) -> bool {
        self.late.is_empty()
    }

    /// The next answer.
    pub(crate) fn answered(&mut self) -> Option<Answered<T>> {
        self.answered.pop_front()
    }

    /// One vector has come.
    pub(crate) fn come(&mut self, request: osd::Request, beside: T) {
        let gid = request.gid;
        let is_live = || gid == 0 || self.daemon.look(|osd| osd.session_over(gid)).is_none();
        let has_doors = self.daemon.has_rules() && is_live();
        let mut coming = Coming { request, beside, has_doors, room_behind: None };
        if self.is_clear() {
            return self.execute(coming);
        }
        match self.behind.get_mut(&place(&coming)) {
            None => self.enter(coming),
            Some(queue) => match self.daemon.room_behind(bytes(&coming)) {
                Ok(room) => {
                    coming.room_behind = Some(room);
                    queue.push_back(coming);
                }
                Err(full) => self.refuse(coming, full, NOTHING_SEEN),
            },
        }
    }

    /// What goes on next; `None` when nothing is late. Nothing is lost when it is dropped.
    pub(crate) async fn next(&mut self) -> Option<Late<T>> {
        self.late.next().await
    }

    /// What was late goes on, and what came behind it.
    pub(crate) fn go_on(&mut self, Late(late): Late<T>) {
        let coming = match late {
            Went::Reply(reply) => return self.answered.push_back(reply),
            Went::Request(coming) => coming,
        };
        let place = place(&coming);
        let mut queue = self.behind.remove(&place).unwrap_or_default();
        self.execute(coming);
        while let Some(next) = queue.pop_front() {
            self.enter(next);
            if let Some(behind) = self.behind.get_mut(&place) {
                behind.append(&mut queue);
            }
        }
    }

    /// What was on its way when its client went arrives; nobody takes the answers.
    pub(crate) async fn finish(mut self) {
        while let Some(late) = self.next().await {
            self.go_on(late);
            self.answered.clear();
        }
    }

    /// Brings a request through the door.
    fn enter(&mut self, mut coming: Coming<T>) {
        coming.room_behind = None;
        let held = bytes(&coming);
        match self.pass_in(&coming, held) {
            Passage::Goes | Passage::Old => self.execute(coming),
            Passage::Waits(word) => {
                self.behind.insert(place(&coming), VecDeque::new());
                self.put_off(word, Went::Request(coming));
            }
            Passage::Twice(after) => {
                let copy = coming.request.clone();
                self.execute(coming);
                self.daemon.send_copy(after, copy);
            }
            Passage::Refused(error) => self.refuse(coming, error, NOTHING_SEEN),
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    fn execute(&mut self, coming: Coming<T>) {
        let (reply, seen) = self.daemon.operate(&coming.request);
        let bytes = crate::wire::reply_bytes(&reply);
        let passage = self.pass(Direction::Reply, &coming, bytes);
        let tid = coming.request.tid;
        let answered = |beside| Answered { tid, reply: reply.clone(), seen, beside };
        match passage {
            Passage::Goes | Passage::Old => self.answered.push_back(answered(coming.beside)),
            Passage::Waits(word) => self.put_off(word, Went::Reply(answered(coming.beside))),
            Passage::Twice(after) => {
                let twin = answered(coming.beside.twin());
                self.answered.push_back(answered(coming.beside));
                let word = self.daemon.later(after, bytes);
                self.put_off(word, Went::Reply(twin));
            }
            Passage::Refused(error) => self.refuse(coming, error, seen),
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    fn refuse(&mut self, coming: Coming<T>, error: OpError, seen: Seq) {
        let Coming { request, beside, .. } = coming;
        let reply = Arc::new(Err(error.into()));
        self.answered.push_back(Answered { tid: request.tid, reply, seen, beside });
    }

    /// The door for requests, and behind it that for acks.
    fn pass_in(&self, coming: &Coming<T>, bytes: usize) -> Passage {
        match self.pass(Direction::Request, coming, bytes) {
            Passage::Goes if calls::acked(&coming.request).is_some() => {
                self.pass(Direction::Ack, coming, bytes)
            }
            passage => passage,
        }
    }

    fn pass(&self, direction: Direction, coming: &Coming<T>, bytes: usize) -> Passage {
        if !coming.has_doors || !self.daemon.has_rules() {
            return Passage::Goes;
        }
        let named = calls::Named::at(&self.daemon, direction, &coming.request);
        self.daemon.pass(calls::of_vector(direction, &coming.request, &named), bytes)
    }

    fn put_off(&mut self, word: oneshot::Receiver<()>, went: Went<T>) {
        self.late.push(word.map(|_word| Late(went)).boxed());
    }
}

/// What it holds while it waits.
fn bytes<T: Beside>(coming: &Coming<T>) -> usize {
    vector_bytes(&coming.request) + coming.beside.bytes()
}

fn place<T>(coming: &Coming<T>) -> Place {
    let vector = &coming.request.vector;
    (vector.pool.clone(), vector.namespace.clone(), vector.object.clone())
}
