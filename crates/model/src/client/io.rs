//! Block I/O and the objects of a flatten: guarded write, copy-up, guarded write, as in librbd's `object_io` and `copyup`.

use errno::Errno;
use planted::Mistake;
use rbd_protocol::OpResult;

use super::{AskId, Client, Then};
use crate::ask::{Answer, Ask};
use crate::scenario::Deed;

/// A change of one object that is under way. Each holds a permit of the gate.
#[derive(Clone, Debug, Hash)]
pub(super) struct Io {
    object: u64,
    what: What,
    whose: Whose,
    /// Of the state under which it is made.
    has_parent: bool,
    generation: u32,
    is_guarded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Write(u8),
    Discard,
    Flatten,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Call(usize),
    Run,
}

impl Client {
    /// Writes and discards that wait, if the gate is open.
    pub(super) fn writes_enter(&mut self) -> bool {
        if self.gate.not_owner || self.gate.commit {
            return false;
        }
        let entering: Vec<usize> = self.waiting_calls().collect();
        for &call in &entering {
            let what = match self.calls[call].deed {
                Deed::Write { value, .. } => What::Write(value),
                _ => What::Discard,
            };
            let object = self.calls[call].deed.object();
            self.calls[call].goes_through();
            self.begin_io(object, what, Whose::Call(call));
        }
        !entering.is_empty()
    }

    pub(super) fn begin_io(&mut self, object: u64, what: What, whose: Whose) {
        let (has_parent, generation) = (self.image.has_parent, self.image.generation);
        let is_guarded = match what {
            What::Write(_) => has_parent && !planted::is(Mistake::WriteWithoutCopyup),
            What::Discard | What::Flatten => true,
        };
        let io = self.next_id();
        self.ios.insert(io, Io { object, what, whose, has_parent, generation, is_guarded });
        self.send_change(io);
    }

    fn send_change(&mut self, io: AskId) {
        let Some(&Io { object, what, has_parent, is_guarded, .. }) = self.ios.get(&io) else { return };
        let ask = match what {
            What::Write(value) => Ask::Write { object, value, guarded: is_guarded },
            What::Discard => {
                let hides = has_parent && !planted::is(Mistake::DiscardExposesParent);
                Ask::Discard { object, removes: !hides }
            }
            What::Flatten => Ask::Touch { object },
        };
        self.ask(ask, Then::Io(io));
    }

    pub(super) fn io_goes_on(&mut self, id: AskId, answer: &Answer) {
        let Some(io) = self.ios.get(&id) else { return };
        match (answer, io.what) {
            // There is nothing to discard.
            (Answer::Failed(Errno::ENOENT, _), What::Discard) => self.end_io(id, Ok(())),
            (Answer::Failed(Errno::ENOENT, _), _) if io.is_guarded => self.copy_up(id),
            (Answer::Failed(errno, _), _) => self.end_io(id, Err(*errno)),
            _ => self.end_io(id, Ok(())),
        }
    }

    /// Starts the copy-up of the object, or joins the one that runs.
    fn copy_up(&mut self, id: AskId) {
        let Some(io) = self.ios.get_mut(&id) else { return };
        let is_superseded = io.generation < self.image.generation;
        if is_superseded && !planted::is(Mistake::CommitUnderIo) {
            let Io { object, what, whose, .. } = *io;
            self.ios.remove(&id);
            return self.begin_io(object, what, whose);
        }
        let object = io.object;
        // Object 1 is a hole in the parent.
        if !io.has_parent || object > 0 {
            io.is_guarded = false;
            return match io.what {
                What::Flatten => self.end_io(id, Ok(())),
                _ => self.send_change(id),
            };
        }
        let joined = self.copyups.get_mut(&object);
        match joined {
            Some(joined) => joined.push(id),
            None => {
                self.copyups.insert(object, vec![id]);
                self.ask(Ask::CopyUp { object }, Then::CopiedUp(object));
            }
        }
    }

    pub(super) fn copied_up(&mut self, object: u64, answer: &Answer) {
        for io in self.copyups.remove(&object).unwrap_or_default() {
            match answer {
                Answer::Failed(errno, _) => self.end_io(io, Err(*errno)),
                _ => self.send_change(io),
            }
        }
    }

    fn end_io(&mut self, id: AskId, result: OpResult) {
        let Some(io) = self.ios.remove(&id) else { return };
        match io.whose {
            Whose::Call(call) => self.calls[call].end(result),
            Whose::Run => self.object_flattened(io.object, result),
        }
    }

    /// Nothing of block I/O is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.ios.is_empty() && self.copyups.is_empty()
    }
}
