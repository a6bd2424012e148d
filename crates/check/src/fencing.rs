//! Mutual exclusion (I1): what the OSD applied, against who held the lock when it did.

use std::collections::{BTreeMap, BTreeSet};

use crate::events::{Event, EventLog, Fact};
use crate::image::ImageObjects;
use crate::violation::{At, Rule, Violation};

/// Whether only the lock's holder may have this op applied to a header: the commits of what is forwarded, and the header's removal. What
/// is missing needs no lock: taking and breaking it, attaching and detaching children, making the image, clearing done_ records,
/// protecting and renaming snapshots.
fn is_guarded(op: &str) -> bool {
    op == "remove" || rbd_protocol::Operation::TABLE.iter().any(|entry| entry.commit == op)
}

/// librbd removes a snapshot without the lock, unless the image has fast-diff or journaling.
const LOCKLESS_FOR_LIBRBD: &str = "rbd.snapshot_remove";

/// The op that says under which cookie the lock is believed to be held.
const ASSERT_LOCKED: &str = "lock.assert_locked";

/// Whether a holder must be blocklisted before its lock is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakRule {
    /// Yes, except by itself.
    FenceFirst,
    /// `rbd_blocklist_on_break_lock` is off somewhere in the run.
    MayBeUnfenced,
}

/// Who holds the lock of the image.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    gid: u64,
    cookie: String,
}

/// For one image that uses the lock all the time: at most one holder between lock and unlock or break; every change of its data
/// objects, and every guarded change of its header, by the holder of that moment; nothing at all by a fenced instance.
///
/// The log must begin before the image's first lock. Shared locks and locks that expire are not understood. `librbd`: instances that are
/// Ceph's own librbd, which removes a snapshot without the lock.
pub fn one_writer_at_a_time(
    log: &EventLog,
    image: &ImageObjects,
    rule: BreakRule,
    librbd: &BTreeSet<u64>,
) -> Vec<Violation> {
    let mut judge = Judge {
        image,
        rule,
        librbd,
        holder: None,
        lost: BTreeMap::new(),
        fenced: BTreeMap::new(),
        ended: BTreeSet::new(),
        kept_out: BTreeSet::new(),
        found: Vec::new(),
    };
    for event in log.events() {
        judge.hear(event);
    }
    judge.found
}

struct Judge<'a> {
    image: &'a ImageObjects,
    rule: BreakRule,
    librbd: &'a BTreeSet<u64>,
    holder: Option<Holder>,
    /// Event by which each former holder last lost the lock.
    lost: BTreeMap<u64, u64>,
    /// Event by which each instance was fenced. Never taken back: an instance stays fenced.
    fenced: BTreeMap<u64, u64>,
    /// Instances whose session had ended: a fence by address hits their address alone.
    ended: BTreeSet<u64>,
    /// Instances whose session had ended when an address was fenced: it may have been theirs.
    kept_out: BTreeSet<u64>,
    found: Vec<Violation>,
}

