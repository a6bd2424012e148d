use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::complaint;
use crate::history::{Call, Effect, History, NEVER, Operation};
use crate::image::{FinalImage, FinalState};
use crate::register::{Action, RegisterOp, Start, linearize};
use crate::sizes;
use crate::violation::{At, Rule, Violation};

const ABSENT: u64 = 0;
const PRESENT: u64 = 1;

/// What is there at the end follows from the calls and their answers: the size from the resizes, each snapshot's existence from
/// the creates and removes of its name (one success each), the parent from the flattens. Images that are not in `state` are
/// not judged.
pub fn state_matches_the_calls(history: &History, state: &FinalState) -> Vec<Violation> {
    let judge = |(image, last): (&String, &FinalImage)| {
        let calls: Vec<_> = history.calls.iter().filter(|call| call.image == *image).collect();
        let mut found: Vec<_> = size(history, image, &calls, last).into_iter().collect();
        found.extend(snapshots(image, &calls, last));
        found.extend(parent(image, &calls, last));
        found.extend(other_parent(image, &calls, last));
        found
    };
    state.images.iter().flat_map(judge).collect()
}

/// The image was made by a call of the history: what it was at first is known.
fn start(calls: &[&Call], value: u64) -> Start {
    let is_made =
        calls.iter().any(|call| matches!(call.operation, Operation::Create { .. } | Operation::Clone { .. }));
    if is_made { Start::OneOf(BTreeSet::from([value])) } else { Start::Any }
}

fn size(history: &History, image: &str, calls: &[&Call], last: &FinalImage) -> Option<Violation> {
    let start = sizes::at_first(history, image).map_or(Start::Any, Start::OneOf);
    let action = |call: &Call| match call.operation {
        Operation::Resize { size } => Some(Action::Write(size)),
        _ => None,
    };
    judge(&format!("size of image {image}"), &start, calls, last.size, action)
}

fn snapshots(image: &str, calls: &[&Call], last: &FinalImage) -> Vec<Violation> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for call in calls {
        if let Operation::SnapCreate { snap } | Operation::SnapRemove { snap } = &call.operation {
            names.insert(snap, ABSENT);
        }
    }
    for snapshot in &last.snapshots {
        names.insert(&snapshot.name, PRESENT);
    }
    let judge_name = |(name, last): (&str, u64)| {
        let action = |call: &Call| match &call.operation {
            Operation::SnapCreate { snap } if snap == name => {
                Some(Action::Swap { from: ABSENT, to: PRESENT })
            }
            Operation::SnapRemove { snap } if snap == name => {
                Some(Action::Swap { from: PRESENT, to: ABSENT })
            }
            _ => None,
        };
        judge(&format!("existence of snapshot {image}@{name}"), &start(calls, ABSENT), calls, last, action)
    };
    names.into_iter().filter_map(judge_name).collect()
}

/// Flattens that overlap may all succeed: a flatten sets, it does not swap.
fn parent(image: &str, calls: &[&Call], last: &FinalImage) -> Option<Violation> {
    let is_clone = calls.iter().any(|call| matches!(call.operation, Operation::Clone { .. }));
    let has_parent = last.parent.as_ref().is_some_and(|parent| parent.head);
    let action = |call: &Call| matches!(call.operation, Operation::Flatten).then_some(Action::Write(ABSENT));
    let first = if is_clone { PRESENT } else { ABSENT };
    let last = if has_parent { PRESENT } else { ABSENT };
    judge(&format!("parent of image {image}"), &start(calls, first), calls, last, action)
}

/// A clone has the parent that it was made from, or none any more.
fn other_parent(image: &str, calls: &[&Call], last: &FinalImage) -> Option<Violation> {
    let last = last.parent.as_ref()?;
    let call = calls.iter().find(|call| matches!(call.operation, Operation::Clone { .. }))?;
    let Operation::Clone { parent, snap } = &call.operation else { return None };
    let is_other = (parent, snap) != (&last.image, &last.snap);
    let what = format!("it was cloned from {parent}@{snap}, and its parent is {}@{}", last.image, last.snap);
    let who = format!("parent of image {image}");
    is_other.then(|| Violation::new(Rule::FinalState, who, [At::Call(call.id)], what))
}

