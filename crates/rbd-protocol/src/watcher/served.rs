//! Requests of others that this client runs as the lock owner (facts 4.5).

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;

use crate::ids::{Millis, RequestId, Token};
use crate::lock::Ownership;
use crate::message::Request;
use crate::outcome::{Ended, Failure};
use crate::watcher::delivery::Deliveries;
use crate::watcher::{Config, Effect};

/// Forwarded requests that are being refreshed for or run at one time; further ones are answered EAGAIN.
const REQUESTS_MAX: usize = 1024;
/// Copies of one arriving request that wait for its refresh; further ones are answered EAGAIN.
const COPIES_MAX: usize = 16;
/// Final results that are remembered; the oldest request goes first. The durable record is in the image's header.
const COMPLETED_MAX: usize = 4096;
/// Opens of the image whose low-water mark is remembered.
const OPENS_MAX: usize = 4096;

#[derive(Clone, Debug, Hash)]
struct Arriving {
    request: Request,
    /// More than one when a notify is delivered twice.
    acks: Vec<Token>,
}

#[derive(Clone, Debug, Hash)]
struct Pending {
    handle: u64,
    /// The progress notify under way.
    sending: Option<Token>,
    /// The newest value that has not been sent.
    queued: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Hash)]
struct Completed {
    result: Ended,
    expires: Millis,
}

/// The tables of the owner's side.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Served {
    gid: u64,
    open: u64,
    ttl: Millis,
    arriving: BTreeMap<RequestId, Arriving>,
    pending: BTreeMap<RequestId, Pending>,
    completed: BTreeMap<RequestId, Completed>,
    /// (gid, open) -> every smaller number has ended.
    low_water: BTreeMap<(u64, u64), u64>,
    pub(crate) deliveries: Deliveries,
}

impl Served {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            gid: config.gid,
            open: config.open,
            ttl: config.completed_request_ttl,
            arriving: BTreeMap::new(),
            pending: BTreeMap::new(),
            completed: BTreeMap::new(),
            low_water: BTreeMap::new(),
            deliveries: Deliveries::new(config.retry_delay, config.seed),
        }
    }

    /// The checks, in order: owner, own request, ended long ago, running, completed, arriving, willing, room.
    pub(crate) fn received(
        &mut self,
        now: Millis,
        request: Request,
        ack: Token,
        ownership: Ownership,
        effects: &mut Vec<Effect>,
    ) {
        let id = request.id;
        if ownership == Ownership::NotOwner {
            marks::hit(Mark::WatcherAskedElsewhere);
            return effects.push(Effect::Ack { ack, answer: None });
        }
        if (id.gid, id.open) == (self.gid, self.open) {
            marks::hit(Mark::WatcherAskedOwn);
            return effects.push(Effect::Ack { ack, answer: Some(Err(Errno::ERESTART.into())) });
        }
        if id.number < self.raise_low_water(&request) {
            marks::hit(Mark::WatcherAskedTooLate);
            return effects.push(Effect::Ack { ack, answer: Some(Err(too_late())) });
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            marks::hit(Mark::WatcherAskedRunning);
            pending.handle = request.handle;
            return effects.push(Effect::Ack { ack, answer: Some(Ok(())) });
        }
        if let Some(completed) = self.completed.get_mut(&id) {
            marks::hit(Mark::WatcherAskedCompleted);
            completed.expires = now + self.ttl;
            self.deliveries.start(now, id, request.handle, completed.result.clone());
            return effects.push(Effect::Ack { ack, answer: Some(Ok(())) });
        }
        if let Some(arriving) = self.arriving.get_mut(&id) {
            if arriving.acks.len() >= COPIES_MAX {
                marks::hit(Mark::WatcherAskedTooOften);
                let failure = Failure::new(Errno::EAGAIN, "many copies of the request wait already");
                return effects.push(Effect::Ack { ack, answer: Some(Err(failure)) });
            }
            marks::hit(Mark::WatcherAskedArriving);
            arriving.request = request;
            return arriving.acks.push(ack);
        }
        if ownership != Ownership::Accepting {
            marks::hit(Mark::WatcherAskedLeaving);
            return effects.push(Effect::Ack { ack, answer: None });
        }
        if self.pending.len() + self.arriving.len() >= REQUESTS_MAX {
            marks::hit(Mark::WatcherAskedBeyondRoom);
            return effects.push(Effect::Ack { ack, answer: Some(Err(no_room())) });
        }
        marks::hit(Mark::WatcherAsked);
        self.arriving.insert(id, Arriving { request, acks: vec![ack] });
        effects.push(Effect::Refresh { id });
    }

    /// Results of requests below the mark are not asked for any more. Returns the mark.
    fn raise_low_water(&mut self, request: &Request) -> u64 {
        let id = request.id;
        let mark = self.low_water.entry((id.gid, id.open)).or_default();
        *mark = request.low_water_mark.max(*mark);
        let mark = *mark;
        let wanted = |other: &RequestId| (other.gid, other.open) != (id.gid, id.open) || other.number >= mark;
        self.completed.retain(|id, _| wanted(id));
        self.deliveries.retain(wanted);
        while self.low_water.len() > OPENS_MAX {
            self.low_water.pop_first();
        }
        mark
    }

    pub(crate) fn refreshed(
        &mut self,
        id: RequestId,
        result: Ended,
        ownership: Ownership,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Arriving { request, acks }) = self.arriving.remove(&id) else { return };
        let (mark, answer) = match (result, ownership) {
            (Err(failure), _) => (Mark::WatcherRefreshFailed, Some(Err(failure))),
            (Ok(()), Ownership::NotOwner | Ownership::Leaving) => (Mark::WatcherRefreshedTooLate, None),
            (Ok(()), Ownership::Accepting) => (Mark::WatcherAccepted, Some(Ok(()))),
        };
        marks::hit(mark);
        let is_accepted = answer == Some(Ok(()));
        effects.extend(acks.into_iter().map(|ack| Effect::Ack { ack, answer: answer.clone() }));
        if is_accepted {
            let pending = Pending { handle: request.handle, sending: None, queued: None };
            self.pending.insert(id, pending);
            // The ERESTART of an earlier run must not end this one.
            self.deliveries.retain(|other| *other != id);
            effects.push(Effect::StartOperation { request });
        }
    }

    /// Nothing new: who arrives is not answered.
    pub(crate) fn close(&mut self, effects: &mut Vec<Effect>) {
        let acks = std::mem::take(&mut self.arriving).into_values().flat_map(|arriving| arriving.acks);
        effects.extend(acks.map(|ack| Effect::Ack { ack, answer: None }));
    }

    /// Newer values replace the one that waits. Some: send this one under the token.
    pub(crate) fn progress(&mut self, id: RequestId, value: (u64, u64), send: Token) -> Option<(u64, u64)> {
        let pending = self.pending.get_mut(&id)?;
        if pending.sending.is_some() {
            pending.queued = Some(value);
            return None;
        }
        pending.sending = Some(send);
        Some(value)
    }

    /// A progress notify has ended. Some: this value waits to be sent under the next token.
    pub(crate) fn progress_sent(
        &mut self,
        now: Millis,
        id: RequestId,
        sent: Token,
        next: Token,
    ) -> Option<(u64, u64)> {
        self.deliveries.progress_sent(now, id, sent);
        let pending = self.pending.get_mut(&id).filter(|pending| pending.sending == Some(sent))?;
        let queued = pending.queued.take();
        pending.sending = queued.map(|_| next);
        queued
    }

    /// Remembers final results only; whatever was interrupted runs again when it is sent again. Progress that waits is
    /// dropped, and the completion follows the one under way: nothing is heard of a request after its end.
    pub(crate) fn ended(&mut self, now: Millis, id: RequestId, result: Ended) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let result = match result {
            Err(Failure { errno: Errno::ERESTART | Errno::EBLOCKLISTED | Errno::ESHUTDOWN, .. }) => {
                marks::hit(Mark::WatcherEndedToRestart);
                Err(Errno::ERESTART.into())
            }
            result => {
                marks::hit(Mark::WatcherEnded);
                self.completed.insert(id, Completed { result: result.clone(), expires: now + self.ttl });
                self.forget_oldest();
                result
            }
        };
        self.deliveries.start(now, id, pending.handle, result);
        if let Some(progress) = pending.sending {
            marks::hit(Mark::WatcherEndedBehindProgress);
            self.deliveries.hold(id, progress);
        }
    }

    fn forget_oldest(&mut self) {
        while self.completed.len() > COMPLETED_MAX {
            let oldest =
                self.completed.iter().min_by_key(|(_, completed)| completed.expires).map(|(id, _)| *id);
            let Some(oldest) = oldest else { return };
            self.completed.remove(&oldest);
        }
    }

    pub(crate) fn expire(&mut self, now: Millis) {
        self.completed.retain(|_, completed| completed.expires > now);
    }

    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Millis> {
        let expiries = self.completed.values_mut().map(|completed| &mut completed.expires);
        expiries.chain(self.deliveries.moments())
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let expires = self.completed.values().map(|completed| completed.expires).min();
        expires.into_iter().chain(self.deliveries.next_deadline()).min()
    }
}

