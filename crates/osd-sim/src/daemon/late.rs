use std::collections::BTreeMap;

use osd::{Millis, StreamId, WatchEvent, WatchRequest};
use tokio::sync::oneshot;

/// Things at a time that faults delay or hold. At the limit a fault of this kind does nothing.
const LATE_MAX: usize = 10_000;

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
#[derive(Debug, Default)]
pub(super) struct LateQueue {
    due: BTreeMap<(Millis, u64), Late>,
    /// By rule.
    held: BTreeMap<(u64, u64), Late>,
    newest: u64,
}

impl LateQueue {
    /// Gives it back at the limit.
    pub(super) fn add(&mut self, until: Until, late: Late) -> Result<(), Late> {
        if self.due.len() + self.held.len() >= LATE_MAX {
            tracing::warn!("LATE_MAX = {LATE_MAX} things are delayed or held by faults: one more is not");
            return Err(late);
        }
        self.newest += 1;
        match until {
            Until::Due(at) => self.due.insert((at, self.newest), late),
            Until::Released { rule } => self.held.insert((rule, self.newest), late),
        };
        Ok(())
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Late> {
        let is_due = self.next_due().is_some_and(|at| at <= now);
        if is_due { self.due.pop_first().map(|(_, late)| late) } else { None }
    }

    /// What the rule holds, in the order in which it came; `None` = what all rules hold.
    pub(super) fn release(&mut self, rule: Option<u64>) -> Vec<Late> {
        let all = std::mem::take(&mut self.held).into_iter();
        let (mut released, held): (Vec<_>, Vec<_>) =
            all.partition(|&((of, _), _)| rule.is_none_or(|rule| rule == of));
        self.held = held.into_iter().collect();
        released.sort_by_key(|&((_, came), _)| came);
        released.into_iter().map(|(_, late)| late).collect()
    }

    /// How many things the rule holds that are still waited for.
    pub(super) fn held(&self, rule: u64) -> usize {
        let held = self.held.range((rule, 0)..=(rule, u64::MAX));
        held.filter(|(_, late)| !late.is_abandoned()).count()
    }
}

impl Late {
    /// Nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Task(word) if word.is_closed())
    }
}
