//! Linearizability of block reads and writes (I2).

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Call, Effect, History, Operation};
use crate::register::{Action, RegisterOp, Start, UNREAD, Verdict, linearize, needed};
use crate::sizes;
use crate::violation::{At, Rule, Violation};

/// Every block of every image behaves like one register: each read of HEAD sees the last write, discard or shrink before it, in
/// some order that agrees with time. What a clone shows before it is written is what its parent's snapshot can hold.
pub fn blocks_are_linearizable(history: &History) -> Vec<Violation> {
    let blocks = Blocks::of(history);
    let mut found = whole_reads(history);
    for (image, block) in blocks.ops.keys() {
        let who = format!("image {image}, block {block}");
        found.extend(complaint(Rule::NotLinearizable, &who, blocks.verdict(image, *block)));
    }
    found
}

/// What a verdict complains about.
pub(crate) fn complaint(rule: Rule, who: &str, verdict: Verdict) -> Option<Violation> {
    match verdict {
        Verdict::Linearizable => None,
        Verdict::Stuck { id, value } => {
            let value =
                if value == UNREAD { "a value that nobody read".to_owned() } else { value.to_string() };
            let what = format!("no order of the calls explains this one; before it the value may be {value}");
            Some(Violation::new(rule, who, [At::Call(id)], what))
        }
        Verdict::GaveUp => {
            let what = "too many calls overlap: the search reached its bound and decided nothing";
            Some(Violation::new(Rule::SearchBound, who, [], what))
        }
    }
}

/// Reads that did not see whole blocks, or ended where the image cannot have ended.
fn whole_reads(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for call in &history.calls {
        let (Operation::Read { .. }, Some(tags)) = (&call.operation, call.tags()) else { continue };
        let blocks = history.blocks(&call.operation);
        for (block, _) in blocks.clone().zip(tags).filter(|(_, tag)| tag.is_none()) {
            let who = format!("image {}, block {block}", call.image);
            let what = "a read saw parts of more than one write";
            found.push(Violation::new(Rule::TornBlock, who, [At::Call(call.id)], what));
        }
        let (wanted, got) = (blocks.end - blocks.start, tags.len() as u64);
        let end = (blocks.start + got) * history.block_bytes;
        if got < wanted && !sizes::met_by(history, call).is_some_and(|sizes| sizes.contains(&end)) {
            let what = format!("a read of {wanted} blocks gave {got}, and the image did not end there");
            let who = format!("image {}", call.image);
            found.push(Violation::new(Rule::ShortRead, who, [At::Call(call.id)], what));
        }
    }
    found
}

/// Where an image comes from.
enum Origin<'a> {
    New,
    Clone { parent: &'a str, snap: &'a str },
}

/// What a read saw in a block of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) value: u64,
    pub(crate) call: u64,
}

/// (image, snapshot, block).
pub(crate) type SnapshotBlock<'a> = (&'a str, &'a str, u64);

