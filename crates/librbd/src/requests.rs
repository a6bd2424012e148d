use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rbd_protocol::RequestId;

/// Numbers the maintenance calls of one open image and knows which have not ended.
#[derive(Debug)]
pub(crate) struct Requests {
    gid: u64,
    open: u64,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    latest: u64,
    running: BTreeMap<u64, Told>,
    /// Whether one was ever forwarded: then owners may have recorded its result.
    has_forwarded: bool,
}

/// What was heard of a call that has not ended here, over all of its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// An owner said that it is done: it has happened, whichever attempt that ends.
    pub(crate) done: bool,
    /// An owner has accepted it that leaves no record of what it carries out.
    pub(crate) unrecorded: bool,
}

/// The number of one call, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Numbered<'a> {
    requests: &'a Requests,
    number: u64,
}

impl Requests {
    pub(crate) fn new(gid: u64, open: u64) -> Self {
        Self { gid, open, numbers: Mutex::default() }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn begin(&self) -> Numbered<'_> {
        let mut numbers = self.numbers();
        numbers.latest += 1;
        let number = numbers.latest;
        numbers.running.insert(number, Told::default());
        Numbered { requests: self, number }
    }

    /// Every call with a smaller number has ended.
    pub(crate) fn low_water_mark(&self) -> u64 {
        let numbers = self.numbers();
        numbers.running.keys().next().copied().unwrap_or(numbers.latest + 1)
    }

    /// An owner has said that a request is done.
    pub(crate) fn done(&self, id: RequestId) {
        self.told(id, |told| told.done = true);
    }

    /// An owner without records has accepted a request.
    pub(crate) fn unrecorded(&self, id: RequestId) {
        self.told(id, |told| told.unrecorded = true);
    }

    fn told(&self, id: RequestId, note: impl FnOnce(&mut Told)) {
        let is_own = (id.gid, id.open) == (self.gid, self.open);
        if let Some(told) = self.numbers().running.get_mut(&id.number).filter(|_| is_own) {
            note(told);
        }
    }

    /// What was heard of a call.
    pub(crate) fn heard(&self, id: RequestId) -> Told {
        self.numbers().running.get(&id.number).copied().unwrap_or_default()
    }

    /// A call was sent to an owner.
    pub(crate) fn forwarded(&self) {
        self.numbers().has_forwarded = true;
    }

    /// Whether a call was ever sent to an owner.
    pub(crate) fn has_forwarded(&self) -> bool {
        self.numbers().has_forwarded
    }
}

impl Numbered<'_> {
    /// The call's identity; the same for all of its attempts.
    pub(crate) fn id(&self) -> RequestId {
        RequestId { gid: self.requests.gid, open: self.requests.open, number: self.number }
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        self.requests.numbers().running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_of_a_call_is_kept_until_it_ends() {
        let requests = Requests::new(4, 1);
        let (call, other) = (requests.begin(), requests.begin());
        requests.done(call.id());
        requests.unrecorded(call.id());
        for stranger in [RequestId { gid: 5, ..other.id() }, RequestId { open: 2, ..other.id() }] {
            requests.done(stranger);
        }
        assert_eq!(requests.heard(call.id()), Told { done: true, unrecorded: true });
        assert_eq!(requests.heard(other.id()), Told::default());
        let id = call.id();
        drop(call);
        requests.done(id);
        assert_eq!(requests.heard(id), Told::default());
    }

    #[test]
    fn the_low_water_mark_is_the_oldest_call_that_runs() {
        let requests = Requests::new(4, 1);
        assert_eq!(requests.low_water_mark(), 1);
        let first = requests.begin();
        let second = requests.begin();
        assert_eq!((first.id().number, second.id().number), (1, 2));
        drop(second);
        assert_eq!(requests.low_water_mark(), 1);
        drop(first);
        assert_eq!(requests.low_water_mark(), 3);
    }
}
