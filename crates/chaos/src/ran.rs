//! How many operations of each kind really ran: what could only fail teaches nothing.

use std::collections::BTreeMap;

use check::{EventLog, Fact, Kind, Operation};
use harness::check::Check;

/// How many of each at least.
const LEAST: usize = 2;

/// Operations of which each round has some that succeeded.
fn kinds() -> impl Iterator<Item = &'static str> {
    Operation::TABLE.iter().filter(|entry| entry.kind == Kind::Maintenance).map(|entry| entry.name)
}

/// The kinds of which too few succeeded.
pub fn lacking(succeeded: &BTreeMap<&'static str, usize>) -> Vec<&'static str> {
    let count = |kind: &&str| succeeded.get(*kind).copied().unwrap_or(0);
    kinds().filter(|kind| count(kind) < LEAST).collect()
}

/// What a round says of it. A flatten counts when it detached a parent.
pub fn enough(succeeded: &BTreeMap<&'static str, usize>, log: &EventLog) -> Check {
    let is_detachment =
        |fact: &Fact| matches!(fact, Fact::Applied(ops) if ops.iter().any(|op| op == "rbd.parent_detach"));
    let detached = log.events().iter().filter(|event| is_detachment(&event.fact)).count();
    let mut counted = succeeded.clone();
    counted.entry("flatten").and_modify(|flattens| *flattens = detached.min(*flattens));
    let lacking = lacking(&counted);
    let told: Vec<_> =
        kinds().map(|kind| format!("{kind} {}", counted.get(kind).copied().unwrap_or(0))).collect();
    let told = told.join(", ");
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
        let mut succeeded: BTreeMap<&'static str, usize> = kinds().map(|kind| (kind, LEAST)).collect();
        assert_eq!(lacking(&succeeded), [""; 0]);
        succeeded.remove("flatten");
        succeeded.insert("clone", 1);
        assert_eq!(lacking(&succeeded), ["clone", "flatten"]);
        assert!(!enough(&succeeded, &EventLog::default()).passed);
    }

    /// However many were told that somebody else had done it.
    #[test]
    fn a_flatten_counts_when_it_detached_a_parent() {
        let succeeded: BTreeMap<&'static str, usize> = kinds().map(|kind| (kind, 9)).collect();
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
