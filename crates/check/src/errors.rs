//! Every answer that is no success has a cause (librbd's error table).

use std::collections::{BTreeMap, BTreeSet};

use errno::Errno;

use crate::bounds::Disturbance;
use crate::events::{EventLog, Fact};
use crate::history::{Call, Effect, History, NEVER, Operation, Outcome};
use crate::sizes;
use crate::violation::{At, Rule, Violation};

/// What the driver did to its clients, and who they were.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    /// Every instance (gid) of each client.
    pub instances: &'a BTreeMap<String, BTreeSet<u64>>,
    /// What befell them.
    pub disturbances: &'a [Disturbance],
    /// Those that are Ceph's own librbd.
    pub librbd: &'a BTreeSet<String>,
}

/// Every error that a call was answered with is one that librbd's error table has for it, and what causes it was there: a lock that
/// another client keeps before EROFS, an image that can have been too small before EINVAL, a fence of the client before EBLOCKLISTED, a
/// deadline before ETIMEDOUT. An answer that was lost, the unknown outcome, has a client that was killed meanwhile.
pub fn errors_have_a_cause(history: &History, log: &EventLog, clients: Clients<'_>) -> Vec<Violation> {
    let evidence = Evidence { history, log, clients };
    let complaint = |call: &Call| match &call.completed {
        Some((_, Outcome::Error { errno })) if !evidence.explains(call, *errno) => {
            Some(format!("{:?} was answered with {}, and nothing explains it", call.operation, errno.name()))
        }
        Some((_, Outcome::Unknown)) if !evidence.met(call, |disturbance| disturbance.kills) => {
            Some(format!("the answer to {:?} was lost, and nobody killed its client", call.operation))
        }
        _ => None,
    };
    let violation = |call: &Call| {
        let what = complaint(call)?;
        let who = format!("client {}", call.client);
        Some(Violation::new(Rule::ErrorWithoutCause, who, [At::Call(call.id)], what))
    };
    history.calls.iter().filter_map(violation).collect()
}

struct Evidence<'a> {
    history: &'a History,
    log: &'a EventLog,
    clients: Clients<'a>,
}

