use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::WatchEvent;
use crate::Error;

/// Events of one watch that wait for their consumer. At the limit its notifies are not delivered: the watch is parked
/// and registered anew when the consumer has caught up, so that it learns that it missed some.
pub(super) const EVENTS_MAX: usize = 1024;

/// From the watch stream's task, which never waits, to the one consumer of a watch.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<WatchEvent>,
    /// Cookie at the OSD.
    handle: u64,
    /// Notifies were turned away; the consumer asks for more when it has read everything.
    is_parked: bool,
    /// Set once; the answer to every later question.
    lost: Option<Error>,
}

impl Queue {
    pub(super) fn handle(&self) -> u64 {
        self.state().handle
    }

    pub(super) fn set_handle(&self, cookie: u64) {
        self.state().handle = cookie;
    }

    /// Queues a notify. False at the limit: `event` was not made and the watch is to be parked.
    pub(super) fn push_notify(&self, event: impl FnOnce() -> WatchEvent) -> bool {
        let mut state = self.state();
        if state.events.len() >= EVENTS_MAX {
            state.is_parked = true;
            return false;
        }
        state.events.push_back(event());
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Queues what happened to the watch itself; never turned away. At the limit, events that the consumer has not seen
    /// are merged, so that the queue cannot grow further.
    pub(super) fn push_change(&self, event: WatchEvent) {
        let mut state = self.state();
        match event {
            WatchEvent::Lost(error) => state.lost = Some(error),
            event if state.events.len() < EVENTS_MAX => state.events.push_back(event),
            event => merge(&mut state.events, event),
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// The next event, and whether the consumer has just caught up with a parked watch.
    pub(super) async fn next(&self) -> (WatchEvent, bool) {
        loop {
            if let Some(event) = self.pop() {
                return event;
            }
            self.arrived.notified().await;
        }
    }

    fn pop(&self) -> Option<(WatchEvent, bool)> {
        let mut state = self.state();
        let Some(event) = state.events.pop_front() else {
            return state.lost.clone().map(|error| (WatchEvent::Lost(error), false));
        };
        let is_unparked = state.is_parked && state.events.is_empty();
        state.is_parked &= !is_unparked;
        Some((event, is_unparked))
    }

    /// Everything that can be read without waiting.
    #[cfg(test)]
    pub(super) fn drain(&self) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        while let Some((event, _)) = self.pop() {
            let is_last = matches!(event, WatchEvent::Lost(_));
            events.push(event);
            if is_last {
                break;
            }
        }
        events
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `next` behind what the consumer has not seen, as one change where the two amount to one.
fn merge(events: &mut VecDeque<WatchEvent>, next: WatchEvent) {
    use WatchEvent::{Interrupted, Reregistered, Resumed};
    let merged = match (events.back(), next) {
        (Some(Interrupted), Interrupted) => return,
        (Some(Interrupted), Resumed) => {
            events.pop_back();
            return;
        }
        (Some(Interrupted), next @ Reregistered { .. }) => next,
        (Some(Resumed), Interrupted) => Interrupted,
        (Some(Reregistered { old, .. }), Reregistered { new, .. }) => Reregistered { old: *old, new },
        (_, next) => return events.push_back(next),
    };
    events.pop_back();
    merge(events, merged);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue with `count` unread events that stand for notifies.
    fn full_queue(count: usize) -> Queue {
        let queue = Queue::default();
        (0..count).for_each(|_| assert!(queue.push_notify(|| WatchEvent::Resumed)));
        queue
    }

    fn drain(queue: &Queue) -> (Vec<String>, bool) {
        let mut is_unparked = false;
        let events = std::iter::from_fn(|| {
            let (event, unparked) = queue.pop()?;
            is_unparked |= unparked;
            Some(format!("{event:?}"))
        });
        (events.collect(), is_unparked)
    }

    #[test]
    fn at_the_limit_a_notify_is_turned_away_and_the_reader_asks_for_more_once_it_has_caught_up() {
        let queue = full_queue(EVENTS_MAX);
        assert!(!queue.push_notify(|| unreachable!("must not be made")));
        assert_eq!(drain(&queue), (vec!["Resumed".to_owned(); EVENTS_MAX], true));
        assert!(queue.push_notify(|| WatchEvent::Interrupted));
        assert_eq!(drain(&queue), (vec!["Interrupted".to_owned()], false));
    }

    #[test]
    fn changes_beyond_the_limit_merge_into_what_they_amount_to() {
        let queue = full_queue(EVENTS_MAX);
        queue.push_change(WatchEvent::Reregistered { old: 1, new: 2 });
        for round in 2..50 {
            queue.push_change(WatchEvent::Interrupted);
            queue.push_change(WatchEvent::Resumed);
            queue.push_change(WatchEvent::Interrupted);
            queue.push_change(WatchEvent::Reregistered { old: round, new: round + 1 });
        }
        let (events, _) = drain(&queue);
        assert_eq!(events[EVENTS_MAX..], ["Reregistered { old: 1, new: 50 }"]);
    }

    #[tokio::test]
    async fn lost_comes_after_everything_else_and_is_repeated() {
        let queue = full_queue(1);
        queue.push_change(WatchEvent::Lost(Error::new(errno::Errno::ENOENT, "", "")));
        assert!(matches!(queue.next().await.0, WatchEvent::Resumed));
        for _ in 0..2 {
            assert!(matches!(queue.next().await.0, WatchEvent::Lost(_)));
        }
    }
}