/// Whether the calls can leave this value.
fn judge(
    who: &str,
    start: &Start,
    calls: &[&Call],
    last: u64,
    action: impl Fn(&Call) -> Option<Action>,
) -> Option<Violation> {
    let register_op = |call: &&Call| {
        let action = action(call)?;
        Some(RegisterOp { id: call.id, invoked: call.invoked.position, effect: call.effect(), action })
    };
    let mut ops: Vec<_> = calls.iter().filter_map(register_op).collect();
    let newest = calls.last().map_or(0, |call| call.id);
    let end = Effect::Happened(NEVER);
    ops.push(RegisterOp { id: newest, invoked: NEVER, effect: end, action: Action::Read(last) });
    let mut found = complaint(Rule::FinalState, who, linearize(start, &ops))?;
    if found.rule == Rule::FinalState {
        found.what = format!("the calls and their answers do not lead to {last}, which it is at the end");
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use errno::Errno;

    use super::*;
    use crate::history::Outcome;
    use crate::image::{FinalParent, FinalSnapshot};
    use crate::testing::{BLOCK, Script, clone, done, refused, snap_create, snap_remove};

    fn created() -> Script {
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: BLOCK });
        script
    }

    fn judged(script: &Script, last: FinalImage) -> Vec<String> {
        let state = FinalState { images: [("i".to_owned(), last)].into() };
        let found = state_matches_the_calls(&script.history(), &state);
        assert!(found.iter().all(|violation| violation.rule == Rule::FinalState), "{found:?}");
        found.into_iter().map(|violation| violation.who).collect()
    }

    fn sized(size: u64) -> FinalImage {
        FinalImage { size, ..FinalImage::default() }
    }

    fn with_snaps(names: &[&str]) -> FinalImage {
        let snapshot = |name: &&str| FinalSnapshot { name: (*name).to_owned(), children: Vec::new() };
        FinalImage { snapshots: names.iter().map(snapshot).collect(), ..sized(BLOCK) }
    }

    #[test]
    fn a_resize_that_did_not_happen_is_found() {
        let mut script = created();
        assert!(judged(&script, sized(BLOCK)).is_empty());
        script.ok("i", Operation::Resize { size: 2 * BLOCK });
        assert!(judged(&script, sized(2 * BLOCK)).is_empty());
        assert_eq!(judged(&script, sized(BLOCK)), ["size of image i"]);
    }

    #[test]
    fn a_clone_has_the_size_of_its_snapshot_and_the_parent_that_it_was_made_from() {
        let mut script = Script::new();
        script.ok("p", Operation::Create { size: BLOCK });
        script.ok("p", snap_create("s"));
        script.ok("i", clone("p", "s"));
        let of = |snap: &str| Some(FinalParent { image: "p".into(), snap: snap.into(), head: true });
        let sized = |size, snap| FinalImage { size, parent: of(snap), ..FinalImage::default() };
        assert!(judged(&script, sized(BLOCK, "s")).is_empty());
        assert_eq!(judged(&script, sized(2 * BLOCK, "s")), ["size of image i"]);
        assert_eq!(judged(&script, sized(BLOCK, "t")), ["parent of image i"]);
    }

    #[test]
    fn a_resize_of_unknown_outcome_may_have_happened_or_not() {
        let mut script = created();
        script.call("i", Operation::Resize { size: 2 * BLOCK }, Outcome::Unknown);
        assert!(judged(&script, sized(BLOCK)).is_empty());
        assert!(judged(&script, sized(2 * BLOCK)).is_empty());
        assert_eq!(judged(&script, sized(3 * BLOCK)), ["size of image i"]);
    }

    #[test]
    fn the_last_of_overlapping_resizes_may_be_either() {
        let mut script = created();
        let first = script.invoke("i", Operation::Resize { size: 2 * BLOCK });
        script.ok("i", Operation::Resize { size: 3 * BLOCK });
        script.complete(first, done());
        assert!(judged(&script, sized(2 * BLOCK)).is_empty());
        assert!(judged(&script, sized(3 * BLOCK)).is_empty());
        assert_eq!(judged(&script, sized(BLOCK)), ["size of image i"]);
    }

    #[test]
    fn a_snapshot_that_is_missing_or_should_be_gone_is_found() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        assert!(judged(&script, with_snaps(&["s"])).is_empty());
        assert_eq!(judged(&script, with_snaps(&[])), ["existence of snapshot i@s"]);
        script.ok("i", snap_remove("s"));
        assert!(judged(&script, with_snaps(&[])).is_empty());
        assert_eq!(judged(&script, with_snaps(&["s"])), ["existence of snapshot i@s"]);
    }

    #[test]
    fn a_snapshot_that_nobody_asked_for_is_found() {
        assert_eq!(judged(&created(), with_snaps(&["x"])), ["existence of snapshot i@x"]);
    }

    #[test]
    fn two_successes_for_one_name_are_found() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", snap_create("s"));
        assert_eq!(judged(&script, with_snaps(&["s"])), ["existence of snapshot i@s"]);
    }

    #[test]
    fn the_loser_of_a_race_for_a_name_is_refused_and_that_is_fine() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.call("i", snap_create("s"), refused(Errno::EEXIST));
        assert!(judged(&script, with_snaps(&["s"])).is_empty());
    }

    #[test]
    fn a_flatten_that_left_the_parent_is_found() {
        let mut script = Script::new();
        script.ok("i", clone("p", "s"));
        let parent = |head| Some(FinalParent { image: "p".into(), snap: "s".into(), head });
        let attached = FinalImage { parent: parent(true), ..FinalImage::default() };
        let by_snapshots = FinalImage { parent: parent(false), ..FinalImage::default() };
        assert!(judged(&script, attached.clone()).is_empty());
        assert_eq!(judged(&script, FinalImage::default()), ["parent of image i"]);
        script.ok("i", Operation::Flatten);
        assert_eq!(judged(&script, attached), ["parent of image i"]);
        assert!(judged(&script, by_snapshots).is_empty());
        assert!(judged(&script, FinalImage::default()).is_empty());
    }
}
