//! How large an image can have been.

use std::collections::BTreeSet;

use crate::history::{Call, Effect, History, Operation};

/// A call that set the size.
struct Setting {
    size: u64,
    invoked: u64,
    effect: Effect,
}

impl Setting {
    fn end(&self) -> u64 {
        match self.effect {
            Effect::Happened(end) | Effect::Perhaps(end) => end,
        }
    }

    /// Everything before `other` was over when this began, and this surely happened.
    fn surely_follows(&self, other: &Self) -> bool {
        matches!(self.effect, Effect::Happened(_)) && self.invoked > other.end()
    }
}

/// Sizes, in bytes, that HEAD of an image can have had at some moment from `from` to `until`, two positions of the history. `None`: the
/// history does not tell how the image, or an image that it comes from, was made.
pub(crate) fn of_head(history: &History, image: &str, from: u64, until: u64) -> Option<BTreeSet<u64>> {
    head_sizes(history, image, from, until, &mut Vec::new())
}

/// Snapshots whose sizes are asked for already are in `asked`: one that can have been made at any time can have been made after a
/// rollback to itself.
fn head_sizes<'a>(
    history: &'a History,
    image: &str,
    from: u64,
    until: u64,
    asked: &mut Vec<(&'a str, &'a str)>,
) -> Option<BTreeSet<u64>> {
    let mut settings = Vec::new();
    let mut is_made = false;
    for call in history.calls.iter().filter(|call| call.image == image && call.invoked.position < until) {
        let setting = |size| Setting { size, invoked: call.invoked.position, effect: call.effect() };
        match &call.operation {
            Operation::Resize { size } => settings.push(setting(*size)),
            Operation::Create { size } => {
                settings.push(setting(*size));
                is_made = true;
            }
            Operation::Clone { parent, snap } => {
                settings.extend(snapshot_sizes(history, parent, snap, asked)?.into_iter().map(setting));
                is_made = true;
            }
            Operation::SnapRollback { snap } => {
                // To a snapshot that nobody made there is no rollback.
                let sizes = snapshot_sizes(history, &call.image, snap, asked).unwrap_or_default();
                settings.extend(sizes.into_iter().map(setting));
            }
            _ => {}
        }
    }
    // Somebody else set the size before `from`, and surely after it: it counts no more.
    let is_over =
        |setting: &Setting| settings.iter().any(|other| other.end() < from && other.surely_follows(setting));
    is_made.then(|| settings.iter().filter(|setting| !is_over(setting)).map(|setting| setting.size).collect())
}

/// Sizes that a snapshot can have: those of HEAD while it was made. `None`: the history does not tell.
pub(crate) fn of_snapshot(history: &History, image: &str, snap: &str) -> Option<BTreeSet<u64>> {
    snapshot_sizes(history, image, snap, &mut Vec::new())
}

fn snapshot_sizes<'a>(
    history: &'a History,
    image: &str,
    snap: &str,
    asked: &mut Vec<(&'a str, &'a str)>,
) -> Option<BTreeSet<u64>> {
    if asked.contains(&(image, snap)) {
        return Some(BTreeSet::new());
    }
    let is_making = |call: &&Call| {
        let makes = matches!(&call.operation, Operation::SnapCreate { snap: made } if made == snap);
        makes && call.image == image
    };
    let mut sizes = BTreeSet::new();
    let mut is_told = false;
    for making in history.calls.iter().filter(is_making) {
        let (Effect::Happened(end) | Effect::Perhaps(end)) = making.effect();
        if let Operation::SnapCreate { snap } = &making.operation {
            asked.push((&making.image, snap));
        }
        let met = head_sizes(history, image, making.invoked.position, end, asked);
        asked.pop();
        sizes.extend(met?);
        is_told = true;
    }
    is_told.then_some(sizes)
}

/// Sizes that whatever a call reads or writes can have had while it ran. `None`: the history does not tell.
pub(crate) fn met_by(history: &History, call: &Call) -> Option<BTreeSet<u64>> {
    match &call.operation {
        Operation::Read { snap: Some(snap), .. } => of_snapshot(history, &call.image, snap),
        _ => of_head(history, &call.image, call.invoked.position, call.end()),
    }
}

