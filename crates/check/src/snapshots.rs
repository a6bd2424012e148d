//! Snapshots never change, and are of one moment (I2, I4).

use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::{Blocks, Sight, SnapshotBlock, complaint};
use crate::history::History;
use crate::register::Verdict;
use crate::violation::{At, Rule, Violation};

/// All sights of one block of one snapshot, by reads that name it and through clones, give one value; it is a value that HEAD can
/// have had while the snapshot was made; and there is one moment in this time at which HEAD can have had the values of all blocks.
///
/// Blocks whose HEAD is not linearizable by itself are left to [`blocks_are_linearizable`](crate::blocks_are_linearizable).
pub fn snapshots_never_change(history: &History) -> Vec<Violation> {
    let blocks = Blocks::of(history);
    let mut found = Vec::new();
    // What each snapshot surely shows.
    let mut shown: BTreeMap<(&str, &str), Vec<(u64, Sight)>> = BTreeMap::new();
    for (place, sights) in &blocks.sights {
        let (image, snap, block) = *place;
        match (judge(&blocks, *place, sights), sights.first()) {
            (Some(violation), _) => found.push(violation),
            (None, Some(sight)) => shown.entry((image, snap)).or_default().push((block, *sight)),
            (None, None) => {}
        }
    }
    found.extend(shown.iter().filter_map(|((image, snap), shown)| one_moment(&blocks, image, snap, shown)));
    found
}

/// The ops of the others have their own points in time: a snapshot is a read of all its blocks at one point.
fn one_moment<'a>(
    blocks: &Blocks<'a>,
    image: &'a str,
    snap: &'a str,
    shown: &[(u64, Sight)],
) -> Option<Violation> {
    let window = blocks.creation(image, snap)?;
    let turns: BTreeMap<u64, BTreeSet<u64>> =
        shown.iter().map(|(block, _)| (*block, blocks.turns(image, *block, window))).collect();
    let mut moments: BTreeSet<u64> = turns.values().flatten().copied().chain([window.0]).collect();
    for (block, sight) in shown.iter().filter(|(block, _)| !turns[block].is_empty()) {
        let place = (image, snap, *block);
        // Between two turns of the block nothing changes for it.
        let mut known: BTreeMap<Option<u64>, bool> = BTreeMap::new();
        let mut is_possible = |moment: &u64| {
            let turn = turns[block].range(..=*moment).next_back().copied();
            *known.entry(turn).or_insert_with(|| {
                let from = turn.unwrap_or(window.0);
                let until = turns[block].range(from + 1..).next().copied().unwrap_or(window.1);
                !matches!(blocks.cut_between(place, *sight, (from, until)), Verdict::Stuck { .. })
            })
        };
        let left: BTreeSet<u64> = moments.iter().copied().filter(&mut is_possible).collect();
        // One that fits nowhere by itself: its HEAD is not linearizable, and that is said there.
        if left.is_empty() && is_impossible_alone(blocks, place, *sight) {
            continue;
        }
        if left.is_empty() {
            let what = format!(
                "block {block} is {}, and at no moment of its making can HEAD have had this and what the blocks before it show",
                sight.value
            );
            let who = format!("snapshot {image}@{snap}");
            return Some(Violation::new(Rule::SnapshotTorn, who, [At::Call(sight.call)], what));
        }
        moments = left;
    }
    None
}

fn is_impossible_alone<'a>(blocks: &Blocks<'a>, place: SnapshotBlock<'a>, sight: Sight) -> bool {
    matches!(blocks.cut(place, sight), Some(Verdict::Stuck { .. }))
}