impl Judge<'_> {
    fn hear(&mut self, event: &Event) {
        let on_header = self.image.is_header(event);
        match &event.fact {
            Fact::Blocklisted => {
                self.fenced.entry(event.gid).or_insert(event.sequence);
            }
            Fact::SessionClosed | Fact::SessionLost => {
                self.ended.insert(event.gid);
            }
            Fact::AddressBlocklisted => self.kept_out.extend(&self.ended),
            Fact::Applied(ops) if on_header || self.image.is_data(event) => self.applied(event, ops),
            Fact::Locked(cookie) if on_header => self.locked(event, cookie),
            Fact::Unlocked(cookie) if on_header => self.ended(event, cookie, "released"),
            Fact::Broken { cookie, by } if on_header => {
                self.check_break(event, *by);
                self.ended(event, cookie, "lost to a break");
            }
            Fact::Renamed { old, new } if on_header => self.renamed(event, old, new),
            _ => {}
        }
    }

    fn applied(&mut self, event: &Event, ops: &[String]) {
        let is_header = self.image.is_header(event);
        if let Some(fence) = self.fenced.get(&event.gid) {
            let what = format!("{} on {} was applied after the fence", ops.join(", "), event.object);
            self.report(Rule::WriteAfterFence, event, Some(*fence), what);
        }
        let is_lockless = |op: &str| op == LOCKLESS_FOR_LIBRBD && self.librbd.contains(&event.gid);
        let needs_lock = !is_header || ops.iter().any(|op| is_guarded(op) && !is_lockless(op));
        if needs_lock && self.holder.as_ref().is_none_or(|holder| holder.gid != event.gid) {
            let lost = self.lost.get(&event.gid).copied();
            let (rule, history) = match lost {
                Some(_) => (Rule::WriteAfterLoss, "had lost the lock"),
                None => (Rule::WriteWithoutLock, "never held the lock"),
            };
            let now = match &self.holder {
                Some(holder) => format!("client {} holds it", holder.gid),
                None => "nobody holds it".to_owned(),
            };
            let what = format!("{} on {} was applied: it {history}, {now}", ops.join(", "), event.object);
            self.report(rule, event, lost, what);
        }
        if is_header && needs_lock {
            self.check_asserted(event);
        }
        if is_header && ops.iter().any(|op| op == "remove") {
            // The lock goes with the header.
            self.lose(event);
        }
    }

    /// The instance alone does not say which of its opens of the image commits.
    fn check_asserted(&mut self, event: &Event) {
        let (Some(holder), Some(asserted)) = (&self.holder, event.argument(ASSERT_LOCKED)) else { return };
        if holder.gid == event.gid && holder.cookie != asserted {
            let what = format!("committed under '{asserted}' while '{}' holds the lock", holder.cookie);
            self.report(Rule::OtherOpen, event, None, what);
        }
    }

    fn locked(&mut self, event: &Event, cookie: &str) {
        let new = Holder { gid: event.gid, cookie: cookie.to_owned() };
        if let Some(holder) = self.holder.as_ref().filter(|holder| **holder != new) {
            let what = format!("took '{cookie}' while client {} held '{}'", holder.gid, holder.cookie);
            self.report(Rule::TwoHolders, event, None, what);
        }
        self.holder = Some(new);
    }

    fn ended(&mut self, event: &Event, cookie: &str, how: &str) {
        self.check_holds(event, cookie, how);
        self.lose(event);
    }

    fn renamed(&mut self, event: &Event, old: &str, new: &str) {
        self.check_holds(event, old, "changed the cookie of");
        self.holder = Some(Holder { gid: event.gid, cookie: new.to_owned() });
    }

    fn lose(&mut self, event: &Event) {
        if let Some(holder) = self.holder.take() {
            self.lost.insert(holder.gid, event.sequence);
        }
    }

    fn check_holds(&mut self, event: &Event, cookie: &str, how: &str) {
        let named = Holder { gid: event.gid, cookie: cookie.to_owned() };
        if self.holder.as_ref() != Some(&named) {
            let what = format!("{how} '{cookie}', which it did not hold");
            self.report(Rule::ForeignRelease, event, None, what);
        }
    }

    fn check_break(&mut self, event: &Event, by: u64) {
        let is_fenced = self.fenced.contains_key(&event.gid) || self.kept_out.contains(&event.gid);
        let is_fenced = is_fenced || by == event.gid;
        if self.rule == BreakRule::FenceFirst && !is_fenced {
            let what = format!("client {by} broke its lock without blocklisting it first");
            self.report(Rule::UnfencedBreak, event, None, what);
        }
    }

    fn report(&mut self, rule: Rule, event: &Event, before: Option<u64>, what: String) {
        let at = before.into_iter().chain([event.sequence]).map(At::Event);
        self.found.push(Violation::new(rule, format!("client {}", event.gid), at, what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{image, log};

    fn judged(lines: &[(&str, u64, &str, &str)]) -> Vec<(Rule, Vec<At>)> {
        judged_beside(&BTreeSet::new(), lines)
    }

    fn judged_beside(librbd: &BTreeSet<u64>, lines: &[(&str, u64, &str, &str)]) -> Vec<(Rule, Vec<At>)> {
        let found = one_writer_at_a_time(&log(lines), &image(), BreakRule::FenceFirst, librbd);
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    const H: &str = "rbd_header.1";
    const D: &str = "rbd_data.1.0000000000000000";
    const A: &str = "rbd_lock 'auto 1'";
    const B: &str = "rbd_lock 'auto 2'";

    #[test]
    fn hand_over_crash_and_removal_in_order_are_fine() {
        let lines = [
            ("applied", 5, H, "rbd.create"),
            ("applied", 5, H, "lock.lock, rbd.get_header"),
            ("lock", 5, H, A),
            ("applied", 5, D, "assert_exists, write"),
            ("applied", 5, H, "lock.set_cookie"),
            ("lock_cookie", 5, H, "rbd_lock 'auto 1' became 'auto 9'"),
            ("lock", 5, H, "rbd_lock 'auto 9'"),
            ("applied", 5, H, "lock.assert_locked, rbd.snapshot_add, rbd.get_header"),
            ("unlock", 5, H, "rbd_lock 'auto 9'"),
            ("lock", 6, H, B),
            ("applied", 6, D, "write"),
            ("applied", 5, H, "assert_exists, omap_remove"),
            ("applied", 7, H, "assert_exists, rbd.child_detach"),
            ("blocklisted", 6, "", "by client 5"),
            ("lock_broken", 6, H, "rbd_lock 'auto 2' by client 5"),
            ("lock", 5, H, A),
            ("applied", 5, D, "remove"),
            ("applied", 5, H, "lock.assert_locked, remove"),
        ];
        assert_eq!(judged(&lines), []);
    }

    #[test]
    fn a_write_after_the_lock_was_released_is_found() {
        let lines = [("lock", 5, H, A), ("unlock", 5, H, A), ("applied", 5, D, "write")];
        assert_eq!(judged(&lines), [(Rule::WriteAfterLoss, vec![At::Event(2), At::Event(3)])]);
    }

    #[test]
    fn a_former_owners_write_under_its_successor_is_found() {
        let lines =
            [("lock", 5, H, A), ("unlock", 5, H, A), ("lock", 6, H, B), ("applied", 5, D, "rbd.copyup")];
        assert_eq!(judged(&lines), [(Rule::WriteAfterLoss, vec![At::Event(2), At::Event(4)])]);
    }

    #[test]
    fn a_write_by_somebody_who_never_locked_is_found() {
        assert_eq!(judged(&[("applied", 5, D, "write")]), [(Rule::WriteWithoutLock, vec![At::Event(1)])]);
    }

    #[test]
    fn a_header_commit_of_a_former_owner_is_found() {
        let lines = [("lock", 5, H, A), ("unlock", 5, H, A), ("applied", 5, H, "rbd.parent_detach")];
        assert_eq!(judged(&lines), [(Rule::WriteAfterLoss, vec![At::Event(2), At::Event(3)])]);
    }

    #[test]
    fn a_write_after_the_header_was_removed_is_found() {
        let lines = [("lock", 5, H, A), ("applied", 5, H, "remove"), ("applied", 5, D, "write")];
        assert_eq!(judged(&lines), [(Rule::WriteAfterLoss, vec![At::Event(2), At::Event(3)])]);
    }

    #[test]
    fn an_op_of_a_fenced_instance_is_found_though_it_still_holds_the_lock() {
        let lines = [
            ("lock", 5, H, A),
            ("blocklisted", 5, "", "by client 6"),
            ("blocklist_removed", 5, "", ""),
            ("applied", 5, D, "write"),
        ];
        assert_eq!(judged(&lines), [(Rule::WriteAfterFence, vec![At::Event(2), At::Event(4)])]);
    }

    #[test]
    fn two_holders_are_found_also_when_they_are_one_client_with_two_cookies() {
        assert_eq!(judged(&[("lock", 5, H, A), ("lock", 6, H, B)]), [(Rule::TwoHolders, vec![At::Event(2)])]);
        assert_eq!(judged(&[("lock", 5, H, A), ("lock", 5, H, B)]), [(Rule::TwoHolders, vec![At::Event(2)])]);
    }

    /// Two opens of an image in one session have one gid, and a cookie each.
    #[test]
    fn a_commit_of_another_open_of_the_holders_session_is_found() {
        for (cookie, found) in [("auto 1", vec![]), ("auto 2", vec![Rule::OtherOpen])] {
            let events = [
                ("lock", "rbd_lock 'auto 1'", vec![]),
                ("applied", "lock.assert_locked, rbd.set_size", vec![cookie.to_owned(), "512".to_owned()]),
            ];
            let event = |(sequence, (kind, detail, arguments)): (u64, (&str, &str, Vec<String>))| {
                proto::osd::v1::Event {
                    sequence,
                    kind: kind.to_owned(),
                    gid: 5,
                    pool: "rbd".to_owned(),
                    object: H.to_owned(),
                    detail: detail.to_owned(),
                    arguments,
                    ..proto::osd::v1::Event::default()
                }
            };
            let log = EventLog::from_wire((1..).zip(events).map(event)).unwrap();
            let judged = one_writer_at_a_time(&log, &image(), BreakRule::FenceFirst, &BTreeSet::new());
            assert_eq!(judged.into_iter().map(|violation| violation.rule).collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn releasing_breaking_or_renaming_what_is_not_held_is_found() {
        let foreign = |event| [(Rule::ForeignRelease, vec![At::Event(event)])];
        assert_eq!(judged(&[("lock", 5, H, A), ("unlock", 5, H, B)]), foreign(2));
        assert_eq!(judged(&[("unlock", 5, H, A)]), foreign(1));
        assert_eq!(judged(&[("lock_broken", 5, H, "rbd_lock 'x' by client 5")]), foreign(1));
        assert_eq!(judged(&[("lock_cookie", 5, H, "rbd_lock 'x' became 'y'")]), foreign(1));
    }

    #[test]
    fn breaking_before_fencing_is_found_unless_the_run_allows_it() {
        let lines = [("lock", 5, H, A), ("lock_broken", 5, H, "rbd_lock 'auto 1' by client 6")];
        assert_eq!(judged(&lines), [(Rule::UnfencedBreak, vec![At::Event(2)])]);
        let rule = BreakRule::MayBeUnfenced;
        assert_eq!(one_writer_at_a_time(&log(&lines), &image(), rule, &BTreeSet::new()), []);
    }

    /// librbd fences by address: of a session that has ended nothing else is left.
    #[test]
    fn an_address_that_was_fenced_after_its_session_had_ended_was_fenced_before_the_break() {
        let broken = ("lock_broken", 5, H, "rbd_lock 'auto 1' by client 6");
        let (ended, fenced) = (("session_ended", 5, "", ""), ("blocklisted", 0, "", "127.0.0.1:0/7"));
        assert_eq!(judged(&[("lock", 5, H, A), ended, fenced, broken]), []);
        for lines in [[("lock", 5, H, A), fenced, ended, broken], [("lock", 5, H, A), fenced, fenced, broken]]
        {
            assert_eq!(judged(&lines), [(Rule::UnfencedBreak, vec![At::Event(4)])]);
        }
    }

    #[test]
    fn only_librbd_removes_a_snapshot_without_the_lock_and_nothing_else_without_it() {
        let removal = [("lock", 5, H, A), ("applied", 7, H, "rbd.snapshot_remove")];
        let librbd = BTreeSet::from([7]);
        assert_eq!(judged_beside(&librbd, &removal), []);
        assert_eq!(judged(&removal), [(Rule::WriteWithoutLock, vec![At::Event(2)])]);
        for (object, ops) in [(H, "rbd.snapshot_add"), (H, "rbd.snapshot_remove, rbd.set_size"), (D, "write")]
        {
            let other = [("lock", 5, H, A), ("applied", 7, object, ops)];
            assert_eq!(judged_beside(&librbd, &other), [(Rule::WriteWithoutLock, vec![At::Event(2)])]);
        }
    }

    #[test]
    fn other_images_and_pools_are_not_judged() {
        assert_eq!(judged(&[("applied", 5, "rbd_data.10.0000000000000000", "write")]), []);
    }
}
