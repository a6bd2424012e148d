//! Linearizability of one register: a block, the existence of a snapshot, a size.

mod search;

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Effect;

pub use search::CONFIGURATIONS_MAX;

/// A value that nobody reads stands for all such values.
pub(crate) const UNREAD: u64 = u64::MAX;

/// What an op does to the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Sets it.
    Write(u64),
    /// Sets it, any number of times between begin and end: only of an op that perhaps happened.
    Repeat(u64),
    /// Finds this value in it.
    Read(u64),
    /// Sets it to `to`; only possible when it is `from`.
    Swap {
        /// The value before.
        from: u64,
        /// The value afterwards.
        to: u64,
    },
}

/// An op on the register. It takes effect at one point between `invoked` and the end that `effect` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterOp {
    /// Call of the history.
    pub id: u64,
    /// Position of its begin.
    pub invoked: u64,
    /// Whether it must, or may have happened; and until when.
    pub effect: Effect,
    /// What it does.
    pub action: Action,
}

/// What the register can hold at first. `u64::MAX` stands for "a value that nobody reads".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Anything.
    Any,
    /// One of these.
    OneOf(BTreeSet<u64>),
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none.
    Stuck {
        /// An op that no order could explain after the stretch that has one: it contradicts others, which may be the wrong ones.
        id: u64,
        /// A value of the register there.
        value: u64,
    },
    /// [`CONFIGURATIONS_MAX`] was reached before it could be decided.
    GaveUp,
}

/// Whether there is an order of the ops that respects time (what ended before another began comes first) and gives every read
/// its value, in which each op that happened occurs once and each that perhaps did at most once.
pub fn linearize(start: &Start, ops: &[RegisterOp]) -> Verdict {
    let needed = needed(ops);
    let values = match start {
        Start::Any => needed.iter().copied().chain([UNREAD]).collect(),
        Start::OneOf(values) => values.clone(),
    };
    let mut ops = ops.to_vec();
    ops.retain(|op| matches!(op.effect, Effect::Happened(_)) || is_useful(op.action, &needed));
    sharpen(&mut ops, &values);
    search::run(&values, ops)
}

/// Values that some op must find in the register.
pub(crate) fn needed(ops: &[RegisterOp]) -> BTreeSet<u64> {
    ops.iter().filter_map(|op| required(op.action)).collect()
}

const fn required(action: Action) -> Option<u64> {
    match action {
        Action::Write(_) | Action::Repeat(_) => None,
        Action::Read(value) | Action::Swap { from: value, .. } => Some(value),
    }
}

const fn produced(action: Action) -> Option<u64> {
    match action {
        Action::Read(_) => None,
        Action::Write(value) | Action::Repeat(value) | Action::Swap { to: value, .. } => Some(value),
    }
}

/// An op that perhaps happened can be left out when nobody needs what it makes: no order becomes impossible without it, because
/// nothing that needs a value stands between it and the next change.
fn is_useful(action: Action, needed: &BTreeSet<u64>) -> bool {
    match action {
        Action::Read(_) => false,
        Action::Write(value) | Action::Repeat(value) => needed.contains(&value),
        Action::Swap { .. } => true,
    }
}

/// The only op that makes a value that was seen has happened, and before the first to see it had ended. This is what keeps
/// the many writes of unknown outcome of a long run from being possible for ever.
fn sharpen(ops: &mut [RegisterOp], start: &BTreeSet<u64>) {
    let mut seen_until: BTreeMap<u64, u64> = BTreeMap::new();
    let mut makers: BTreeMap<u64, usize> = BTreeMap::new();
    for op in ops.iter() {
        if let (Effect::Happened(end), Some(value)) = (op.effect, required(op.action)) {
            let until = seen_until.entry(value).or_insert(end);
            *until = end.min(*until);
        }
        if let Some(value) = produced(op.action) {
            *makers.entry(value).or_default() += 1;
        }
    }
    for op in ops.iter_mut().filter(|op| !matches!(op.action, Action::Repeat(_))) {
        let (Effect::Perhaps(end), Some(value)) = (op.effect, produced(op.action)) else { continue };
        if let Some(until) = seen_until.get(&value)
            && makers.get(&value) == Some(&1)
            && !start.contains(&value)
        {
            op.effect = Effect::Happened(end.min(*until));
        }
    }
}
