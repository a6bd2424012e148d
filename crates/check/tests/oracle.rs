//! The search against an oracle that tries every order.

use std::collections::BTreeSet;

use check::{Action, Effect, NEVER, RegisterOp, Start, Verdict, linearize};
use proptest::prelude::*;

const fn end(op: &RegisterOp) -> u64 {
    match op.effect {
        Effect::Happened(end) | Effect::Perhaps(end) => end,
    }
}

const fn is_repeat(op: &RegisterOp) -> bool {
    matches!(op.action, Action::Repeat(_))
}

/// Whether some order of the remaining ops, each of which may follow what has been taken, explains everything.
fn explains(value: u64, taken: &mut Vec<RegisterOp>, rest: &[RegisterOp]) -> bool {
    if rest.iter().all(|op| matches!(op.effect, Effect::Perhaps(_))) {
        return true;
    }
    (0..rest.len()).any(|index| {
        let op = rest[index];
        let next = match op.action {
            Action::Write(written) => Some(written),
            // Of two in a row the first could be left out; with it the search for an order would not end.
            Action::Repeat(written) => {
                (!matches!(taken.last(), Some(before) if is_repeat(before))).then_some(written)
            }
            Action::Read(read) => (read == value).then_some(value),
            Action::Swap { from, to } => (from == value).then_some(to),
        };
        let Some(next) = next.filter(|_| taken.iter().all(|before| end(&op) >= before.invoked)) else {
            return false;
        };
        let mut others = rest.to_vec();
        if !is_repeat(&op) {
            others.remove(index);
        }
        taken.push(op);
        let is_explained = explains(next, taken, &others);
        taken.pop();
        is_explained
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..3_u64).prop_map(Action::Write),
        4 => (0..3_u64).prop_map(Action::Read),
        1 => (0..3_u64).prop_map(Action::Repeat),
        1 => (0..3_u64, 0..3_u64).prop_map(|(from, to)| Action::Swap { from, to }),
    ]
}

fn op() -> impl Strategy<Value = RegisterOp> {
    (0..16_u64, 1..8_u64, action(), 0..6_u8).prop_map(|(invoked, length, action, kind)| {
        let effect = match kind {
            0 => Effect::Perhaps(NEVER),
            _ if matches!(action, Action::Repeat(_)) => Effect::Perhaps(invoked + length),
            1 => Effect::Perhaps(invoked + length),
            _ => Effect::Happened(invoked + length),
        };
        RegisterOp { id: 0, invoked, effect, action }
    })
}

fn ops() -> impl Strategy<Value = Vec<RegisterOp>> {
    prop::collection::vec(op(), 0..8).prop_map(|mut ops| {
        (1..).zip(&mut ops).for_each(|(id, op)| op.id = id);
        ops
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_search_agrees_with_trying_every_order(ops in ops(), starts in prop::collection::btree_set(0..3_u64, 1..3)) {
        let expected = starts.iter().any(|start| explains(*start, &mut Vec::new(), &ops));
        let verdict = linearize(&Start::OneOf(starts), &ops);
        prop_assert_eq!(verdict == Verdict::Linearizable, expected, "{:?}", verdict);
    }

    #[test]
    fn a_start_that_can_be_anything_is_every_start(ops in ops()) {
        let expected = (0..4).any(|start| explains(start, &mut Vec::new(), &ops));
        prop_assert_eq!(linearize(&Start::Any, &ops) == Verdict::Linearizable, expected);
    }
}

/// A small generator: the run is the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What eight clients see of a register that works: each op takes effect at its own point. A tenth of the changes end with
/// an unknown outcome, half of which never happened.
fn run_of_eight_clients(seed: u64, count: u64) -> Vec<RegisterOp> {
    let mut dice = Dice(seed);
    let mut free_at = [0_u64; 8];
    let mut planned = Vec::new();
    for id in 1..=count {
        let client = dice.below(8) as usize;
        let invoked = free_at[client] + 1 + dice.below(40);
        let end = invoked + 2 + dice.below(60);
        free_at[client] = end;
        let (kind, luck) = (dice.below(10), dice.below(10));
        let action = match kind {
            0..=4 => Action::Read(0),
            5 => Action::Write(0),
            _ => Action::Write(id),
        };
        let is_unknown = luck == 0 && !matches!(action, Action::Read(_));
        let never = is_unknown && dice.below(2) == 0;
        let late = if is_unknown { dice.below(5_000) } else { 0 };
        let point = invoked + 1 + dice.below(end - invoked - 1) + late;
        let effect = if is_unknown { Effect::Perhaps(NEVER) } else { Effect::Happened(end) };
        planned.push((point, never, RegisterOp { id, invoked, effect, action }));
    }
    planned.sort_by_key(|(point, _, op)| (*point, op.id));
    let mut value = 0;
    for (_, never, op) in &mut planned {
        match &mut op.action {
            Action::Read(seen) => *seen = value,
            Action::Write(written) if !*never => value = *written,
            _ => {}
        }
    }
    planned.into_iter().map(|(_, _, op)| op).collect()
}

#[test]
fn long_runs_of_many_clients_are_decided_and_one_false_read_is_found() {
    let start = Start::OneOf(BTreeSet::from([0]));
    for seed in 0..3 {
        let mut ops = run_of_eight_clients(seed, 2_000);
        assert_eq!(linearize(&start, &ops), Verdict::Linearizable, "seed {seed}");
        let middle = ops.len() / 2;
        let read =
            ops[middle..].iter_mut().find(|op| matches!(op.action, Action::Read(_))).expect("half are reads");
        // Nobody wrote it.
        read.action = Action::Read(1_000_000);
        let id = read.id;
        assert!(
            matches!(linearize(&start, &ops), Verdict::Stuck { id: stuck, .. } if stuck == id),
            "seed {seed}"
        );
    }
}

#[test]
fn a_search_that_is_too_wide_says_so() {
    let write =
        |id| RegisterOp { id, invoked: id, effect: Effect::Happened(1_000), action: Action::Write(id % 18) };
    let read = |id: u64| RegisterOp {
        id: 100 + id,
        invoked: 1_001 + id,
        effect: Effect::Happened(2_000),
        action: Action::Read(id % 18),
    };
    let ops: Vec<_> = (1..=36).map(write).chain((1..=18).map(read)).collect();
    let start = Start::OneOf(BTreeSet::from([0]));
    assert_eq!(linearize(&start, &ops), Verdict::GaveUp);
}
