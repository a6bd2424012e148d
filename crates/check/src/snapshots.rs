//! Snapshots never change (I2, I4).

use crate::blocks::{Blocks, Sight, SnapshotBlock, complaint};
use crate::history::History;
use crate::register::Verdict;
use crate::violation::{At, Rule, Violation};

/// All sights of one block of one snapshot, by reads that name it and through clones, give one value; and it is a value that
/// HEAD can have had while the snapshot was made. Each block is judged alone: that two blocks belong to the same moment is not.
///
/// Blocks whose HEAD is not linearizable by itself are left to [`blocks_are_linearizable`](crate::blocks_are_linearizable).
pub fn snapshots_never_change(history: &History) -> Vec<Violation> {
    let blocks = Blocks::of(history);
    blocks.sights.iter().flat_map(|(place, sights)| judge(&blocks, *place, sights)).collect()
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
