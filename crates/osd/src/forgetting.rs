//! Giving up what a session that has ended has left in the store: the records of its replies, in pieces.

use store::{Change, Store, Stored};

use crate::agenda::Due;
use crate::osd::Osd;
use crate::records;
use crate::trim::{OBJECTS_PER_STEP_MAX, RETRY};

impl<S: Store> Osd<S> {
    /// Forgets a piece; what remains is left for later.
    pub(crate) fn forget_replies(&mut self, gid: u64) {
        if self.sessions.contains_key(&gid) {
            // Its client is back, and nothing was left when it came.
            return;
        }
        match self.erase_records(&records::replies_prefix(gid), None) {
            Ok(true) => {}
            Ok(false) => self.forgotten.push_back(gid),
            Err(_) => self.step.agenda.add(self.step.now.after(RETRY), Due::Forget { gid }),
        }
    }

    /// Takes records away, as many as one step may; `finished` is what changes with the last of them. Whether these were the last.
    pub(crate) fn erase_records(&mut self, prefix: &[u8], finished: Option<Change>) -> Stored<bool> {
        let found = self.store.records(prefix, b"", OBJECTS_PER_STEP_MAX)?;
        let is_last = found.len() < OBJECTS_PER_STEP_MAX;
        let gone = found.into_iter().map(|(key, _)| records::gone(key));
        let changes: Vec<Change> = gone.chain(finished.filter(|_| is_last)).collect();
        if !changes.is_empty() {
            self.submit(changes)?;
        }
        Ok(is_last)
    }
}