impl Evidence<'_> {
    fn explains(&self, call: &Call, errno: Errno) -> bool {
        let snap = call.operation.snapshot();
        match (errno, &call.operation) {
            _ if self.was_injected(call, |injected| injected == errno) => true,
            (Errno::ERESTART | Errno::EROFS, Operation::SnapRollback { .. })
                if self.is_librbd(call) && self.begun(call).any(|other| wants_the_lock_of(other, call)) =>
            {
                true
            }
            // The OSD is out of reach for too long. Nobody knows the instance that was not made.
            (Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ETIMEDOUT, Operation::Reopen) => {
                self.met(call, |disturbance| !disturbance.kills)
            }
            (Errno::EBLOCKLISTED, _) => self.befell(call, &Fact::Blocklisted),
            (Errno::ENOTCONN, _) => {
                self.befell(call, &Fact::SessionLost) || self.befell(call, &Fact::SessionClosed)
            }
            (Errno::EROFS, operation) if operation.needs_the_lock() => {
                self.begun(call).any(|other| self.keeps_the_lock_from(other, call))
                    // Whatever keeps an operation from the lock is EROFS to its caller.
                    || self.was_injected(call, |_| true)
            }
            // The image is being closed to be opened anew, or could not be opened again.
            (Errno::ESHUTDOWN, _) => self.begun(call).any(|other| is_closed_by(other, call)),
            (Errno::ETIMEDOUT | Errno::ERESTART, _) => waited_long_enough(call),
            (Errno::EINVAL, operation) if operation.range().is_some() => {
                let end = operation.range().map_or(0, |(offset, length)| offset + length);
                sizes::met_by(self.history, call).is_none_or(|sizes| sizes.iter().any(|size| *size < end))
            }
            // There was no parent when it looked.
            (Errno::EINVAL, Operation::Flatten) => {
                self.perhaps(call, |other| matches!(other, Operation::Flatten))
                    || !self.was_cloned(&call.image)
            }
            (Errno::EBUSY, Operation::SnapRemove { snap }) => self.may_be_protected(call, snap),
            // It is protected already, or its protection changes just then.
            (Errno::EBUSY, Operation::SnapProtect { snap }) => {
                self.may_be_protected(call, snap) || self.changes_beside(call, protects_or_not(snap))
            }
            (Errno::EBUSY, Operation::SnapUnprotect { snap }) => {
                self.changes_beside(call, protects_or_not(snap))
            }
            (Errno::EINVAL, Operation::SnapUnprotect { snap }) => !self.is_surely_protected(call, snap),
            // The others have gone.
            (Errno::EBUSY, Operation::SnapPurge) => self.begun(call).any(|other| {
                let protected = match &other.operation {
                    Operation::SnapProtect { snap } if other.image == call.image => snap,
                    _ => return false,
                };
                self.may_be_protected(call, protected)
            }),
            // Somebody else removed or renamed one that it was to remove.
            (Errno::ENOENT, Operation::SnapPurge) if self.changes_beside(call, takes_some_away) => true,
            (Errno::EEXIST, operation) if operation.makes_an_image() => self.begun(call).any(|other| {
                let makes = other.image == call.image && other.operation.makes_an_image();
                // Whoever is refused in the end has had the name until then.
                let has_it = !is_refused(other) || effect_end(other) > call.invoked.position;
                makes && other.id != call.id && has_it
            }),
            (Errno::ENOTEMPTY, Operation::Remove) => self.may_have_snapshots(call),
            // Somebody works on it or on a clone of it, or was killed while he did.
            (Errno::EBUSY, Operation::Remove) => self.begun(call).any(|other| self.has_it_open(other, call)),
            // Nobody gave it the name by which it was called.
            (Errno::ENOENT, operation)
                if self.history.later_name(call.id).is_some_and(|name| {
                    let image =
                        if let Operation::Clone { parent, .. } = operation { parent } else { &call.image };
                    !self.was_surely_renamed(call, image, name)
                }) =>
            {
                true
            }
            (Errno::ENOENT, Operation::Clone { parent, snap }) => {
                self.perhaps_on(parent, call, |other| takes_away(other, snap) || removes_the_image(other))
                    || !self.was_surely_taken(call, parent, snap)
                    || !self.was_surely_made(call, parent)
            }
            (Errno::ENOENT, _) => {
                snap.is_some_and(|snap| {
                    self.perhaps(call, |other| takes_away(other, snap))
                        || !self.was_surely_taken(call, &call.image, snap)
                }) || self.perhaps(call, removes_the_image)
                    || !self.was_surely_made(call, &call.image)
            }
            _ => false,
        }
    }

    /// Every call that began before this one ended.
    fn begun(&self, call: &Call) -> impl Iterator<Item = &Call> {
        let end = call.end();
        self.history.calls.iter().take_while(move |other| other.invoked.position < end)
    }

    /// Another call on the image did this before the call ended, or may have.
    fn perhaps(&self, call: &Call, is_it: impl Fn(&Operation) -> bool) -> bool {
        self.perhaps_on(&call.image, call, is_it)
    }

    fn perhaps_on(&self, image: &str, call: &Call, is_it: impl Fn(&Operation) -> bool) -> bool {
        let is_cause = |other: &Call| other.image == image && is_it(&other.operation) && !is_refused(other);
        self.begun(call).any(|other| other.id != call.id && is_cause(other))
    }

    /// Another call on the image did this while the call ran, or may have, whatever it was answered.
    fn changes_beside(&self, call: &Call, is_it: impl Fn(&Operation) -> bool) -> bool {
        let is_cause = |other: &Call| other.image == call.image && is_it(&other.operation);
        let overlaps = |other: &Call| effect_end(other) > call.invoked.position;
        self.begun(call).any(|other| other.id != call.id && is_cause(other) && overlaps(other))
    }

    /// Some protection of it may be in force: no taking back of it has surely come after.
    fn may_be_protected(&self, call: &Call, snap: &str) -> bool {
        let is_taken_back = |protection: &Call| {
            self.begun(call).any(|other| {
                let is_it = matches!(&other.operation, Operation::SnapUnprotect { snap: of } if of == snap);
                let follows = other.invoked.position > effect_end(protection);
                let is_over = other.is_ok() && other.end() < call.invoked.position;
                other.image == call.image && is_it && follows && is_over
            })
        };
        let protects = |other: &Call| {
            let is_it = matches!(&other.operation, Operation::SnapProtect { snap: of } if of == snap);
            other.image == call.image && is_it && other.id != call.id
        };
        self.begun(call).any(|other| protects(other) && !is_refused(other) && !is_taken_back(other))
    }

    /// A protection of it succeeded, and nobody can have taken it back since.
    fn is_surely_protected(&self, call: &Call, snap: &str) -> bool {
        let protects = |other: &Call| {
            let is_it = matches!(&other.operation, Operation::SnapProtect { snap: of } if of == snap);
            other.image == call.image && is_it && other.is_ok() && other.end() < call.invoked.position
        };
        let takes_back_after = |protection: &Call| {
            self.begun(call).any(|other| {
                let is_it = matches!(&other.operation, Operation::SnapUnprotect { snap: of } if of == snap);
                let after = effect_end(other) > protection.invoked.position;
                other.image == call.image && other.id != call.id && is_it && after
            })
        };
        self.begun(call).any(|other| protects(other) && !takes_back_after(other))
    }

    /// Some snapshot of the image may be there, or in the trash for its clones.
    fn may_have_snapshots(&self, call: &Call) -> bool {
        let is_gone = |taking: &Call, snap: &str| {
            let removal = |other: &Call| {
                let removes = match &other.operation {
                    Operation::SnapRemove { snap: removed } => removed == snap,
                    Operation::SnapPurge => true,
                    _ => false,
                };
                let is_over = other.is_ok() && other.end() < call.invoked.position;
                let follows = other.invoked.position > effect_end(taking);
                other.image == call.image && removes && is_over && follows
            };
            self.begun(call).any(removal) && !self.is_cloned(call, snap)
        };
        self.begun(call).any(|other| match &other.operation {
            Operation::SnapCreate { snap } => {
                other.image == call.image && !is_refused(other) && !is_gone(other, snap)
            }
            _ => false,
        })
    }

    /// Such an error was made on purpose, for whoever works on the image: not before the oldest of the calls that overlap
    /// with this one, for they may share what failed, and not after the answer.
    fn was_injected(&self, call: &Call, is_it: impl Fn(Errno) -> bool) -> bool {
        let overlaps =
            |other: &&Call| other.end() > call.invoked.position && other.invoked.position < call.end();
        let begun =
            self.history.calls.iter().filter(overlaps).map(|other| other.invoked.osd_sequence.unwrap_or(0));
        let after = begun.min().unwrap_or(0);
        let until = call.completed.as_ref().and_then(|(at, _)| at.osd_sequence).unwrap_or(u64::MAX);
        let mut events = self.log.events().iter();
        events.any(|event| {
            let is_such = matches!(event.fact, Fact::Injected(errno) if is_it(errno));
            is_such && after < event.sequence && event.sequence <= until
        })
    }

    fn was_cloned(&self, image: &str) -> bool {
        let makes = |call: &Call| call.image == image && matches!(call.operation, Operation::Clone { .. });
        self.history.calls.iter().any(makes)
    }

    /// Some clone of this snapshot of the call's image may be there.
    fn is_cloned(&self, call: &Call, snap: &str) -> bool {
        let clones = |other: &Call| {
            let is_of = matches!(&other.operation, Operation::Clone { parent, snap: cloned } if *parent == call.image && cloned == snap);
            is_of && other.invoked.position < call.end()
        };
        self.history.calls.iter().any(clones)
    }

    /// A call of this kind succeeded on the image before this one began.
    fn surely(&self, call: &Call, image: &str, is_it: &dyn Fn(&Operation) -> bool) -> bool {
        let before = |other: &Call| {
            other.image == image
                && is_it(&other.operation)
                && other.is_ok()
                && other.end() < call.invoked.position
        };
        self.history.calls.iter().any(before)
    }

    /// Also one of which the history does not say who took it.
    fn was_surely_taken(&self, call: &Call, image: &str, snap: &str) -> bool {
        let takes =
            |other: &Operation| matches!(other, Operation::SnapCreate { snap: taken } if taken == snap);
        let mut of_image = self.history.calls.iter().filter(|other| other.image == image);
        !of_image.any(|other| takes(&other.operation)) || self.surely(call, image, &takes)
    }

    fn was_surely_renamed(&self, call: &Call, image: &str, name: &str) -> bool {
        let renames = |other: &Operation| matches!(other, Operation::SnapRename { to, .. } if to == name);
        self.surely(call, image, &renames)
    }

    fn was_surely_made(&self, call: &Call, image: &str) -> bool {
        let makers = self.history.calls.iter().filter(|other| other.image == image);
        let mut makers = makers.filter(|other| other.operation.makes_an_image()).peekable();
        makers.peek().is_none() || self.surely(call, image, &Operation::makes_an_image)
    }

    /// A call that was not over, or whose client was killed or waits no longer, on the image or on a clone of it.
    fn has_it_open(&self, other: &Call, call: &Call) -> bool {
        let is_clone = |clone: &Call| {
            clone.image == other.image
                && matches!(&clone.operation, Operation::Clone { parent, .. } if *parent == call.image)
        };
        let is_about = other.image == call.image || self.history.calls.iter().any(is_clone);
        let is_open = other.end() > call.invoked.position || matches!(other.effect(), Effect::Perhaps(NEVER));
        other.id != call.id && is_about && is_open
    }

    /// The log says so of an instance of the call's client, of the one that made the call as far as that can be told: not before
    /// the client last opened the image anew, and not after the answer.
    fn befell(&self, call: &Call, fact: &Fact) -> bool {
        let instances = self.clients.instances.get(&call.client);
        let is_it = |gid: &u64| instances.is_some_and(|instances| instances.contains(gid));
        let reopened = |other: &&Call| {
            matches!(other.operation, Operation::Reopen)
                && other.client == call.client
                && other.is_ok()
                && other.end() < call.invoked.position
        };
        let reopenings = self.history.calls.iter().filter(reopened);
        let after = reopenings.filter_map(|other| other.invoked.osd_sequence).max().unwrap_or(0);
        let answered = call.completed.as_ref().and_then(|(at, _)| at.osd_sequence).unwrap_or(u64::MAX);
        let may_be_why = |sequence| after < sequence && sequence <= answered;
        let mut events = self.log.events().iter();
        events.any(|event| event.fact == *fact && is_it(&event.gid) && may_be_why(event.sequence))
    }

    fn is_librbd(&self, call: &Call) -> bool {
        self.clients.librbd.contains(&call.client)
    }

    /// Another client took the lock by hand, and had not surely given it back when the call began.
    fn keeps_the_lock_from(&self, taking: &Call, call: &Call) -> bool {
        let is_taking = matches!(taking.operation, Operation::Acquire)
            && taking.image == call.image
            && taking.client != call.client
            && !matches!(taking.completed, Some((_, Outcome::Error { .. })));
        let gave_back = |other: &Call| {
            let ends_it = matches!(other.operation, Operation::Release | Operation::Reopen);
            let is_over = matches!(other.effect(), Effect::Happened(end) if end < call.invoked.position);
            ends_it && is_over && other.client == taking.client && other.invoked.position > taking.end()
        };
        is_taking && !self.history.calls.iter().any(gave_back)
    }

    /// Something of this kind befell the call's client while it ran.
    fn met(&self, call: &Call, is_it: impl Fn(&Disturbance) -> bool) -> bool {
        let ended_ms = call.completed.as_ref().map_or(u64::MAX, |(at, _)| at.time_ms);
        self.clients.disturbances.iter().any(|disturbance| {
            let Disturbance { client, from_ms, until_ms, .. } = disturbance;
            let overlaps = *from_ms <= ended_ms && call.invoked.time_ms <= *until_ms;
            overlaps && *client == call.client && is_it(disturbance)
        })
    }
}

