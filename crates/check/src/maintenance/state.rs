use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::complaint;
use crate::history::{Call, Effect, History, NEVER, Operation};
use crate::image::{FinalImage, FinalSnapshot, FinalState};
use crate::register::{Action, RegisterOp, Start, linearize};
use crate::sizes;
use crate::violation::{At, Rule, Violation};

const ABSENT: u64 = 0;
const PRESENT: u64 = 1;

/// What is there at the end follows from the calls and their answers: each image's existence from its makings and removals and from
/// the calls that found it there, its name from the renames, its size from the resizes and rollbacks, each snapshot's existence from
/// the creates and removes of its name (one success each), the purges, and the calls that found it there, its name from its renames, its
/// protection from those who protected it or took that back, the parent from the flattens.
pub fn state_matches_the_calls(history: &History, state: &FinalState) -> Vec<Violation> {
    let mut found = existence(history, state);
    found.extend(names(history, state));
    found.extend(contents(history, state));
    found.extend(protections(history, state));
    found
}

/// Nobody finds an image that is not there: what succeeded on it shows that it was.
fn existence(history: &History, state: &FinalState) -> Vec<Violation> {
    let there: BTreeSet<&str> = state.images.keys().map(|image| history.first_name(image)).collect();
    let mut images: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        images.entry(&call.image).or_default().push(call);
    }
    let judge_image = |(image, calls): (&str, Vec<&Call>)| {
        let is_last = if there.contains(image) { PRESENT } else { ABSENT };
        let action = |call: &Call| match &call.operation {
            Operation::Create { .. } | Operation::Clone { .. } => {
                Some(Action::Swap { from: ABSENT, to: PRESENT })
            }
            Operation::Remove => Some(Action::Swap { from: PRESENT, to: ABSENT }),
            _ if call.is_ok() => Some(Action::Read(PRESENT)),
            _ => None,
        };
        judge(&format!("existence of image {image}"), &start(&calls, ABSENT), &calls, is_last, action)
    };
    images.into_iter().filter_map(judge_image).collect()
}

/// An image has the name that the last rename gave it.
fn names(history: &History, state: &FinalState) -> Vec<Violation> {
    let mut renamed: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| matches!(call.operation, Operation::Rename { .. })) {
        renamed.entry(&call.image).or_default().push(call);
    }
    let last_names: BTreeMap<&str, &str> =
        state.images.keys().map(|image| (history.first_name(image), image.as_str())).collect();
    let judge_image = |(image, calls): (&str, Vec<&Call>)| {
        let target = |call: &'_ Call| match &call.operation {
            Operation::Rename { to } => Some(to.clone()),
            _ => None,
        };
        judge_name(&format!("name of image {image}"), &calls, last_names.get(image)?, target)
    };
    renamed.into_iter().filter_map(judge_image).collect()
}

/// The same of an image's snapshots.
fn snapshot_names(history: &History, image: &str, calls: &[&Call], last: &FinalImage) -> Vec<Violation> {
    let there = last.snapshots.iter().filter(|snapshot| !snapshot.in_trash);
    let judge_snapshot = |snapshot: &FinalSnapshot| {
        let first = history.first_snapshot_name(image, &snapshot.name);
        let target = |call: &'_ Call| match &call.operation {
            Operation::SnapRename { snap, to } if snap == first => Some(to.clone()),
            _ => None,
        };
        judge_name(&format!("name of snapshot {image}@{first}"), calls, &snapshot.name, target)
    };
    there.filter_map(judge_snapshot).collect()
}

/// Whether the calls of which `target` tells the new name can leave the last one.
fn judge_name(
    who: &str,
    calls: &[&Call],
    last: &str,
    target: impl Fn(&Call) -> Option<String>,
) -> Option<Violation> {
    // The first name, and then those that it was given.
    let targets: Vec<String> = calls.iter().filter_map(|call| target(call)).collect();
    let number =
        |name: &str| targets.iter().position(|target| target == name).map_or(0, |place| place as u64 + 1);
    let action = |call: &Call| target(call).map(|name| Action::Write(number(&name)));
    judge(who, &Start::OneOf(BTreeSet::from([0])), calls, number(last), action)
}

