use std::collections::BTreeMap;
use std::sync::Arc;

use errno::Errno;
use osd::{Millis, OpError, StreamId, WatchEvent, WatchRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::outlet;

/// Things at a time that faults delay or hold.
const DELAYED_MAX: usize = 10_000;

/// What goes on later.
#[derive(Debug)]
pub(super) enum Late {
    /// A task that waits.
    Task(oneshot::Sender<()>),
    /// An event for a watch stream.
    Event { stream: StreamId, event: Box<WatchEvent> },
    /// A request of a watch stream.
    Request { stream: StreamId, request: WatchRequest },
    /// A second copy of an op vector; nobody waits for its reply.
    Vector(Box<osd::Request>),
}

/// Until when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Due(Millis),
    /// What this rule holds is released.
    Released {
        rule: u64,
    },
}

/// What faults have delayed or hold. What has the same time goes on in the order in which it came.
#[derive(Debug)]
pub(super) struct LateQueue {
    due: BTreeMap<(Millis, u64), Waiting>,
    /// By rule.
    held: BTreeMap<(u64, u64), Waiting>,
    newest: u64,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Waiting {
    late: Late,
    _bytes: OwnedSemaphorePermit,
}

/// There is no room for something to wait.
#[derive(Debug)]
pub(super) struct Full {
    pub(super) late: Late,
    /// EAGAIN; names the limit.
    pub(super) error: OpError,
}

impl Full {
    /// It goes on as if no fault had befallen it.
    pub(super) fn let_go(self) -> Late {
        tracing::warn!("{}: one more is not", self.error.text);
        self.late
    }
}

impl LateQueue {
    pub(super) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(bytes_max));
        Self { due: BTreeMap::new(), held: BTreeMap::new(), newest: 0, room, bytes_max }
    }

    /// Gives it back at a limit. `bytes` is what it holds, also where that is kept elsewhere.
    pub(super) fn add(&mut self, until: Until, late: Late, bytes: usize) -> Result<(), Box<Full>> {
        let room = self.place().and_then(|()| self.room(bytes));
        let _bytes = match room {
            Ok(bytes) => bytes,
            Err(error) => return Err(Box::new(Full { late, error })),
        };
        self.newest += 1;
        let waiting = Waiting { late, _bytes };
        match until {
            Until::Due(at) => self.due.insert((at, self.newest), waiting),
            Until::Released { rule } => self.held.insert((rule, self.newest), waiting),
        };
        Ok(())
    }

    fn place(&self) -> Result<(), OpError> {
        if self.due.len() + self.held.len() < DELAYED_MAX {
            return Ok(());
        }
        Err(full(format!("delayed_max = {DELAYED_MAX} things are delayed or held by faults")))
    }

    /// Room for so many bytes, given back when it is dropped; what is larger than all the room has it alone. EAGAIN.
    pub(super) fn room(&mut self, bytes: usize) -> Result<OwnedSemaphorePermit, OpError> {
        let permits = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        let take = |room: &Arc<Semaphore>| room.clone().try_acquire_many_owned(permits).ok();
        let taken = take(&self.room).or_else(|| {
            self.due.retain(|_, waiting| !waiting.late.is_abandoned());
            self.held.retain(|_, waiting| !waiting.late.is_abandoned());
            take(&self.room)
        });
        taken.ok_or_else(|| {
            let (max, held) = (self.bytes_max, self.bytes_max - self.room.available_permits());
            full(format!("{held} bytes are delayed or held by faults: delayed_bytes_max = {max}"))
        })
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Late> {
        let is_due = self.next_due().is_some_and(|at| at <= now);
        if is_due { self.due.pop_first().map(|(_, waiting)| waiting.late) } else { None }
    }

    /// What the rule holds, in the order in which it came; `None` = what all rules hold.
    pub(super) fn release(&mut self, rule: Option<u64>) -> Vec<Late> {
        let all = std::mem::take(&mut self.held).into_iter();
        let (mut released, held): (Vec<_>, Vec<_>) =
            all.partition(|&((of, _), _)| rule.is_none_or(|rule| rule == of));
        self.held = held.into_iter().collect();
        released.sort_by_key(|&((_, came), _)| came);
        released.into_iter().map(|(_, waiting)| waiting.late).collect()
    }

    /// How many things the rule holds that are still waited for.
    pub(super) fn held(&self, rule: u64) -> usize {
        let held = self.held.range((rule, 0)..=(rule, u64::MAX));
        held.filter(|(_, waiting)| !waiting.late.is_abandoned()).count()
    }
}

impl Late {
    /// Nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Task(word) if word.is_closed())
    }

    /// What it holds itself; a task says that of its own.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Task(_) => 0,
            Self::Event { event, .. } => outlet::bytes_of(event, false),
            Self::Request { request: WatchRequest::Ack { payload, .. }, .. } => payload.len(),
            Self::Request { .. } => 0,
            Self::Vector(request) => vector_bytes(request),
        }
    }
}

/// What an op vector carries.
pub(crate) fn vector_bytes(request: &osd::Request) -> usize {
    let bytes: u64 = request.vector.ops.iter().map(osd::op::Op::payload).sum();
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A limit is reached.
fn full(text: String) -> OpError {
    OpError { errno: Errno::EAGAIN, failed_op: None, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_nobody_waits_for_makes_room() {
        let mut late = LateQueue::new(1000);
        let held = Until::Released { rule: 1 };
        let (word, waits) = oneshot::channel();
        late.add(held, Late::Task(word), 600).expect("there is room");
        let (word, _waits) = oneshot::channel();
        let full = late.add(held, Late::Task(word), 600).expect_err("there is none");
        assert_eq!(full.error.errno, Errno::EAGAIN);
        let text = full.error.text;
        assert_eq!(text, "600 bytes are delayed or held by faults: delayed_bytes_max = 1000");
        drop(waits);
        late.add(held, full.late, 5000).expect("what is larger than the room has it alone");
        assert!(late.room(1).is_err());
        assert_eq!(late.release(None).len(), 1);
        assert!(late.room(1000).is_ok());
    }
}