/// A history taken apart by block.
pub(crate) struct Blocks<'a> {
    ops: BTreeMap<(&'a str, u64), Vec<RegisterOp>>,
    origins: BTreeMap<&'a str, Origin<'a>>,
    /// When each snapshot can have come to be: after the first position and before the second.
    creations: BTreeMap<(&'a str, &'a str), (u64, u64)>,
    /// What was seen of snapshots, by reads that name them and by clones that show them.
    pub(crate) sights: BTreeMap<SnapshotBlock<'a>, Vec<Sight>>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let mut blocks = Self {
            ops: BTreeMap::new(),
            origins: BTreeMap::new(),
            creations: BTreeMap::new(),
            sights: BTreeMap::new(),
        };
        let interesting = blocks_that_were_read(history);
        for call in &history.calls {
            blocks.add(history, &interesting, call);
        }
        for call in &history.calls {
            blocks.end_creation(call);
        }
        let seen = values_that_were_seen(history);
        for call in &history.calls {
            blocks.roll_back(history, &seen, call);
        }
        blocks.look_through_clones();
        blocks
    }

    /// Whether HEAD's reads of this block can be explained.
    pub(crate) fn verdict(&self, image: &'a str, block: u64) -> Verdict {
        let ops = self.ops_on(image, block);
        linearize(&self.start(image, block, &needed(ops)), ops)
    }

    /// Whether the snapshot can hold this value: as if somebody had read it from HEAD while the snapshot was made. `None` when
    /// the history does not tell of its making.
    pub(crate) fn cut(&self, place: SnapshotBlock<'a>, sight: Sight) -> Option<Verdict> {
        let (image, snap, _) = place;
        Some(self.cut_between(place, sight, *self.creations.get(&(image, snap))?))
    }

    /// The same between two records.
    pub(crate) fn cut_between(
        &self,
        (image, _, block): SnapshotBlock<'a>,
        sight: Sight,
        (after, until): (u64, u64),
    ) -> Verdict {
        // Odd positions lie between records.
        let twice = |position: u64| position.saturating_mul(2);
        let spread = |op: &RegisterOp| {
            let effect = match op.effect {
                Effect::Happened(end) => Effect::Happened(twice(end)),
                Effect::Perhaps(end) => Effect::Perhaps(twice(end)),
            };
            RegisterOp { invoked: twice(op.invoked), effect, ..*op }
        };
        let mut ops: Vec<_> = self.ops_on(image, block).iter().map(spread).collect();
        let (invoked, effect) = (twice(after) + 1, Effect::Happened(twice(until) - 1));
        ops.push(RegisterOp { id: sight.call, invoked, effect, action: Action::Read(sight.value) });
        linearize(&self.start(image, block, &needed(&ops)), &ops)
    }

    /// Positions between which the snapshot can have come to be.
    pub(crate) fn creation(&self, image: &'a str, snap: &'a str) -> Option<(u64, u64)> {
        self.creations.get(&(image, snap)).copied()
    }

    /// Positions between the two at which an op on this block began or had to have ended.
    pub(crate) fn turns(&self, image: &'a str, block: u64, (after, until): (u64, u64)) -> BTreeSet<u64> {
        let ends = |op: &RegisterOp| {
            let (Effect::Happened(end) | Effect::Perhaps(end)) = op.effect;
            [op.invoked, end]
        };
        let turns = self.ops_on(image, block).iter().flat_map(ends);
        turns.filter(|position| after < *position && *position < until).collect()
    }

    fn ops_on(&self, image: &'a str, block: u64) -> &[RegisterOp] {
        self.ops.get(&(image, block)).map_or(&[], Vec::as_slice)
    }

    /// What the block can hold at first, as far as somebody needs it.
    fn start(&self, image: &'a str, block: u64, needed: &BTreeSet<u64>) -> Start {
        match self.origins.get(image) {
            None => Start::Any,
            Some(Origin::New) => Start::OneOf(BTreeSet::from([0])),
            Some(Origin::Clone { parent, snap }) => {
                let place = (*parent, *snap, block);
                let possible = needed.iter().copied().filter(|value| self.can_hold(place, *value));
                Start::OneOf(possible.chain([UNREAD]).collect())
            }
        }
    }

    /// Direct reads of a snapshot decide; otherwise whatever its image can have held.
    fn can_hold(&self, place: SnapshotBlock<'a>, value: u64) -> bool {
        let sights = self.sights.get(&place).map_or(&[][..], Vec::as_slice);
        let is_seen = sights.is_empty() || sights.iter().any(|sight| sight.value == value);
        // A search that gave up does not speak against the value; it is reported where it belongs.
        let is_stuck = || matches!(self.cut(place, Sight { value, call: 0 }), Some(Verdict::Stuck { .. }));
        is_seen && !is_stuck()
    }

    fn add(&mut self, history: &History, interesting: &BTreeSet<u64>, call: &'a Call) {
        let image = call.image.as_str();
        match &call.operation {
            Operation::Read { snap, .. } => {
                let blocks = history.blocks(&call.operation);
                let tags = call.tags().into_iter().flatten();
                for (block, tag) in blocks.zip(tags) {
                    let Some(value) = *tag else { continue };
                    match snap {
                        None => self.push(image, block, call, Action::Read(value)),
                        Some(snap) => self.see((image, snap, block), Sight { value, call: call.id }),
                    }
                }
            }
            Operation::Write { tag, .. } => {
                for block in interesting.range(history.blocks(&call.operation)) {
                    self.push(image, *block, call, Action::Write(*tag));
                }
            }
            Operation::Discard { .. } => {
                for block in interesting.range(history.blocks(&call.operation)) {
                    self.push(image, *block, call, Action::Write(0));
                }
            }
            Operation::Resize { size } => {
                for block in interesting.range(size / history.block_bytes..) {
                    self.push(image, *block, call, Action::Write(0));
                    // librbd trims before it commits the size, and begins anew when the lock changes hands meanwhile: what was
                    // written beyond the new size in between is cleared once more.
                    self.repeat(image, *block, call, 0);
                }
            }
            Operation::Create { .. } => self.comes_from(image, Origin::New),
            Operation::Clone { parent, snap } => self.comes_from(image, Origin::Clone { parent, snap }),
            Operation::SnapCreate { snap } => self.begin_creation(image, snap, call),
            _ => {}
        }
    }

    fn comes_from(&mut self, image: &'a str, origin: Origin<'a>) {
        self.origins.insert(image, origin);
    }

    fn push(&mut self, image: &'a str, block: u64, call: &Call, action: Action) {
        let op = RegisterOp { id: call.id, invoked: call.invoked.position, effect: call.effect(), action };
        self.ops.entry((image, block)).or_default().push(op);
    }

    /// While the call runs this can be written any number of times.
    fn repeat(&mut self, image: &'a str, block: u64, call: &Call, value: u64) {
        let (Effect::Happened(end) | Effect::Perhaps(end)) = call.effect();
        let (effect, action) = (Effect::Perhaps(end), Action::Repeat(value));
        let op = RegisterOp { id: call.id, invoked: call.invoked.position, effect, action };
        self.ops.entry((image, block)).or_default().push(op);
    }

    /// A rollback writes what the snapshot holds, and begins anew when the lock changes hands meanwhile. What nobody read of the
    /// snapshot itself can be anything that somebody saw, in whatever image: the rollback is judged where its snapshot is read.
    fn roll_back(&mut self, history: &History, seen: &BTreeMap<u64, BTreeSet<u64>>, call: &'a Call) {
        let Operation::SnapRollback { snap } = &call.operation else { return };
        let image = call.image.as_str();
        let sizes = sizes::of_snapshot(history, image, snap).unwrap_or_default();
        let blocks = |size: Option<&u64>| size.map(|size| size / history.block_bytes);
        let (surely_within, surely_beyond) = (blocks(sizes.first()).unwrap_or(0), blocks(sizes.last()));
        for (&block, seen) in seen {
            let mut values = BTreeSet::new();
            if block >= surely_within {
                values.insert(0);
            }
            if surely_beyond.is_none_or(|beyond| block < beyond) {
                match self.sights.get(&(image, snap.as_str(), block)) {
                    Some(sights) => values.extend(sights.iter().map(|sight| sight.value)),
                    None => values.extend(seen),
                }
            }
            for &value in &values {
                self.repeat(image, block, call, value);
            }
            if let (Some(&value), 1) = (values.first(), values.len()) {
                self.push(image, block, call, Action::Write(value));
            }
        }
    }

    fn see(&mut self, place: SnapshotBlock<'a>, sight: Sight) {
        self.sights.entry(place).or_default().push(sight);
    }

    /// Of several calls that may have made the snapshot any can be the one.
    fn begin_creation(&mut self, image: &'a str, snap: &'a str, call: &Call) {
        let (Effect::Happened(end) | Effect::Perhaps(end)) = call.effect();
        let creation = self.creations.entry((image, snap)).or_insert((call.invoked.position, end));
        creation.0 = creation.0.min(call.invoked.position);
        creation.1 = creation.1.max(end);
    }

    /// Whoever used the snapshot used one that was there.
    fn end_creation(&mut self, call: &'a Call) {
        let user = match &call.operation {
            Operation::Read { snap: Some(snap), .. } => (call.image.as_str(), snap.as_str()),
            Operation::Clone { parent, snap } => (parent.as_str(), snap.as_str()),
            _ => return,
        };
        if let Some(creation) = self.creations.get_mut(&user).filter(|_| call.is_ok()) {
            creation.1 = creation.1.min(call.end());
        }
    }

    /// What a clone's read saw and nothing on the clone can have made, it saw of the snapshot.
    fn look_through_clones(&mut self) {
        let mut sights = Vec::new();
        for ((image, block), ops) in &self.ops {
            let Some(Origin::Clone { parent, snap }) = self.origins.get(image) else { continue };
            let made: BTreeSet<u64> = ops.iter().filter_map(|op| written(op.action)).collect();
            for op in ops {
                if let Action::Read(value) = op.action
                    && !made.contains(&value)
                {
                    sights.push(((*parent, *snap, *block), Sight { value, call: op.id }));
                }
            }
        }
        for (place, sight) in sights {
            self.see(place, sight);
        }
    }
}

const fn written(action: Action) -> Option<u64> {
    match action {
        Action::Write(value) | Action::Repeat(value) => Some(value),
        Action::Read(_) | Action::Swap { .. } => None,
    }
}

/// By block, in all images.
fn values_that_were_seen(history: &History) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut seen: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| matches!(call.operation, Operation::Read { .. })) {
        for (block, tag) in history.blocks(&call.operation).zip(call.tags().into_iter().flatten()) {
            seen.entry(block).or_default().extend(tag);
        }
    }
    seen
}

fn blocks_that_were_read(history: &History) -> BTreeSet<u64> {
    let reads = history.calls.iter().filter(|call| matches!(call.operation, Operation::Read { .. }));
    reads.flat_map(|call| history.blocks(&call.operation)).collect()
}

#[cfg(test)]
mod tests;
