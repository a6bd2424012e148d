//! What a step changes in the store.

use store::{Change, ObjectId, Seq, Store, Stored, Transaction};

use crate::Millis;
use crate::agenda::Due;
use crate::osd::Osd;
use crate::trim::RETRY;

impl<S: Store> Osd<S> {
    /// Makes changes happen, all or none, behind everything that happened before. EIO and ENOSPC: none has happened.
    pub(crate) fn submit(&mut self, changes: Vec<Change>) -> Stored<Seq> {
        let seq = self.submit_apart(changes)?;
        self.undurable.changed(seq);
        Ok(seq)
    }

    /// The same for what changes one object and nothing else that a read may see.
    pub(crate) fn submit_of(&mut self, id: &ObjectId, changes: Vec<Change>) -> Stored<Seq> {
        let seq = self.submit_apart(changes)?;
        self.undurable.object_changed(id, seq, self.store.durable());
        Ok(seq)
    }

    fn submit_apart(&mut self, changes: Vec<Change>) -> Stored<Seq> {
        self.save()?;
        self.store.submit(Transaction { changes })
    }

    /// Saves what has happened and could not be refused.
    fn save(&mut self) -> Stored<()> {
        if !self.step.unsaved.is_empty() {
            let seq = self.store.submit(Transaction { changes: self.step.unsaved.clone() })?;
            self.undurable.changed(seq);
            self.step.unsaved.clear();
        }
        Ok(())
    }

    /// The end of a step: what the store does not take is tried again with every step, and after a while without one.
    pub(crate) fn save_rest(&mut self) {
        if self.save().is_err() && !self.step.is_save_planned {
            self.step.is_save_planned = true;
            self.step.agenda.add(self.step.now.after(RETRY), Due::Save);
        }
    }

    /// A moment by the wall clock, in milliseconds of Unix time.
    pub(crate) fn unix_ms(&self, at: Millis) -> u64 {
        self.config.started_unix_ms.saturating_add(at.0)
    }

    /// The moment of a time of the wall clock; 0 when that is before the OSD's start.
    pub(crate) fn millis(&self, unix_ms: u64) -> Millis {
        Millis(unix_ms.saturating_sub(self.config.started_unix_ms))
    }
}
