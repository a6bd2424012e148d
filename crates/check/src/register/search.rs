//! The search: after Wing and Gong, with the memo of Lowe.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, RegisterOp, UNREAD, Verdict, needed, produced, required};
use crate::history::Effect;

/// Distinct configurations that one search looks at before it gives up.
pub const CONFIGURATIONS_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug)]
struct Op {
    id: u64,
    invoked: u64,
    end: u64,
    action: Action,
}

/// How far an order has got. Equal configurations have equal futures.
#[derive(Clone, Debug)]
struct Configuration {
    /// All ops that must happen up to this index are in the order.
    prefix: usize,
    /// And these beyond it, ascending.
    ahead: Vec<usize>,
    /// Optional ops that are in the order and could otherwise still be taken, ascending.
    used: Vec<usize>,
    value: u64,
    /// Latest invocation in the order: what ended before it cannot be taken any more.
    latest: u64,
}

struct Search {
    /// By end, so that an op that stays open for long does not hold back the prefix.
    required: Vec<Op>,
    /// For each required op those from it on that began before it ended.
    windows: Vec<Vec<usize>>,
    /// By invocation.
    optional: Vec<Op>,
    /// Required ops that need a value which comes only once: all before it is overwritten.
    needers: BTreeMap<u64, Vec<usize>>,
}

/// Which op is taken next.
#[derive(Clone, Copy)]
enum Next {
    Required(usize),
    Optional(usize),
}

pub(super) fn run(start: &BTreeSet<u64>, ops: Vec<RegisterOp>) -> Verdict {
    let search = Search::new(start, ops);
    let begin = |value| Configuration { prefix: 0, ahead: Vec::new(), used: Vec::new(), value, latest: 0 };
    let mut waiting: Vec<_> = start.iter().rev().copied().map(begin).collect();
    let mut known = Known::default();
    let mut furthest = Furthest { rank: 0, verdict: Verdict::Stuck { id: 0, value: 0 } };
    while let Some(at) = waiting.pop() {
        let Some(first) = search.required.get(at.prefix) else { return Verdict::Linearizable };
        furthest.offer(&at, first, false);
        // The last one is looked at first: what ends soonest.
        for next in search.nexts(&at).into_iter().rev() {
            let Some(reached) = search.take(&at, next) else { continue };
            if let Some(late) = search.too_late(&reached, at.value) {
                furthest.offer(&reached, &search.required[late], true);
                continue;
            }
            if known.count >= CONFIGURATIONS_MAX {
                return Verdict::GaveUp;
            }
            if known.insert(&reached) {
                waiting.push(reached);
            }
        }
    }
    furthest.verdict
}

/// The order that got furthest, and the op that it cannot explain.
struct Furthest {
    rank: usize,
    verdict: Verdict,
}

impl Furthest {
    /// A dead end behind the same prefix says less than the op that the prefix waits for.
    fn offer(&mut self, at: &Configuration, unexplained: &Op, is_dead_end: bool) {
        let rank = 2 * at.prefix + if is_dead_end { 1 } else { 2 };
        if rank > self.rank {
            self.rank = rank;
            self.verdict = Verdict::Stuck { id: unexplained.id, value: at.value };
        }
    }
}

/// The required ops of an order, and the value that they leave.
type Place = (usize, Vec<usize>, u64);

/// What was reached before.
#[derive(Default)]
struct Known {
    /// For each place: which optional ops were used, and the latest invocation.
    reached: BTreeMap<Place, Vec<(Vec<usize>, u64)>>,
    count: usize,
}

impl Known {
    /// False when one is known that has come as far and has at least as much left to use.
    fn insert(&mut self, new: &Configuration) -> bool {
        let known = self.reached.entry((new.prefix, new.ahead.clone(), new.value)).or_default();
        let is_as_good = |(used, latest): &(Vec<usize>, u64)| {
            *latest <= new.latest && used.iter().all(|index| new.used.binary_search(index).is_ok())
        };
        if known.iter().any(is_as_good) {
            return false;
        }
        known.push((new.used.clone(), new.latest));
        self.count += 1;
        true
    }
}

