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
            // The OSD is out of reach for too long. Nobody knows the instance that was not made.
            (Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ETIMEDOUT, Operation::Reopen) => {
                self.met(call, |disturbance| !disturbance.kills)
            }
            (Errno::EBLOCKLISTED, _) => self.befell(call, &Fact::Blocklisted),
            (Errno::ENOTCONN, _) => self.befell(call, &Fact::SessionEnded),
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
                makes && other.id != call.id && !is_refused(other)
            }),
            (Errno::ENOTEMPTY, Operation::Remove) => self.may_have_snapshots(call),
            // Somebody works on it or on a clone of it, or was killed while he did.
            (Errno::EBUSY, Operation::Remove) => self.begun(call).any(|other| self.has_it_open(other, call)),
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

/// It was told that there is nothing to do it to: it has changed nothing.
fn is_refused(call: &Call) -> bool {
    use Errno as E;
    let says_so = |errno: &Errno| matches!(errno, E::ENOENT | E::EEXIST | E::EINVAL | E::ENOTEMPTY);
    matches!(&call.completed, Some((_, Outcome::Error { errno })) if says_so(errno))
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
mod tests {
    use super::*;
    use crate::testing::{
        BLOCK, Script, clone, log, log_with_errors, read, refused, snap_create, snap_remove, write,
    };

    /// Client a, who makes every call of a script, is instance 7.
    fn judged(script: &Script, log: &EventLog, disturbances: &[Disturbance]) -> Vec<(Rule, Vec<At>)> {
        let instances = [("a".to_owned(), [7].into())].into();
        let clients = Clients { instances: &instances, disturbances };
        let found = errors_have_a_cause(&script.history(), log, clients);
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    fn quietly(script: &Script) -> Vec<(Rule, Vec<At>)> {
        judged(script, &log(&[]), &[])
    }

    fn at(call: u64) -> Vec<(Rule, Vec<At>)> {
        vec![(Rule::ErrorWithoutCause, vec![At::Call(call)])]
    }

    fn protect(snap: &str) -> Operation {
        Operation::SnapProtect { snap: snap.to_owned() }
    }

    fn unprotect(snap: &str) -> Operation {
        Operation::SnapUnprotect { snap: snap.to_owned() }
    }

    fn created() -> Script {
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: BLOCK });
        script
    }

    /// Nothing explains the error of a call on image "i"; after `cause` on it, it is explained.
    fn needs(operation: &Operation, errno: Errno, cause: &Operation) {
        let mut script = created();
        let call = script.call("i", operation.clone(), refused(errno));
        script.ok("i", cause.clone());
        assert_eq!(quietly(&script), at(call), "{operation:?}");
        let mut script = created();
        script.ok("i", cause.clone());
        script.call("i", operation.clone(), refused(errno));
        assert_eq!(quietly(&script), [], "{operation:?}");
    }

    #[test]
    fn an_error_that_the_table_does_not_have_is_found() {
        let operations = [write(1), read(None), Operation::Flatten, Operation::Flush, snap_create("s")];
        for operation in operations {
            let mut script = created();
            let call = script.call("i", operation.clone(), refused(Errno::EIO));
            assert_eq!(quietly(&script), at(call), "{operation:?}");
        }
    }

    #[test]
    fn einval_needs_an_image_that_was_too_small_or_a_flatten() {
        needs(&write(1), Errno::EINVAL, &Operation::Resize { size: 0 });
        needs(&read(None), Errno::EINVAL, &Operation::Resize { size: 0 });
        let mut script = Script::new();
        script.ok("p", snap_create("s"));
        script.ok("i", clone("p", "s"));
        let call = script.invoke("i", Operation::Flatten);
        script.ok("i", Operation::Flatten);
        script.complete(call, refused(Errno::EINVAL));
        assert_eq!(quietly(&script), [], "the other may have ended before it looked");
        script.call("i", Operation::Flatten, refused(Errno::EINVAL));
        assert_eq!(quietly(&script), [], "there was none when it began");
        let mut script = Script::new();
        script.ok("p", snap_create("s"));
        script.ok("i", clone("p", "s"));
        let call = script.call("i", Operation::Flatten, refused(Errno::EINVAL));
        script.ok("i", Operation::Flatten);
        assert_eq!(quietly(&script), at(call), "there was a parent as long as it ran");
        let mut script = created();
        script.ok("i", Operation::Resize { size: 0 });
        script.ok("i", Operation::Resize { size: BLOCK });
        let call = script.call("i", write(1), refused(Errno::EINVAL));
        assert_eq!(quietly(&script), at(call), "it has grown again");
    }

    #[test]
    fn enoent_needs_a_snapshot_that_was_removed() {
        needs(&read(Some("s")), Errno::ENOENT, &snap_remove("s"));
        needs(&protect("s"), Errno::ENOENT, &Operation::SnapPurge);
        let renamed = Operation::SnapRename { snap: "s".into(), to: "t".into() };
        needs(&snap_remove("s"), Errno::ENOENT, &renamed);
        needs(&protect("s"), Errno::ENOENT, &snap_remove("s"));
        let mut script = Script::new();
        script.ok("parent", snap_remove("s"));
        script.call("one", clone("parent", "s"), refused(Errno::ENOENT));
        let call = script.call("other", clone("parent", "t"), refused(Errno::ENOENT));
        assert_eq!(quietly(&script), at(call));
    }

    #[test]
    fn ebusy_needs_a_protected_snapshot() {
        needs(&snap_remove("s"), Errno::EBUSY, &protect("s"));
        needs(&protect("s"), Errno::EBUSY, &protect("s"));
        let mut script = created();
        let alone = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
        script.ok("j", clone("i", "s"));
        let cloned = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
        assert_eq!(quietly(&script), [at(alone), at(cloned)].concat(), "clones do not hinder it");
        let mut script = created();
        script.ok("i", protect("s"));
        script.call("i", Operation::SnapPurge, refused(Errno::EBUSY));
        script.ok("i", unprotect("s"));
        let late = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
        let purge = script.call("i", Operation::SnapPurge, refused(Errno::EBUSY));
        assert_eq!(quietly(&script), [at(late), at(purge)].concat(), "it was taken back");
    }

    /// Guards that a protection changes under nobody's hands unseen.
    #[test]
    fn an_unprotect_is_refused_only_beside_another_change_or_when_there_is_no_protection() {
        let mut script = created();
        script.ok("i", protect("s"));
        let surely = script.call("i", unprotect("s"), refused(Errno::EINVAL));
        script.call("i", unprotect("t"), refused(Errno::EINVAL));
        let busy = script.call("i", unprotect("s"), refused(Errno::EBUSY));
        assert_eq!(quietly(&script), [at(surely), at(busy)].concat(), "t was never protected");
        let mut script = created();
        script.ok("i", protect("s"));
        let other = script.invoke("i", unprotect("s"));
        script.call("i", unprotect("s"), refused(Errno::EBUSY));
        script.complete(other, crate::testing::done());
        script.call("i", unprotect("s"), refused(Errno::EINVAL));
        assert_eq!(quietly(&script), []);
    }

    #[test]
    fn a_purge_misses_a_snapshot_only_beside_whoever_takes_it_away() {
        let mut script = created();
        script.ok("i", snap_remove("s"));
        let call = script.call("i", Operation::SnapPurge, refused(Errno::ENOENT));
        assert_eq!(quietly(&script), at(call), "it was gone before");
        let mut script = created();
        let removal = script.invoke("i", snap_remove("s"));
        script.call("i", Operation::SnapPurge, refused(Errno::ENOENT));
        script.complete(removal, crate::testing::done());
        assert_eq!(quietly(&script), []);
    }

    #[test]
    fn an_image_is_there_already_only_when_another_made_it() {
        let mut script = created();
        script.call("i", Operation::Create { size: BLOCK }, refused(Errno::EEXIST));
        assert_eq!(quietly(&script), []);
        let mut script = Script::new();
        let calls = [(); 2].map(|()| script.call("j", clone("i", "s"), refused(Errno::EEXIST)));
        assert_eq!(quietly(&script), calls.map(at).concat(), "nobody else made it");
    }

    #[test]
    fn an_image_cannot_be_removed_only_while_somebody_has_it_open_or_it_has_snapshots() {
        let mut script = created();
        let call = script.call("i", Operation::Remove, refused(Errno::EBUSY));
        let flattening = script.invoke("i", Operation::Flatten);
        script.call("i", Operation::Remove, refused(Errno::EBUSY));
        script.complete(flattening, crate::testing::done());
        assert_eq!(quietly(&script), at(call));
        let empty = script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
        assert_eq!(quietly(&script), [at(call), at(empty)].concat());
        script.ok("i", snap_create("s"));
        script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
        let busy = script.call("i", Operation::Remove, refused(Errno::EBUSY));
        script.ok("i", snap_remove("s"));
        let late = script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
        assert_eq!(quietly(&script), [call, empty, busy, late].map(at).concat(), "snapshots are not in use");
        script.ok("j", clone("i", "s"));
        script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
        assert_eq!(quietly(&script), [call, empty, busy, late].map(at).concat(), "it is kept for its clone");
    }

    /// Whoever waits for the same as another call shares its error.
    #[test]
    fn an_error_that_was_made_on_purpose_explains_what_ran_meanwhile() {
        let injected = log_with_errors(&[("watch", ""), ("fault", "EIO")]);
        let mut script = created();
        script.at_event(1);
        let first = script.invoke("i", write(1));
        script.at_event(2);
        let waiter = script.invoke("i", Operation::Flatten);
        script.complete(first, refused(Errno::EIO));
        script.complete(waiter, refused(Errno::EIO));
        assert_eq!(judged(&script, &injected, &[]), []);
        let late = script.call("i", write(2), refused(Errno::EIO));
        let other = script.call("i", write(3), refused(Errno::ENOSPC));
        assert_eq!(judged(&script, &injected, &[]), [at(late), at(other)].concat());
    }

    #[test]
    fn erofs_needs_a_lock_that_another_client_keeps() {
        let mut script = created();
        let call = script.call("i", write(1), refused(Errno::EROFS));
        assert_eq!(quietly(&script), at(call));

        let mut script = created();
        script.of("b");
        let taking = script.invoke("i", Operation::Acquire);
        script.of("a");
        script.call("i", write(1), refused(Errno::EROFS));
        script.of("b");
        script.complete(taking, crate::testing::done());
        script.of("a");
        script.call("i", Operation::Flatten, refused(Errno::EROFS));
        assert_eq!(quietly(&script), [], "it was kept, or about to be");
        script.of("b");
        script.ok("i", Operation::Release);
        script.of("a");
        let late = script.call("i", write(2), refused(Errno::EROFS));
        assert_eq!(quietly(&script), at(late), "it was given back");

        let mut script = created();
        script.ok("i", Operation::Acquire);
        let own = script.call("i", write(1), refused(Errno::EROFS));
        assert_eq!(quietly(&script), at(own), "one's own lock is no reason");

        let mut script = created();
        script.of("b");
        script.ok("i", Operation::Acquire);
        script.of("a");
        let call = script.call("i", read(None), refused(Errno::EROFS));
        assert_eq!(quietly(&script), at(call), "reads need no lock");
    }

    #[test]
    fn a_wait_that_ended_had_a_deadline() {
        let mut script = created();
        script.deadline(5);
        let call = script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
        assert_eq!(quietly(&script), at(call), "it did not wait so long");
        let mut script = created();
        script.deadline(2);
        script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
        assert_eq!(quietly(&script), []);
        let mut script = created();
        let call = script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
        assert_eq!(quietly(&script), at(call));
    }

    #[test]
    fn eblocklisted_needs_a_fence_of_the_client_and_enotconn_the_end_of_its_session() {
        for (errno, kind) in [(Errno::EBLOCKLISTED, "blocklisted"), (Errno::ENOTCONN, "session_ended")] {
            let mut script = created();
            let call = script.call("i", write(1), refused(errno));
            assert_eq!(quietly(&script), at(call));
            assert_eq!(judged(&script, &log(&[(kind, 8, "", "")]), &[]), at(call), "of another");
            assert_eq!(judged(&script, &log(&[(kind, 7, "", "")]), &[]), []);
        }
    }

    #[test]
    fn a_fence_explains_only_what_the_fenced_instance_was_answered() {
        let fenced = log(&[("watch", 7, "", ""), ("blocklisted", 7, "", "")]);
        let mut script = created();
        script.at_event(1);
        let early = script.call("i", write(1), refused(Errno::EBLOCKLISTED));
        script.at_event(2);
        script.call("i", write(2), refused(Errno::EBLOCKLISTED));
        assert_eq!(judged(&script, &fenced, &[]), at(early), "answered before the fence");
        script.ok("i", Operation::Reopen);
        let late = script.call("i", write(3), refused(Errno::EBLOCKLISTED));
        assert_eq!(judged(&script, &fenced, &[]), [at(early), at(late)].concat(), "opened anew since");
    }

    fn befell(client: &str, from_ms: u64, until_ms: u64, kills: bool) -> Disturbance {
        Disturbance { client: client.to_owned(), from_ms, until_ms, kills, costs_ms: 0 }
    }

    #[test]
    fn eshutdown_needs_an_image_that_is_opened_anew() {
        let mut script = created();
        let call = script.call("i", write(1), refused(Errno::ESHUTDOWN));
        let reopening = script.invoke("i", Operation::Reopen);
        assert_eq!(quietly(&script), at(call));

        script.call("i", write(2), refused(Errno::ESHUTDOWN));
        script.complete(reopening, crate::testing::done());
        assert_eq!(quietly(&script), at(call), "while it is opened");
        let late = script.call("i", write(3), refused(Errno::ESHUTDOWN));
        assert_eq!(quietly(&script), [at(call), at(late)].concat());
    }

    #[test]
    fn an_image_cannot_be_opened_anew_out_of_the_osds_reach() {
        for errno in [Errno::ETIMEDOUT, Errno::ENOTCONN] {
            let mut script = created();
            let call = script.call("i", Operation::Reopen, refused(errno));
            script.call("i", write(1), refused(Errno::ESHUTDOWN));
            assert_eq!(judged(&script, &log(&[]), &[befell("b", 0, 9, false)]), at(call));
            assert_eq!(judged(&script, &log(&[]), &[befell("a", 0, 9, false)]), []);
        }
    }

    #[test]
    fn only_a_killed_client_leaves_calls_without_an_answer() {
        let mut script = created();
        let call = script.call("i", write(1), Outcome::Unknown);
        let with = |disturbance| judged(&script, &log(&[]), &[disturbance]);
        assert_eq!(quietly(&script), at(call));
        assert_eq!(with(befell("a", 0, 9, false)), at(call));
        assert_eq!(with(befell("b", 0, 9, true)), at(call));
        assert_eq!(with(befell("a", 0, 1, true)), at(call), "before the call");
        assert_eq!(with(befell("a", 3, 9, true)), []);
    }
}
