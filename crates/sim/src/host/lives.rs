//! The lives of an OSD: what of it is durable, what a crash takes, and what leaves when.

use std::collections::VecDeque;

use osd::{Event, Millis, Osd};
use osd_sim::wire as convert;
use proto::osd::v1 as wire;
use store::Seq;

use super::{Host, Out};
use crate::mail::{Down, Place};
use crate::shaky::Handle;

impl Host {
    /// Whether it has crashed and not been opened again.
    pub(crate) fn is_down(&self) -> bool {
        self.left.is_some()
    }

    /// It dies with all connections. Of the transactions that are not durable `keep` says how many survive.
    pub(crate) fn crash(&mut self, keep: impl FnOnce(u64) -> u64) {
        let durable = self.osd.durable();
        let survives = Seq(durable.0 + keep(self.osd.seen().0 - durable.0));
        self.left = Some(self.store.crashed_at(survives));
        let is_kept = |(first, _): &&(Seq, u64)| *first <= survives;
        let kept = self.stepped.iter().take_while(is_kept).last().map_or(0, |(_, newest)| *newest);
        let before = self.past.len() as u64;
        let newest = self.life_events();
        self.past.extend(newest.into_iter().map(|event| match event.sequence <= before + kept {
            true => event,
            false => {
                wire::Event { sequence: event.sequence, kind: "lost".to_owned(), ..wire::Event::default() }
            }
        }));
        self.op_streams.clear();
        self.watch_streams.clear();
        self.notifies.clear();
        self.held.clear();
        self.stepped.clear();
    }

    /// Another one goes on with what it left.
    pub(crate) fn reopen(&mut self, now: Millis) {
        let Some((left, handle)) = self.left.take() else { return };
        match Osd::open(left, self.osd.config().clone(), 0, now) {
            Ok(osd) => self.osd = osd,
            Err(error) => self.broken.push(format!("unreadable-store: {error:?}")),
        }
        if self.is_late {
            handle.be_late();
        }
        self.stepped_to = self.osd.seen();
        self.store = handle;
    }

    /// Number of the newest event, in all its lives.
    pub(crate) fn newest_event(&self) -> u64 {
        let of_life = if self.is_down() { 0 } else { self.osd.newest_event() };
        self.past.len() as u64 + of_life
    }

    /// Whether something is not durable.
    pub(crate) fn is_late(&self) -> bool {
        !self.is_down() && self.is_late && self.osd.durable() < self.osd.seen()
    }

    /// So many more transactions are durable, at least one; what may leave by that.
    pub(crate) fn reach(&mut self, more: impl FnOnce(u64) -> u64) -> Vec<(Place, Down)> {
        let durable = self.osd.durable();
        self.store.reach(Seq(durable.0 + more(self.osd.seen().0 - durable.0)));
        self.leave(Vec::new())
    }

    /// Everything is durable, from here on at once; what may leave by that.
    pub(crate) fn calm(&mut self) -> Vec<(Place, Down)> {
        self.is_late = false;
        self.store.be_prompt();
        self.leave(Vec::new())
    }

    /// What the store would leave if the OSD died now.
    pub(crate) fn store(&self) -> Handle {
        self.store.clone()
    }

    /// A step has ended with this; what may leave at once.
    pub(crate) fn leave(&mut self, out: Out) -> Vec<(Place, Down)> {
        if self.is_down() {
            return Vec::new();
        }
        let (newest, event) = (self.osd.seen(), self.osd.newest_event());
        if self.stepped.back().is_none_or(|(_, newest)| *newest < event) {
            let first = if newest > self.stepped_to { Seq(self.stepped_to.0 + 1) } else { newest };
            self.stepped.push_back((first, event));
        }
        self.stepped_to = newest;
        self.held.extend(out);
        let durable = self.osd.durable();
        while self.stepped.get(1).is_some_and(|(first, _)| *first <= durable) {
            self.stepped.pop_front();
        }
        let (may, held) = std::mem::take(&mut self.held).into_iter().partition(|(.., seen)| *seen <= durable);
        self.held = held;
        let may: VecDeque<_> = may;
        may.into_iter().map(|(place, down, _)| (place, down)).collect()
    }

    /// Everything that happened.
    pub(crate) fn events(&self) -> Vec<wire::Event> {
        let newest = if self.is_down() { Vec::new() } else { self.life_events() };
        self.past.iter().cloned().chain(newest).collect()
    }

    /// What happened in this life, with the numbers that follow those of the lives before.
    fn life_events(&self) -> Vec<wire::Event> {
        let before = self.past.len() as u64;
        let told = |event: &std::sync::Arc<Event>| {
            let event = convert::event(event);
            wire::Event { sequence: before + event.sequence, ..event }
        };
        self.osd.events_after(0, usize::MAX).iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use rados::Call;

    use super::*;
    use crate::mail::Up;

    const PLACE: Place = Place { connection: 1, stream: 1 };

    fn connected() -> (Host, Vec<(Place, Down)>) {
        let mut host = Host::new(osd::Config::default(), true);
        let request = wire::ConnectRequest { name: "client".to_owned() };
        let out = host.hear(Millis(0), PLACE, Up::Call(Box::new(Call::Connect(request))));
        let leaves = host.leave(out);
        (host, leaves)
    }

    #[test]
    fn an_answer_leaves_when_what_it_says_is_durable() {
        let (mut host, leaves) = connected();
        assert!(leaves.is_empty());
        assert_eq!(host.reach(|most| most).len(), 1);
        assert!(!host.is_late());
    }

    #[test]
    fn a_crash_takes_what_is_not_durable_with_its_events_and_keeps_their_numbers() {
        for survives in [false, true] {
            let (mut host, _) = connected();
            let newest = host.newest_event();
            host.crash(|most| if survives { most } else { 0 });
            assert!(host.is_down() && host.leave(Vec::new()).is_empty());
            host.reopen(Millis(5));
            assert_eq!(host.osd.sessions().len(), usize::from(survives));
            let events = host.events();
            assert!(events.iter().map(|event| event.sequence).eq(1..=host.newest_event()));
            let started = |event: &wire::Event| event.kind == "session_started";
            assert_eq!(events[..newest as usize].iter().any(started), survives);
            assert!(host.reach(|most| most).is_empty(), "nobody is told who has gone");
        }
    }
}