impl Search {
    fn new(start: &BTreeSet<u64>, mut ops: Vec<RegisterOp>) -> Self {
        ops.sort_by_key(|op| (op.invoked, op.id));
        let needed = needed(&ops);
        let mut search = Self {
            required: Vec::new(),
            windows: Vec::new(),
            optional: Vec::new(),
            needers: BTreeMap::new(),
        };
        for RegisterOp { id, invoked, effect, mut action } in ops {
            if let Action::Write(value) = &mut action
                && !needed.contains(value)
            {
                *value = UNREAD;
            }
            match effect {
                Effect::Happened(end) => search.required.push(Op { id, invoked, end, action }),
                Effect::Perhaps(end) => search.optional.push(Op { id, invoked, end, action }),
            }
        }
        search.required.sort_by_key(|op| (op.end, op.invoked, op.id));
        search.windows = windows(&search.required);
        search.needers = search.needers(start);
        search
    }

    fn needers(&self, start: &BTreeSet<u64>) -> BTreeMap<u64, Vec<usize>> {
        let mut comings: BTreeMap<u64, usize> = start.iter().map(|value| (*value, 1)).collect();
        for op in self.required.iter().chain(&self.optional) {
            let Some(value) = produced(op.action) else { continue };
            *comings.entry(value).or_default() += if matches!(op.action, Action::Repeat(_)) { 2 } else { 1 };
        }
        let mut needers: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, op) in self.required.iter().enumerate() {
            if let Some(value) = required(op.action).filter(|value| comings.get(value) == Some(&1)) {
                needers.entry(value).or_default().push(index);
            }
        }
        needers
    }

    /// The op that ends first of those that are not in this order and need a value that has been overwritten for good.
    fn too_late(&self, reached: &Configuration, overwritten: u64) -> Option<usize> {
        let is_open = |index: &usize| *index >= reached.prefix && reached.ahead.binary_search(index).is_err();
        let needers = self.needers.get(&overwritten).filter(|_| overwritten != reached.value)?;
        needers.iter().copied().find(is_open)
    }

    /// Required ops that are not in the order and began before the one of them ended that ends first; and that end.
    fn window(&self, at: &Configuration) -> (Vec<usize>, u64) {
        let Some(window) = self.windows.get(at.prefix) else { return (Vec::new(), u64::MAX) };
        let is_open = |index: &usize| at.ahead.binary_search(index).is_err();
        (window.iter().copied().filter(is_open).collect(), self.required[at.prefix].end)
    }

    /// The ops that time allows to be next, soonest end first.
    fn nexts(&self, at: &Configuration) -> Vec<Next> {
        let (mut window, first_end) = self.window(at);
        let optional: Vec<_> = (0..self.optional.len()).filter(|index| self.is_free(at, *index)).collect();
        let is_harmless = |index: &usize| {
            self.required[*index].action == Action::Read(at.value) && !self.closes(*index, &optional)
        };
        if let Some(read) = window.iter().copied().find(is_harmless) {
            // It changes nothing and rules nothing out: any order that works, works with it here.
            return vec![Next::Required(read)];
        }
        window.sort_by_key(|index| self.required[*index].end);
        let mut nexts: Vec<_> = window.into_iter().map(Next::Required).collect();
        let in_time = |index: &&usize| self.optional[**index].invoked <= first_end;
        let offered: Vec<_> = optional.iter().filter(in_time).copied().collect();
        let wanted: BTreeSet<u64> = nexts
            .iter()
            .copied()
            .chain(offered.iter().copied().map(Next::Optional))
            .filter_map(|next| required(self.op(next).action))
            .collect();
        let is_wanted = |index: &usize| match self.optional[*index].action {
            // Whatever follows an optional write at once must need it, or it could be left out.
            Action::Write(value) | Action::Repeat(value) => wanted.contains(&value),
            Action::Read(_) | Action::Swap { .. } => true,
        };
        let distinct = offered.into_iter().filter(|index| !self.has_earlier_twin(&optional, *index));
        nexts.extend(distinct.filter(is_wanted).map(Next::Optional));
        nexts
    }

    fn op(&self, next: Next) -> Op {
        match next {
            Next::Required(index) => self.required[index],
            Next::Optional(index) => self.optional[index],
        }
    }

    /// Whether taking this required op rules out one of these optional ones.
    fn closes(&self, index: usize, optional: &[usize]) -> bool {
        optional.iter().any(|other| self.optional[*other].end < self.required[index].invoked)
    }

    /// Writes that nobody needs and that can hide directly before the write that is taken: wherever else an order has them,
    /// it works with them here.
    fn hidden(&self, at: &Configuration, taken: Next) -> Vec<usize> {
        let Next::Required(taken) = taken else { return Vec::new() };
        let Action::Write(_) = self.required[taken].action else { return Vec::new() };
        let optional: Vec<_> = (0..self.optional.len()).filter(|index| self.is_free(at, *index)).collect();
        let (mut hidden, _) = self.window(at);
        hidden.retain(|index| {
            let is_unread = self.required[*index].action == Action::Write(UNREAD);
            *index != taken && is_unread && !self.closes(*index, &optional)
        });
        hidden
    }

    /// Not in the order, and not ended before something that is.
    fn is_free(&self, at: &Configuration, index: usize) -> bool {
        self.optional[index].end >= at.latest && at.used.binary_search(&index).is_err()
    }

    /// Ops that do the same and end alike are interchangeable: the earliest goes first.
    fn has_earlier_twin(&self, free: &[usize], index: usize) -> bool {
        let op = &self.optional[index];
        let is_twin = |other: &usize| {
            let twin = &self.optional[*other];
            *other < index && twin.action == op.action && twin.end == op.end
        };
        free.iter().any(is_twin)
    }

    /// The order with this op appended; `None` when the register's value forbids it or an optional op would change nothing.
    fn take(&self, at: &Configuration, next: Next) -> Option<Configuration> {
        let (op, is_optional) = (self.op(next), matches!(next, Next::Optional(_)));
        let value = match op.action {
            Action::Write(value) | Action::Repeat(value) => value,
            Action::Read(value) if value == at.value => value,
            Action::Swap { from, to } if from == at.value => to,
            Action::Read(_) | Action::Swap { .. } => return None,
        };
        if is_optional && value == at.value {
            return None;
        }
        let mut reached = Configuration { value, latest: at.latest.max(op.invoked), ..at.clone() };
        match next {
            Next::Required(index) => insert(&mut reached.ahead, index),
            Next::Optional(_) if matches!(op.action, Action::Repeat(_)) => {}
            Next::Optional(index) => insert(&mut reached.used, index),
        }
        for index in self.hidden(at, next) {
            reached.latest = reached.latest.max(self.required[index].invoked);
            insert(&mut reached.ahead, index);
        }
        while reached.ahead.first() == Some(&reached.prefix) {
            reached.ahead.remove(0);
            reached.prefix += 1;
        }
        let latest = reached.latest;
        reached.used.retain(|index| self.optional[*index].end >= latest);
        Some(reached)
    }
}

fn windows(by_end: &[Op]) -> Vec<Vec<usize>> {
    let mut by_begin: Vec<usize> = (0..by_end.len()).collect();
    by_begin.sort_by_key(|index| by_end[*index].invoked);
    let mut begun = by_begin.into_iter().peekable();
    let mut open = BTreeSet::new();
    let mut window = |(index, op): (usize, &Op)| {
        while let Some(next) = begun.next_if(|next| by_end[*next].invoked <= op.end) {
            open.insert(next);
        }
        open = open.split_off(&index);
        open.iter().copied().collect()
    };
    by_end.iter().enumerate().map(&mut window).collect()
}

fn insert(sorted: &mut Vec<usize>, index: usize) {
    let place = sorted.partition_point(|other| *other < index);
    sorted.insert(place, index);
}
