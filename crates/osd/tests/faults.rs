//! Fault rules: what they fit, how they count, and which ones are refused.

use bytes::Bytes;
use errno::Errno;
use osd::faults::{Action, Condition, Crossing, Direction, Faults, RULES_MAX, Rule};
use osd::{Millis, vector};
use proptest::prelude::*;

/// An op vector of client 7, named "owner-1".
fn request(ops: &[String]) -> Crossing<'_> {
    Crossing {
        direction: Direction::Request,
        gid: 7,
        client: "owner-1",
        address: "10.0.0.7:0/77",
        pool: "rbd",
        object: "rbd_data.10.0000000000000001",
        ops,
        can_fail: true,
        payload: None,
    }
}

fn notify(payload: &[u8]) -> Crossing<'_> {
    Crossing { direction: Direction::Notify, payload: Some(payload), ..request(&[]) }
}

fn ops(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn requests() -> Condition {
    Condition::all(Direction::Request)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Whether a rule with this condition befalls the crossing.
fn fits(when: Condition, crossing: Crossing<'_>) -> bool {
    let mut faults = Faults::default();
    faults.add(Rule::new(when, Action::Drop)).expect("it is valid");
    faults.decide(&crossing).is_some()
}

/// The numbers of the crossings, from 1, that a rule befalls among `count` equal ones.
fn hits(rule: Rule, count: usize) -> Vec<usize> {
    let mut faults = Faults::default();
    faults.add(rule).expect("it is valid");
    (1..=count).filter(|_| faults.decide(&request(&[])).is_some()).collect()
}

#[test]
fn without_rules_nothing_is_decided() {
    let mut faults = Faults::default();
    assert!(faults.is_empty());
    assert_eq!(faults.decide(&request(&[])), None);
}

#[test]
fn every_part_of_a_condition_has_to_fit() {
    let all = Condition {
        gid: Some(7),
        client: text("owner-?"),
        pool: text("rbd"),
        object: text("rbd_data.*"),
        op: text("write"),
        ..requests()
    };
    let named = ops(&["assert_exists", "write"]);
    assert!(fits(all.clone(), request(&named)), "a vector fits when one of its ops does");
    assert!(!fits(all.clone(), Crossing { direction: Direction::Reply, ..request(&named) }));
    assert!(!fits(all.clone(), Crossing { gid: 8, ..request(&named) }));
    assert!(!fits(all.clone(), Crossing { client: "peer", ..request(&named) }));
    let addressed = || Crossing { client: "peer", address: "127.0.0.1:0/owner-1", ..request(&named) };
    assert!(fits(Condition { client: text("127.0.0.1:*/owner-?"), ..all.clone() }, addressed()));
    assert!(!fits(Condition { client: text("127.0.0.2:*"), ..all.clone() }, addressed()));
    assert!(!fits(all.clone(), Crossing { pool: "images", ..request(&named) }));
    assert!(!fits(all.clone(), Crossing { object: "rbd_header.10", ..request(&named) }));
    assert!(!fits(all.clone(), request(&ops(&["write_full"]))));
    assert!(!fits(all, request(&[])));
}

#[test]
fn a_class_is_named_by_a_pattern() {
    let lock = Condition { op: text("lock.*"), ..requests() };
    assert!(fits(lock.clone(), request(&ops(&["lock.lock"]))));
    assert!(!fits(lock, request(&ops(&["rbd.get_header"]))));
}

#[test]
fn payloads_fit_by_their_first_field_and_by_their_first_bytes() {
    let complete = Condition { payload_field: Some(6), ..Condition::all(Direction::Notify) };
    assert!(fits(complete.clone(), notify(&[0x32, 0x00])));
    assert!(!fits(complete.clone(), notify(&[0x22, 0x00])));
    assert!(!fits(complete.clone(), notify(&[])));
    assert!(!fits(complete, Crossing { payload: None, ..notify(&[]) }));
    let begins = Condition { payload_prefix: Bytes::from_static(b"he"), ..Condition::all(Direction::Notify) };
    assert!(fits(begins.clone(), notify(b"hello")));
    assert!(!fits(begins, notify(b"h")));
}

#[test]
fn a_rule_skips_then_fires_then_is_spent() {
    let rule = Rule { skip: 2, times: Some(3), ..Rule::new(requests(), Action::Drop) };
    assert_eq!(hits(rule, 10), [3, 4, 5]);
}

#[test]
fn what_comes_later_befalls_the_same_client_on_the_same_way() {
    let mut faults = Faults::default();
    let when = Condition { op: text("rbd.parent_detach"), ..requests() };
    faults.add(Rule { later: 2, times: Some(1), ..Rule::new(when, Action::Drop) }).expect("valid");
    let (detach, other) = (ops(&["rbd.parent_detach"]), ops(&["write"]));
    let mut is_befallen = |crossing: Crossing<'_>| faults.decide(&crossing).is_some();
    assert!(!is_befallen(request(&detach)), "the match itself passes");
    assert!(!is_befallen(Crossing { gid: 8, ..request(&other) }), "another client");
    assert!(!is_befallen(Crossing { direction: Direction::Reply, ..request(&detach) }), "another way");
    assert!(!is_befallen(request(&other)), "the first after it");
    assert!(is_befallen(request(&other)), "the second after it");
    assert!(
        !is_befallen(request(&detach)) && !is_befallen(request(&other)) && !is_befallen(request(&other)),
        "once"
    );
}

#[test]
fn the_first_rule_that_fires_decides_and_later_ones_count_what_is_left() {
    let mut faults = Faults::default();
    let first = faults.add(Rule { times: Some(1), ..Rule::new(requests(), Action::Drop) }).expect("valid");
    let second = faults.add(Rule::new(requests(), Action::Hold)).expect("valid");
    let decided: Vec<_> = (0..3).filter_map(|_| faults.decide(&request(&[]))).collect();
    let decided: Vec<_> = decided.iter().map(|verdict| (verdict.rule, verdict.action)).collect();
    assert_eq!(decided, [(first, Action::Drop), (second, Action::Hold), (second, Action::Hold)]);
    let counts: Vec<_> =
        faults.list().iter().map(|listed| (listed.id, listed.matches, listed.hits)).collect();
    assert_eq!(counts, [(first, 3, 1), (second, 2, 2)]);
}

#[test]
fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
    let rule = |seed| Rule { probability: 0.5, seed, ..Rule::new(requests(), Action::Drop) };
    assert_eq!(hits(rule(1), 1000), hits(rule(1), 1000));
    assert_ne!(hits(rule(1), 1000), hits(rule(2), 1000));
    assert!((400..600).contains(&hits(rule(1), 1000).len()));
}

#[test]
fn numbers_are_not_given_twice_and_removed_rules_decide_nothing() {
    let mut faults = Faults::default();
    let first = faults.add(Rule::new(requests(), Action::Drop)).expect("valid");
    assert!(faults.remove(first) && !faults.remove(first));
    assert!(faults.is_empty() && faults.decide(&request(&[])).is_none());
    assert_ne!(faults.add(Rule::new(requests(), Action::Drop)).expect("valid"), first);
}

#[test]
fn a_rule_that_can_befall_nothing_is_refused_by_the_part_and_its_rule() {
    let with = |when| Rule::new(when, Action::Drop);
    let notifies = || Condition::all(Direction::Notify);
    let act = |direction, action| Rule::new(Condition::all(direction), action);
    let cases = [
        (Rule { times: Some(0), ..with(requests()) }, "times 0"),
        (Rule { skip: u64::MAX, ..with(requests()) }, "skip 18446744073709551615"),
        (Rule { probability: 0.0, ..with(requests()) }, "probability 0"),
        (Rule { probability: -0.1, ..with(requests()) }, "probability -0.1"),
        (Rule { probability: 1.1, ..with(requests()) }, "probability 1.1"),
        (Rule { probability: f64::NAN, ..with(requests()) }, "probability NaN"),
        (with(Condition { object: text("rbd_data.[0-9]"), ..requests() }), "object 'rbd_data.[0-9]'"),
        (with(Condition { pool: text(""), ..requests() }), "pool ''"),
        (with(Condition { op: text("wriet"), ..requests() }), "op 'wriet'"),
        (with(Condition { op: text("lokc.*"), ..requests() }), "op 'lokc.*'"),
        (with(Condition { op: text("write"), ..notifies() }), "op 'write' with direction notify"),
        (
            with(Condition { op: text("*_snap_id"), object: text("rbd_*"), ..requests() }),
            "object 'rbd_*' with op '*_snap_id'",
        ),
        (
            with(Condition { op: text("blocklist_add"), pool: text("rbd"), ..requests() }),
            "pool 'rbd' with op 'blocklist_add'",
        ),
        (
            Rule::new(Condition { op: text("allocate_snap_id"), ..requests() }, Action::ExpireWatch),
            "expire-watch",
        ),
        (with(Condition { gid: Some(0), ..requests() }), "gid 0"),
        (with(Condition { payload_field: Some(1 << 29), ..notifies() }), "payload field 536870912"),
        (with(Condition { payload_field: Some(6), ..requests() }), "payload with direction request"),
        (
            with(Condition {
                payload_field: Some(6),
                payload_prefix: Bytes::from_static(&[0x22]),
                ..notifies()
            }),
            "payload field 6",
        ),
        (act(Direction::Request, Action::Delay(Millis(0))), "delay 0 ms"),
        (act(Direction::Reply, Action::Delay(Millis(86_400_001))), "delay 86400001 ms"),
        (act(Direction::Notify, Action::Duplicate(Millis(u64::MAX))), "duplicate 18446744073709551615 ms"),
        (act(Direction::Ack, Action::Error(Errno::EIO)), "error EIO with direction ack"),
    ];
    for (rule, part) in cases {
        let refused = Faults::default().add(rule).expect_err(part);
        assert_eq!(refused.errno, Errno::EINVAL, "{part}");
        assert!(refused.text.contains(part), "{} names {part}", refused.text);
    }
}

#[test]
fn a_pattern_that_fits_an_op_of_objects_too_is_taken() {
    let when = Condition { op: text("*list*"), object: text("rbd_*"), pool: text("rbd"), ..requests() };
    Faults::default().add(Rule::new(when, Action::ExpireWatch)).expect("list_watchers is about an object");
    let everything =
        Condition { op: text("blocklist_add"), pool: text("*"), object: text("*"), ..requests() };
    assert!(fits(everything, Crossing { pool: "", object: "", ..request(&ops(&["blocklist_add"])) }));
}

#[test]
fn every_name_of_an_op_can_be_asked_for() {
    for (name, _) in vector::names() {
        let rule = Rule::new(Condition { op: Some(name.clone()), ..requests() }, Action::Drop);
        Faults::default().add(rule).expect(&name);
    }
}

#[test]
fn rules_have_a_limit_and_the_error_names_it() {
    let mut faults = Faults::default();
    for _ in 0..RULES_MAX {
        faults.add(Rule::new(requests(), Action::Drop)).expect("there is room");
    }
    let refused = faults.add(Rule::new(requests(), Action::Drop)).expect_err("there is no room");
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert!(refused.text.contains("RULES_MAX = 1000"), "{}", refused.text);
}

proptest! {
    /// A rule never fires more often than `times`, nor before `skip` matches.
    #[test]
    fn counts_are_kept(skip in 0..20_u64, times in 1..20_u64, probability in 0.01..1.0_f64, seed: u64) {
        let rule =
            Rule { skip, times: Some(times), probability, seed, ..Rule::new(requests(), Action::Drop) };
        let hits = hits(rule, 60);
        prop_assert!(hits.len() as u64 <= times);
        prop_assert!(hits.iter().all(|&at| at as u64 > skip));
    }
}
