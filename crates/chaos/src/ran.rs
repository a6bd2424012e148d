//! How many operations of each kind really ran: what could only fail teaches nothing.

use std::collections::BTreeMap;

use check::{EventLog, Fact};
use harness::check::Check;

/// Operations of which each round has some that succeeded.
const KINDS: [&str; 10] = [
    "clone",
    "create",
    "flatten",
    "remove",
    "resize",
    "snap_create",
    "snap_protect",
    "snap_remove",
    "snap_rollback",
    "snap_unprotect",
];
/// How many of each at least.
const LEAST: usize = 2;

/// The kinds of which too few succeeded.
pub fn lacking(succeeded: &BTreeMap<String, usize>) -> Vec<&'static str> {
    let count = |kind: &&str| succeeded.get(*kind).copied().unwrap_or(0);
    KINDS.into_iter().filter(|kind| count(kind) < LEAST).collect()
}

/// What a round says of it. A flatten counts when it detached a parent.
pub fn enough(succeeded: &BTreeMap<String, usize>, log: &EventLog) -> Check {
    let is_detachment =
        |fact: &Fact| matches!(fact, Fact::Applied(ops) if ops.iter().any(|op| op == "rbd.parent_detach"));
    let detached = log.events().iter().filter(|event| is_detachment(&event.fact)).count();
    let mut counted = succeeded.clone();
    counted.entry("flatten".to_owned()).and_modify(|flattens| *flattens = detached.min(*flattens));
    let lacking = lacking(&counted);
    let told = KINDS.map(|kind| format!("{kind} {}", counted.get(kind).copied().unwrap_or(0))).join(", ");
    let found = if lacking.is_empty() { told } else { format!("{told}; too few: {}", lacking.join(", ")) };
    Check {
        what: format!("at least {LEAST} operations of each kind really ran"),
        passed: lacking.is_empty(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_which_nothing_succeeded_is_lacking() {
        let mut succeeded: BTreeMap<String, usize> =
            KINDS.iter().map(|kind| ((*kind).to_owned(), LEAST)).collect();
        assert_eq!(lacking(&succeeded), [""; 0]);
        succeeded.remove("flatten");
        succeeded.insert("clone".to_owned(), 1);
        assert_eq!(lacking(&succeeded), ["clone", "flatten"]);
        assert!(!enough(&succeeded, &EventLog::default()).passed);
    }

    /// However many were told that somebody else had done it.
    #[test]
    fn a_flatten_counts_when_it_detached_a_parent() {
        let succeeded: BTreeMap<String, usize> = KINDS.iter().map(|kind| ((*kind).to_owned(), 9)).collect();
        let detachment = |sequence| proto::osd::v1::Event {
            sequence,
            kind: "applied".to_owned(),
            detail: "lock.assert_locked, rbd.parent_detach".to_owned(),
            ..Default::default()
        };
        let log = |count| EventLog::from_wire((1..=count).map(detachment)).unwrap();
        assert!(enough(&succeeded, &log(LEAST as u64)).passed);
        assert!(!enough(&succeeded, &log(LEAST as u64 - 1)).passed);
    }
}