fn contents(history: &History, state: &FinalState) -> Vec<Violation> {
    let judge = |(image, last): (&String, &FinalImage)| {
        let image = history.first_name(image);
        let calls: Vec<_> = history.calls.iter().filter(|call| call.image == image).collect();
        let mut found = snapshot_names(history, image, &calls, last);
        let last = &by_first_names(history, image, last);
        found.extend(size(history, image, &calls, last));
        found.extend(snapshots(image, &calls, last));
        found.extend(parent(image, &calls, last));
        found.extend(other_parent(history, image, &calls, last));
        found
    };
    state.images.iter().flat_map(judge).collect()
}

/// With the first names of its snapshots.
fn by_first_names(history: &History, image: &str, last: &FinalImage) -> FinalImage {
    let mut last = last.clone();
    for snapshot in &mut last.snapshots {
        snapshot.name = history.first_snapshot_name(image, &snapshot.name).to_owned();
    }
    last
}

/// The image was made by a call of the history: what it was at first is known.
fn start(calls: &[&Call], value: u64) -> Start {
    let is_made = calls.iter().any(|call| call.operation.makes_an_image());
    if is_made { Start::OneOf(BTreeSet::from([value])) } else { Start::Any }
}

fn size(history: &History, image: &str, calls: &[&Call], last: &FinalImage) -> Option<Violation> {
    let start = sizes::at_first(history, image).map_or(Start::Any, Start::OneOf);
    let ops = |call: &Call| match &call.operation {
        Operation::Resize { size } => vec![register_op(call, Action::Write(*size))],
        Operation::SnapRollback { snap } => {
            let sizes = sizes::of_snapshot(history, image, snap).unwrap_or_default();
            let is_known = sizes.len() == 1;
            let mut ops: Vec<_> =
                sizes.into_iter().map(|size| register_op(call, Action::Write(size))).collect();
            if !is_known {
                ops.iter_mut().for_each(|op| op.effect = perhaps(op.effect));
            }
            ops
        }
        _ => Vec::new(),
    };
    judge_ops(&format!("size of image {image}"), &start, calls, Some(last.size), ops)
}

const fn perhaps(effect: Effect) -> Effect {
    let (Effect::Happened(end) | Effect::Perhaps(end)) = effect;
    Effect::Perhaps(end)
}

/// One who protects a snapshot finds it unprotected, and the other way round; who removes it finds it unprotected. Of snapshots that are
/// gone the calls alone are judged.
fn protections(history: &History, state: &FinalState) -> Vec<Violation> {
    let mut calls_of: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    let mut snapshots: BTreeMap<(&str, &str), Option<u64>> = BTreeMap::new();
    for call in &history.calls {
        calls_of.entry(&call.image).or_default().push(call);
        if let Operation::SnapProtect { snap } | Operation::SnapUnprotect { snap } = &call.operation {
            snapshots.insert((&call.image, snap), None);
        }
    }
    for (image, found) in &state.images {
        for snapshot in found.snapshots.iter().filter(|snapshot| !snapshot.in_trash) {
            let last = if snapshot.protected { PRESENT } else { ABSENT };
            let image = history.first_name(image);
            snapshots.insert((image, history.first_snapshot_name(image, &snapshot.name)), Some(last));
        }
    }
    let judge_snapshot = |((image, name), last): ((&str, &str), Option<u64>)| {
        let calls = calls_of.get(image).map_or(&[][..], Vec::as_slice);
        let action = |call: &Call| match &call.operation {
            Operation::SnapProtect { snap } if snap == name => {
                Some(Action::Swap { from: ABSENT, to: PRESENT })
            }
            Operation::SnapUnprotect { snap } if snap == name => {
                Some(Action::Swap { from: PRESENT, to: ABSENT })
            }
            Operation::SnapRemove { snap } if snap == name && call.is_ok() => Some(Action::Read(ABSENT)),
            _ => None,
        };
        judge(&format!("protection of snapshot {image}@{name}"), &start(calls, ABSENT), calls, last, action)
    };
    snapshots.into_iter().filter_map(judge_snapshot).collect()
}