fn judge(blocks: &Blocks<'_>, place: SnapshotBlock<'_>, sights: &[Sight]) -> Option<Violation> {
    let (image, snap, block) = place;
    let who = format!("snapshot {image}@{snap}, block {block}");
    let first = sights.first()?;
    if let Some(other) = sights.iter().find(|sight| sight.value != first.value) {
        let what = format!("it was {} and it was {}", first.value, other.value);
        let at = [At::Call(first.call), At::Call(other.call)];
        return Some(Violation::new(Rule::SnapshotChanged, who, at, what));
    }
    match blocks.cut(place, *first)? {
        Verdict::Linearizable => None,
        Verdict::GaveUp => complaint(Rule::SearchBound, &who, Verdict::GaveUp),
        Verdict::Stuck { .. } if blocks.verdict(image, block) != Verdict::Linearizable => None,
        Verdict::Stuck { .. } => {
            let what = format!("it is {}, which HEAD did not hold while the snapshot was made", first.value);
            Some(Violation::new(Rule::SnapshotNotACut, who, [At::Call(first.call)], what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Operation, Outcome};
    use crate::testing::{BLOCK, Script, clone, discard, done, read, seen, snap_create, write};

    fn judged(script: &Script) -> Vec<(Rule, Vec<At>)> {
        let found = snapshots_never_change(&script.history());
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    fn with_image() -> Script {
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: 8 * BLOCK });
        script
    }

    #[test]
    fn a_snapshot_that_keeps_its_value_while_head_goes_on_is_fine() {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        script.ok("i", write(2));
        script.read("i", Some("s"), 1);
        script.ok("i", discard());
        script.read("i", Some("s"), 1);
        script.ok("j", clone("i", "s"));
        script.read("j", None, 1);
        assert_eq!(judged(&script), []);
    }

    #[test]
    fn a_write_during_the_creation_may_be_in_it_or_not() {
        for value in [0, 1] {
            let mut script = with_image();
            let snap = script.invoke("i", snap_create("s"));
            script.ok("i", write(1));
            script.complete(snap, done());
            script.read("i", Some("s"), value);
            assert_eq!(judged(&script), []);
        }
    }

    #[test]
    fn two_reads_that_differ_are_found() {
        let mut script = with_image();
        script.ok("i", snap_create("s"));
        let first = script.read("i", Some("s"), 0);
        script.ok("i", write(1));
        let second = script.read("i", Some("s"), 1);
        assert_eq!(judged(&script), [(Rule::SnapshotChanged, vec![At::Call(first), At::Call(second)])]);
    }

    #[test]
    fn a_write_after_the_creation_that_shows_in_it_is_found() {
        let mut script = with_image();
        script.ok("i", snap_create("s"));
        script.ok("i", write(1));
        let late = script.read("i", Some("s"), 1);
        assert_eq!(judged(&script), [(Rule::SnapshotNotACut, vec![At::Call(late)])]);
    }

    #[test]
    fn an_acknowledged_write_that_is_missing_in_it_is_found() {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        let empty = script.read("i", Some("s"), 0);
        assert_eq!(judged(&script), [(Rule::SnapshotNotACut, vec![At::Call(empty)])]);
    }

    #[test]
    fn a_creation_of_unknown_outcome_ends_with_the_first_read_of_it() {
        let mut script = with_image();
        script.call("i", snap_create("s"), Outcome::Unknown);
        script.ok("i", write(1));
        script.read("i", Some("s"), 1);
        assert_eq!(judged(&script), []);

        let mut script = with_image();
        script.call("i", snap_create("s"), Outcome::Unknown);
        let early = script.invoke("i", read(Some("s")));
        script.complete(early, seen(&[2]));
        script.ok("i", write(2));
        assert_eq!(judged(&script), [(Rule::SnapshotNotACut, vec![At::Call(early)])]);
    }

    /// Reads blocks 0 and 1 of the snapshot.
    fn read_two(script: &mut Script, tags: [u64; 2]) -> u64 {
        let both = Operation::Read { offset: 0, length: 2 * BLOCK, snap: Some("s".into()) };
        script.call("i", both, seen(&tags))
    }

    fn write_second(tag: u64) -> Operation {
        Operation::Write { offset: BLOCK, length: BLOCK, tag }
    }

    /// Block 0 was overwritten before block 1 was.
    fn overwritten_one_after_the_other() -> Script {
        let mut script = with_image();
        let snap = script.invoke("i", snap_create("s"));
        script.ok("i", write(1));
        script.ok("i", write_second(2));
        script.complete(snap, done());
        script
    }

    #[test]
    fn blocks_that_are_of_different_moments_are_found() {
        for tags in [[0, 0], [1, 0], [1, 2]] {
            let mut script = overwritten_one_after_the_other();
            read_two(&mut script, tags);
            assert_eq!(judged(&script), [], "{tags:?}");
        }
        let mut script = overwritten_one_after_the_other();
        let torn = read_two(&mut script, [0, 2]);
        assert_eq!(judged(&script), [(Rule::SnapshotTorn, vec![At::Call(torn)])]);
    }

    #[test]
    fn writes_that_overlap_with_the_creation_may_be_in_any_order() {
        for tags in [[0, 0], [1, 0], [0, 2], [1, 2]] {
            let mut script = with_image();
            let snap = script.invoke("i", snap_create("s"));
            let (one, two) = (script.invoke("i", write(1)), script.invoke("i", write_second(2)));
            script.complete(one, done());
            script.complete(two, done());
            script.complete(snap, done());
            read_two(&mut script, tags);
            assert_eq!(judged(&script), [], "{tags:?}");
        }
    }

    #[test]
    fn a_rollback_gives_head_what_the_snapshot_has() {
        for (value, is_fine) in [(1, true), (2, false)] {
            let mut script = with_image();
            script.ok("i", write(1));
            script.ok("i", snap_create("s"));
            script.ok("i", write(2));
            script.ok("i", Operation::SnapRollback { snap: "s".into() });
            script.read("i", Some("s"), 1);
            script.read("i", None, value);
            let found = crate::blocks_are_linearizable(&script.history());
            assert_eq!(found.is_empty(), is_fine, "{found:?}");
        }
    }

    /// Blocks beyond the snapshot are zero; a rollback that failed may have happened.
    #[test]
    fn a_rollback_shrinks_and_may_fail_on_its_way() {
        let rollback = || Operation::SnapRollback { snap: "s".into() };
        let beyond = |tag| Operation::Write { offset: 4 * BLOCK, length: BLOCK, tag };
        let read = || Operation::Read { offset: 4 * BLOCK, length: BLOCK, snap: None };
        let judged = |outcome: Outcome, seen_beyond| {
            let mut script = with_image();
            script.ok("i", Operation::Resize { size: 2 * BLOCK });
            script.ok("i", snap_create("s"));
            script.ok("i", Operation::Resize { size: 8 * BLOCK });
            script.ok("i", beyond(7));
            script.call("i", rollback(), outcome);
            script.ok("i", Operation::Resize { size: 8 * BLOCK });
            script.call("i", read(), seen(&[seen_beyond]));
            crate::blocks_are_linearizable(&script.history()).is_empty()
        };
        assert!(judged(done(), 0) && !judged(done(), 7));
        let failed = || crate::testing::refused(errno::Errno::EIO);
        assert!(judged(failed(), 0) && judged(failed(), 7));
    }

    /// The snapshot that it came from was removed before anybody read it; another one shows what it has brought back.
    #[test]
    fn a_rollback_to_a_snapshot_that_nobody_read_explains_what_a_later_one_shows() {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        script.ok("i", write(2));
        script.call(
            "i",
            Operation::SnapRollback { snap: "s".into() },
            crate::testing::refused(errno::Errno::ENOENT),
        );
        script.ok("i", snap_create("t"));
        script.read("i", Some("t"), 1);
        assert_eq!(judged(&script), []);
        let other = script.read("i", Some("t"), 2);
        assert_eq!(judged(&script).len(), 1, "{other}: a snapshot has one value");
    }

    #[test]
    fn a_clone_that_shows_another_value_than_the_snapshot_is_found() {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        let direct = script.read("i", Some("s"), 1);
        script.ok("j", clone("i", "s"));
        let zeros = script.read("j", None, 0);
        assert_eq!(judged(&script), [(Rule::SnapshotChanged, vec![At::Call(direct), At::Call(zeros)])]);
    }

    #[test]
    fn zeros_that_the_clone_made_itself_are_its_own() {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        script.ok("j", clone("i", "s"));
        script.ok("j", discard());
        script.read("j", None, 0);
        assert_eq!(judged(&script), []);
    }
}