/// Sizes that an image can have had when it was made. `None`: the history does not tell.
pub(crate) fn at_first(history: &History, image: &str) -> Option<BTreeSet<u64>> {
    let makes = |call: &&Call| {
        call.image == image && matches!(call.operation, Operation::Create { .. } | Operation::Clone { .. })
    };
    match &history.calls.iter().find(makes)?.operation {
        Operation::Create { size } => Some(BTreeSet::from([*size])),
        Operation::Clone { parent, snap } => of_snapshot(history, parent, snap),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{NEVER, Outcome};
    use crate::testing::{BLOCK, Script, clone, done, snap_create};

    fn resize(blocks: u64) -> Operation {
        Operation::Resize { size: blocks * BLOCK }
    }

    fn created() -> Script {
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: 8 * BLOCK });
        script
    }

    /// At the end, in blocks.
    fn now(script: &Script, image: &str) -> Option<Vec<u64>> {
        let sizes = of_head(&script.history(), image, NEVER, NEVER);
        sizes.map(|sizes| sizes.into_iter().map(|size| size / BLOCK).collect())
    }

    #[test]
    fn a_size_that_was_set_again_counts_no_more() {
        let mut script = created();
        assert_eq!(now(&script, "i"), Some(vec![8]));
        script.ok("i", resize(4));
        script.ok("other", resize(2));
        assert_eq!(now(&script, "i"), Some(vec![4]));
    }

    #[test]
    fn a_size_counts_as_long_as_the_next_one_may_not_have_come() {
        let mut script = created();
        let first = script.invoke("i", resize(4));
        script.ok("i", resize(6));
        script.complete(first, done());
        script.call("i", resize(2), Outcome::Unknown);
        assert_eq!(now(&script, "i"), Some(vec![2, 4, 6]));
    }

    #[test]
    fn what_runs_beside_a_resize_can_meet_both_sizes() {
        let mut script = created();
        let resizing = script.invoke("i", resize(4));
        let during = script.invoke("i", Operation::Flush);
        script.complete(resizing, done());
        script.complete(during, done());
        let history = script.history();
        let call = history.calls.iter().find(|call| call.id == during).unwrap();
        assert_eq!(met_by(&history, call), Some(BTreeSet::from([4 * BLOCK, 8 * BLOCK])));
    }

    #[test]
    fn a_clone_begins_with_the_size_of_its_snapshot() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", resize(4));
        script.ok("c", clone("i", "s"));
        assert_eq!(now(&script, "c"), Some(vec![8]));
        assert_eq!(at_first(&script.history(), "c"), Some(BTreeSet::from([8 * BLOCK])));
    }

    #[test]
    fn a_rollback_sets_the_size_of_the_snapshot() {
        let mut script = created();
        script.ok("i", snap_create("s"));
        script.ok("i", resize(4));
        script.ok("i", Operation::SnapRollback { snap: "s".into() });
        assert_eq!(now(&script, "i"), Some(vec![8]));
        script.call("i", snap_create("t"), Outcome::Unknown);
        script.ok("i", resize(2));
        script.call("i", Operation::SnapRollback { snap: "t".into() }, Outcome::Unknown);
        assert_eq!(now(&script, "i"), Some(vec![2, 8]));
    }

    #[test]
    fn a_rollback_to_a_snapshot_that_nobody_made_changes_nothing() {
        let mut script = created();
        script.call("i", Operation::SnapRollback { snap: "s".into() }, Outcome::Unknown);
        assert_eq!(now(&script, "i"), Some(vec![8]));
    }

    #[test]
    fn what_the_history_does_not_tell_is_not_guessed() {
        let mut script = Script::new();
        script.ok("i", resize(4));
        assert_eq!(now(&script, "i"), None);
        script.ok("c", clone("i", "s"));
        assert_eq!(now(&script, "c"), None);
    }
}