fn snapshots(image: &str, calls: &[&Call], last: &FinalImage) -> Vec<Violation> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for call in calls {
        if let Operation::SnapCreate { snap } | Operation::SnapRemove { snap } = &call.operation {
            names.insert(snap, ABSENT);
        }
    }
    for snapshot in last.snapshots.iter().filter(|snapshot| !snapshot.in_trash) {
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
            Operation::SnapPurge => Some(Action::Write(ABSENT)),
            // Nobody finds a snapshot that is not there.
            Operation::Clone { .. } => None,
            other if other.snapshot() == Some(name) && call.is_ok() => Some(Action::Read(PRESENT)),
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
fn other_parent(history: &History, image: &str, calls: &[&Call], last: &FinalImage) -> Option<Violation> {
    let last = last.parent.as_ref()?;
    let call = calls.iter().find(|call| matches!(call.operation, Operation::Clone { .. }))?;
    let Operation::Clone { parent, snap } = &call.operation else { return None };
    let of = history.first_name(&last.image);
    let is_other = (parent.as_str(), snap.as_str()) != (of, history.first_snapshot_name(of, &last.snap));
    let what = format!("it was cloned from {parent}@{snap}, and its parent is {}@{}", last.image, last.snap);
    let who = format!("parent of image {image}");
    is_other.then(|| Violation::new(Rule::FinalState, who, [At::Call(call.id)], what))
}

/// Whether the calls can leave this value.
fn judge(
    who: &str,
    start: &Start,
    calls: &[&Call],
    last: impl Into<Option<u64>>,
    action: impl Fn(&Call) -> Option<Action>,
) -> Option<Violation> {
    let ops = |call: &Call| action(call).map(|action| register_op(call, action)).into_iter().collect();
    judge_ops(who, start, calls, last.into(), ops)
}

fn register_op(call: &Call, action: Action) -> RegisterOp {
    RegisterOp { id: call.id, invoked: call.invoked.position, effect: call.effect(), action }
}

fn judge_ops(
    who: &str,
    start: &Start,
    calls: &[&Call],
    last: Option<u64>,
    ops: impl Fn(&Call) -> Vec<RegisterOp>,
) -> Option<Violation> {
    let mut ops: Vec<_> = calls.iter().flat_map(|call| ops(call)).collect();
    let newest = calls.last().map_or(0, |call| call.id);
    if let Some(last) = last {
        let end = Effect::Happened(NEVER);
        ops.push(RegisterOp { id: newest, invoked: NEVER, effect: end, action: Action::Read(last) });
    }
    let mut found = complaint(Rule::FinalState, who, linearize(start, &ops))?;
    if let (Rule::FinalState, Some(last)) = (found.rule, last) {
        found.what = format!("the calls and their answers do not lead to {last}, which it is at the end");
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use errno::Errno;

    use super::*;
    use crate::history::Outcome;
    use crate::image::FinalParent;
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
        let snapshot = |name: &&str| FinalSnapshot { name: (*name).to_owned(), ..FinalSnapshot::default() };
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
        let judged = |script: &Script, last: FinalImage| {
            let images = [("i".to_owned(), last), ("p".to_owned(), with_snaps(&["s"]))];
            let found = state_matches_the_calls(&script.history(), &FinalState { images: images.into() });
            found.into_iter().map(|violation| violation.who).collect::<Vec<_>>()
        };
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
        let mut in_trash = with_snaps(&["s"]);
        in_trash.snapshots[0].in_trash = true;
        assert!(judged(&script, in_trash).is_empty(), "it is kept for its clones");
        assert_eq!(judged(&script, with_snaps(&["s"])), ["existence of snapshot i@s"]);
    }

    #[test]
    fn a_snapshot_has_the_name_that_it_was_given_last() {
        let rename =
            |from: &str, to: &str| Operation::SnapRename { snap: from.to_owned(), to: to.to_owned() };
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", rename("s", "t"));
        assert!(judged(&script, with_snaps(&["t"])).is_empty());
        assert_eq!(judged(&script, with_snaps(&["s"])), ["name of snapshot i@s"]);
        script.call("i", rename("t", "u"), Outcome::Unknown);
        assert!(judged(&script, with_snaps(&["t"])).is_empty());
        assert!(judged(&script, with_snaps(&["u"])).is_empty());
        script.ok("i", snap_remove("u"));
        assert!(judged(&script, with_snaps(&[])).is_empty());
        assert_eq!(judged(&script, with_snaps(&["u"])), ["existence of snapshot i@s"]);
    }

    #[test]
    fn a_purge_leaves_no_snapshot_that_was_there_before() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        let purge = script.invoke("i", Operation::SnapPurge);
        script.ok("i", snap_create("t"));
        script.complete(purge, done());
        assert!(judged(&script, with_snaps(&[])).is_empty());
        assert!(judged(&script, with_snaps(&["t"])).is_empty());
        assert_eq!(judged(&script, with_snaps(&["s"])), ["existence of snapshot i@s"]);
        script.call("i", snap_create("u"), done());
        script.call("i", Operation::SnapPurge, refused(Errno::EBUSY));
        assert!(judged(&script, with_snaps(&["u"])).is_empty(), "some were protected");
    }

    #[test]
    fn a_snapshot_that_was_found_after_its_removal_is_found() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", snap_remove("s"));
        assert!(judged(&script, with_snaps(&[])).is_empty());
        script.ok("i", Operation::SnapProtect { snap: "s".into() });
        let found = judged(&script, with_snaps(&[]));
        assert_eq!(found, ["existence of snapshot i@s"]);
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
    fn an_image_that_is_missing_or_should_be_gone_is_found() {
        let judged = |script: &Script, images: &[&str]| {
            let images = images.iter().map(|name| ((*name).to_owned(), sized(BLOCK))).collect();
            let found = state_matches_the_calls(&script.history(), &FinalState { images });
            found.into_iter().map(|violation| violation.who).collect::<Vec<_>>()
        };
        let mut script = created();
        assert!(judged(&script, &["i"]).is_empty());
        assert_eq!(judged(&script, &[]), ["existence of image i"]);
        script.ok("i", Operation::Rename { to: "j".into() });
        assert!(judged(&script, &["j"]).is_empty());
        assert_eq!(judged(&script, &["i"]), ["name of image i"]);
        script.ok("j", Operation::Remove);
        assert!(judged(&script, &[]).is_empty());
        assert_eq!(judged(&script, &["j"]), ["existence of image i"]);
    }

    /// Its maker died, somebody wrote it, and then it was made once more: whatever was written is gone.
    #[test]
    fn an_image_that_is_made_twice_is_found() {
        let made_again = |is_used: bool| {
            let mut script = Script::new();
            script.call("i", Operation::Create { size: BLOCK }, Outcome::Unknown);
            if is_used {
                script.ok("i", crate::testing::write(1));
            }
            script.ok("i", Operation::Create { size: BLOCK });
            judged(&script, sized(BLOCK))
        };
        assert!(made_again(false).is_empty());
        assert_eq!(made_again(true), ["existence of image i"]);
    }

    #[test]
    fn a_protection_that_was_lost_is_found() {
        let with = |protected| {
            let snapshots = vec![FinalSnapshot { name: "s".into(), protected, ..FinalSnapshot::default() }];
            FinalImage { snapshots, ..sized(BLOCK) }
        };
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", Operation::SnapProtect { snap: "s".into() });
        assert!(judged(&script, with(true)).is_empty());
        assert_eq!(judged(&script, with(false)), ["protection of snapshot i@s"]);
        script.ok("i", Operation::SnapUnprotect { snap: "s".into() });
        assert!(judged(&script, with(false)).is_empty());
        script.call("i", Operation::SnapProtect { snap: "s".into() }, Outcome::Unknown);
        assert!(judged(&script, with(true)).is_empty());
    }

    /// Guards that a protection is written over what was read only: of two who protect a snapshot one is refused.
    #[test]
    fn two_who_protected_one_snapshot_are_found_after_it_is_gone() {
        let protect = || Operation::SnapProtect { snap: "s".into() };
        let judged_after = |second: Outcome| {
            let mut script = created();
            script.ok("i", snap_create("s"));
            let first = script.invoke("i", protect());
            script.call("i", protect(), second);
            script.complete(first, done());
            script.ok("i", Operation::SnapUnprotect { snap: "s".into() });
            script.ok("i", snap_remove("s"));
            judged(&script, sized(BLOCK))
        };
        assert!(judged_after(refused(Errno::EBUSY)).is_empty());
        assert_eq!(judged_after(done()), ["protection of snapshot i@s"]);
    }

    #[test]
    fn a_protected_snapshot_that_was_removed_is_found() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", Operation::SnapProtect { snap: "s".into() });
        script.ok("i", snap_remove("s"));
        assert_eq!(judged(&script, sized(BLOCK)), ["protection of snapshot i@s"]);
    }

    #[test]
    fn a_rollback_that_did_not_set_the_size_is_found() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", Operation::Resize { size: 2 * BLOCK });
        script.ok("i", Operation::SnapRollback { snap: "s".into() });
        let with_snap = |size| FinalImage { size, ..with_snaps(&["s"]) };
        assert!(judged(&script, with_snap(BLOCK)).is_empty());
        assert_eq!(judged(&script, with_snap(2 * BLOCK)), ["size of image i"]);
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