fn too_late() -> Failure {
    Failure::new(Errno::ESTALE, "a late copy of a request that has ended")
}

fn no_room() -> Failure {
    Failure::new(Errno::EAGAIN, "the lock owner has as many requests as it takes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;

    fn served() -> Served {
        let [request_timed_out, completed_request_ttl, retry_delay] = [Millis(30_000); 3];
        Served::new(&Config {
            gid: 1,
            open: 1,
            request_timed_out,
            completed_request_ttl,
            retry_delay,
            seed: 0,
        })
    }

    /// Named limit: however many requests of however many clients arrive, what waits for its refresh and what runs count.
    #[test]
    fn requests_beyond_the_limit_are_answered_eagain_until_one_ends() {
        let mut served = served();
        let mut effects = Vec::new();
        let request = |number: usize| {
            let id = RequestId { gid: 2 + number as u64, open: 1, number: 1 };
            Request { id, handle: 7, attempt: 1, low_water_mark: 1, operation: Operation::Flatten }
        };
        let ask = |served: &mut Served, number: usize, effects: &mut Vec<Effect>| {
            effects.clear();
            let ack = Token(number as u64);
            served.received(Millis(0), request(number), ack, Ownership::Accepting, effects);
        };
        for number in 0..REQUESTS_MAX {
            ask(&mut served, number, &mut effects);
            if number % 2 == 0 {
                served.refreshed(request(number).id, Ok(()), Ownership::Accepting, &mut effects);
            }
        }
        let refused = |ack| Effect::Ack { ack, answer: Some(Err(no_room())) };
        ask(&mut served, REQUESTS_MAX, &mut effects);
        assert_eq!(effects, [refused(Token(REQUESTS_MAX as u64))]);
        served.ended(Millis(0), request(0).id, Ok(()));
        ask(&mut served, REQUESTS_MAX, &mut effects);
        assert_eq!(effects, [Effect::Refresh { id: request(REQUESTS_MAX).id }]);
    }
}
