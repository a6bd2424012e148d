//! AsyncComplete on its way: sent again until the requester has acked it, with a back-off and a limit.

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;

use crate::ids::{ClientId, Counter, Millis, RequestId, Token};
use crate::outcome::{Ended, NotifyAnswers};
use crate::retry::Backoff;

/// Sendings of one AsyncComplete. A requester that still waits after them sends its request again and gets a new round.
const SENDS_MAX: u32 = 10;

#[derive(Clone, Debug, Hash)]
struct Delivery {
    result: Ended,
    /// The requester's watch when it sent the request.
    requester: ClientId,
    sends: u32,
    backoff: Backoff,
    step: Step,
}

#[derive(Clone, Debug, Hash)]
enum Step {
    /// To be sent at this moment.
    Due(Millis),
    /// To be sent when this progress notify of the request has ended.
    Behind(Token),
    /// Under way; `again`: asked for once more meanwhile.
    Sent { send: Token, again: bool },
}

/// The AsyncCompletes that are not through.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Deliveries {
    retry_delay: Millis,
    seed: u64,
    started: Counter,
    by_id: BTreeMap<RequestId, Delivery>,
}

impl Deliveries {
    pub(crate) fn new(retry_delay: Millis, seed: u64) -> Self {
        Self { retry_delay, seed, started: Counter::default(), by_id: BTreeMap::new() }
    }

    /// Due at once. One that is under way may have come too early for this requester: it is sent once more.
    pub(crate) fn start(&mut self, now: Millis, id: RequestId, handle: u64, result: Ended) {
        let requester = ClientId { gid: id.gid, handle };
        let started = self.started.count();
        let delivery = self.by_id.entry(id).or_insert_with(|| {
            let min = Millis(self.retry_delay.0 / 10);
            let backoff = Backoff::new(min, self.retry_delay, self.seed.wrapping_add(started));
            Delivery { result: result.clone(), requester, sends: 0, backoff, step: Step::Due(now) }
        });
        delivery.result = result;
        delivery.requester = requester;
        delivery.sends = 0;
        match &mut delivery.step {
            Step::Due(at) => *at = now,
            Step::Behind(_) => {}
            Step::Sent { again, .. } => *again = true,
        }
    }

    /// One that is due stays until the progress notify of its request that is under way has ended.
    pub(crate) fn hold(&mut self, id: RequestId, progress: Token) {
        if let Some(delivery) = self.by_id.get_mut(&id)
            && matches!(delivery.step, Step::Due(_))
        {
            delivery.step = Step::Behind(progress);
        }
    }

    /// A progress notify has ended.
    pub(crate) fn progress_sent(&mut self, now: Millis, id: RequestId, sent: Token) {
        if let Some(delivery) = self.by_id.get_mut(&id)
            && matches!(delivery.step, Step::Behind(progress) if progress == sent)
        {
            delivery.step = Step::Due(now);
        }
    }

    /// The next one that is due; the caller sends it under this token.
    pub(crate) fn take_due(&mut self, now: Millis, send: Token) -> Option<(RequestId, Ended)> {
        let due = |step: &Step| matches!(step, Step::Due(at) if *at <= now);
        let (id, delivery) = self.by_id.iter_mut().find(|(_, delivery)| due(&delivery.step))?;
        delivery.sends += 1;
        delivery.step = Step::Sent { send, again: false };
        Some((*id, delivery.result.clone()))
    }

    pub(crate) fn sent(
        &mut self,
        now: Millis,
        id: RequestId,
        token: Token,
        result: &Result<NotifyAnswers, Errno>,
    ) {
        let Some(delivery) = self.by_id.get_mut(&id) else { return };
        let again = match delivery.step {
            Step::Sent { send, again } if send == token => again,
            _ => return,
        };
        let over = match result {
            Ok(answers) => {
                let acked = answers.answers.iter().any(|answer| answer.from == delivery.requester);
                !again && (!answers.timed_out || acked)
            }
            Err(errno) => matches!(errno, Errno::ENOENT | Errno::EBLOCKLISTED | Errno::ESHUTDOWN),
        };
        marks::hit(match result {
            Ok(_) if over => Mark::WatcherDelivered,
            Err(_) if over => Mark::WatcherDeliveryPointless,
            _ if delivery.sends >= SENDS_MAX => Mark::WatcherDeliveryGivenUp,
            _ => Mark::WatcherDeliversAgain,
        });
        if over || delivery.sends >= SENDS_MAX {
            self.by_id.remove(&id);
        } else {
            let pause = if again { Millis(0) } else { delivery.backoff.next_delay() };
            delivery.step = Step::Due(now + pause);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&RequestId) -> bool) {
        self.by_id.retain(|id, _| keep(id));
    }

    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Millis> {
        self.by_id.values_mut().filter_map(|delivery| match &mut delivery.step {
            Step::Due(at) => Some(at),
            Step::Behind(_) | Step::Sent { .. } => None,
        })
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let due = |delivery: &Delivery| match delivery.step {
            Step::Due(at) => Some(at),
            Step::Behind(_) | Step::Sent { .. } => None,
        };
        self.by_id.values().filter_map(due).min()
    }
}