fn is_closed_by(other: &Call, call: &Call) -> bool {
    let reopens = matches!(other.operation, Operation::Reopen) && other.client == call.client;
    reopens && other.id != call.id && (other.end() > call.invoked.position || !other.is_ok())
}

/// librbd begins what it carries out for itself alone not anew when it gives the lock to another client: in the middle it says ERESTART, before
/// it has begun EROFS.
fn wants_the_lock_of(other: &Call, call: &Call) -> bool {
    let is_beside = other.end() > call.invoked.position && other.client != call.client;
    is_beside && other.operation.needs_the_lock()
}

/// By whatever name it is called.
fn takes_away(other: &Operation, snap: &str) -> bool {
    match other {
        Operation::SnapRemove { snap: of } | Operation::SnapRename { snap: of, .. } => of == snap,
        Operation::SnapPurge => true,
        _ => false,
    }
}

fn takes_some_away(other: &Operation) -> bool {
    use Operation as O;
    matches!(other, O::SnapPurge | O::SnapRemove { .. } | O::SnapRename { .. })
}

fn removes_the_image(other: &Operation) -> bool {
    matches!(other, Operation::Remove | Operation::Rename { .. })
}

fn protects_or_not(snap: &str) -> impl Fn(&Operation) -> bool {
    move |other| matches!(other, Operation::SnapProtect { snap: of } | Operation::SnapUnprotect { snap: of } if of == snap)
}

/// It was told that there is nothing to do it to: it has changed nothing. A purge was told so of one snapshot, and has removed others.
fn is_refused(call: &Call) -> bool {
    use Errno as E;
    let says_so = |errno: &Errno| matches!(errno, E::ENOENT | E::EEXIST | E::EINVAL | E::ENOTEMPTY);
    let is_one = !matches!(call.operation, Operation::SnapPurge);
    is_one && matches!(&call.completed, Some((_, Outcome::Error { errno })) if says_so(errno))
}

fn effect_end(call: &Call) -> u64 {
    let (Effect::Happened(end) | Effect::Perhaps(end)) = call.effect();
    end
}

/// A wait that ends has a deadline, and lasts until then.
fn waited_long_enough(call: &Call) -> bool {
    let Some(deadline_ms) = call.deadline_ms else { return false };
    let waited_ms = call.completed.as_ref().map_or(u64::MAX, |(at, _)| at.time_ms - call.invoked.time_ms);
    // Both moments are whole milliseconds.
    waited_ms + 1 >= deadline_ms
}

#[cfg(test)]
mod tests;
