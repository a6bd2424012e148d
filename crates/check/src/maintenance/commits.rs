use std::collections::BTreeMap;

use crate::events::EventLog;
use crate::history::{Call, Effect, History, NEVER, Operation};
use crate::image::ImageObjects;
use crate::violation::{At, Rule, Violation};

/// Whether several calls can be answered by one commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// No: each has its own.
    Own,
    /// Yes: who finds it done while it is under way has succeeded too.
    Shared,
}

/// The op that commits each kind of operation.
const COMMITS: &[(&str, Sharing)] = &[
    ("rbd.snapshot_add", Sharing::Own),
    ("rbd.snapshot_remove", Sharing::Own),
    ("rbd.set_size", Sharing::Own),
    ("rbd.parent_detach", Sharing::Shared),
];

fn commit_op(operation: &Operation) -> Option<&'static str> {
    match operation {
        Operation::SnapCreate { .. } => Some("rbd.snapshot_add"),
        Operation::SnapRemove { .. } => Some("rbd.snapshot_remove"),
        Operation::Resize { .. } => Some("rbd.set_size"),
        Operation::Flatten => Some("rbd.parent_detach"),
        _ => None,
    }
}

/// A call, and the events between which its commit lies.
struct Window<'a> {
    call: &'a Call,
    after: u64,
    until: u64,
}

/// Every snapshot create and remove, resize and flatten that returned success has a commit in the event log while it ran, each
/// its own (concurrent flattens may share one); and every commit belongs to a call that may have made it, each to another one.
///
/// The records' `osd_sequence` says when a call ran; without it only the numbers of calls and commits are compared. `images`
/// names the images that are judged. The log must begin before the history.
pub fn maintenance_happened_once(
    history: &History,
    log: &EventLog,
    images: &BTreeMap<String, ImageObjects>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (image, objects) in images {
        for (op, sharing) in COMMITS {
            let commits = log.events().iter().filter(|event| objects.is_commit(event, op));
            let commits: Vec<u64> = commits.map(|event| event.sequence).collect();
            let calls = history.calls.iter().filter(|call| call.image == *image);
            let windows: Vec<_> =
                calls.filter(|call| commit_op(&call.operation) == Some(op)).map(window).collect();
            found.extend(without_commit(image, op, *sharing, &windows, &commits));
            found.extend(without_call(image, op, &windows, &commits));
        }
    }
    found
}

fn window(call: &Call) -> Window<'_> {
    let ended = call.completed.as_ref().and_then(|(at, _)| at.osd_sequence).unwrap_or(NEVER);
    let until = match call.effect() {
        Effect::Perhaps(NEVER) => NEVER,
        Effect::Happened(_) | Effect::Perhaps(_) => ended,
    };
    Window { call, after: call.invoked.osd_sequence.unwrap_or(0), until }
}

/// Successful calls for which no commit is left.
fn without_commit(
    image: &str,
    op: &str,
    sharing: Sharing,
    windows: &[Window<'_>],
    commits: &[u64],
) -> Vec<Violation> {
    let successes: Vec<_> = windows.iter().filter(|window| window.call.is_ok()).collect();
    let lacking: Vec<_> = match sharing {
        Sharing::Own => {
            let given = assign(commits, &successes);
            (0..successes.len()).filter(|index| !given.values().any(|taken| taken == index)).collect()
        }
        Sharing::Shared => {
            let has_commit = |window: &Window<'_>| commits.iter().any(|commit| covers(window, *commit));
            (0..successes.len()).filter(|index| !has_commit(successes[*index])).collect()
        }
    };
    let report = |index: usize| {
        let call = successes[index].call;
        let what = format!("client {} was told of success, but no {op} was left for it", call.client);
        Violation::new(Rule::NotCommitted, format!("image {image}"), [At::Call(call.id)], what)
    };
    lacking.into_iter().map(report).collect()
}

/// Commits for which no call is left.
fn without_call(image: &str, op: &str, windows: &[Window<'_>], commits: &[u64]) -> Vec<Violation> {
    let given = assign(commits, &windows.iter().collect::<Vec<_>>());
    let stray = commits.iter().filter(|commit| !given.contains_key(commit));
    let report = |commit: &u64| {
        let what = format!("{op} was applied, but no call is left that can have asked for it");
        Violation::new(Rule::Unexplained, format!("image {image}"), [At::Event(*commit)], what)
    };
    stray.map(report).collect()
}

const fn covers(window: &Window<'_>, commit: u64) -> bool {
    window.after < commit && commit <= window.until
}

/// Gives each commit, in order, to the call that ends first of those that it can belong to: as many as possible get one.
fn assign(commits: &[u64], windows: &[&Window<'_>]) -> BTreeMap<u64, usize> {
    let mut free: Vec<usize> = (0..windows.len()).collect();
    free.sort_by_key(|index| windows[*index].until);
    let mut given = BTreeMap::new();
    for commit in commits {
        if let Some(place) = free.iter().position(|index| covers(windows[*index], *commit)) {
            given.insert(*commit, free.remove(place));
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use errno::Errno;

    use super::*;
    use crate::history::Outcome;
    use crate::testing::{BLOCK, Script, image, log, refused, snap_create, snap_remove};

    fn judged(script: &Script, ops: &[&str]) -> Vec<(Rule, Vec<At>)> {
        let lines: Vec<_> = ops.iter().map(|op| ("applied", 5, "rbd_header.1", *op)).collect();
        let images = BTreeMap::from([("i".to_owned(), image())]);
        let found = maintenance_happened_once(&script.history(), &log(&lines), &images);
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    /// Every kind of operation, with the op that commits it.
    fn kinds() -> [(Operation, &'static str); 4] {
        [
            (snap_create("s"), "lock.assert_locked, rbd.snapshot_add, rbd.get_header"),
            (snap_remove("s"), "lock.assert_locked, rbd.snapshot_remove, omap_set, rbd.get_header"),
            (Operation::Resize { size: BLOCK }, "rbd.set_size"),
            (Operation::Flatten, "rbd.parent_detach"),
        ]
    }

    #[test]
    fn one_commit_for_each_success_is_fine() {
        for (operation, commit) in kinds() {
            let mut script = Script::new();
            script.ok("i", operation);
            assert_eq!(judged(&script, &[commit]), []);
        }
    }

    #[test]
    fn success_without_a_commit_is_found() {
        for (operation, _) in kinds() {
            let mut script = Script::new();
            let call = script.ok("i", operation);
            assert_eq!(judged(&script, &[]), [(Rule::NotCommitted, vec![At::Call(call)])]);
        }
    }

    #[test]
    fn a_second_commit_is_found() {
        for (operation, commit) in kinds() {
            let mut script = Script::new();
            script.ok("i", operation);
            assert_eq!(judged(&script, &[commit, commit]), [(Rule::Unexplained, vec![At::Event(2)])]);
        }
    }

    #[test]
    fn a_failed_or_unknown_call_may_have_committed_or_not_but_once() {
        for outcome in [refused(Errno::EIO), Outcome::Unknown] {
            let mut script = Script::new();
            script.call("i", snap_create("s"), outcome);
            assert_eq!(judged(&script, &[]), []);
            assert_eq!(judged(&script, &["rbd.snapshot_add"]), []);
            let twice = judged(&script, &["rbd.snapshot_add", "rbd.snapshot_add"]);
            assert_eq!(twice, [(Rule::Unexplained, vec![At::Event(2)])]);
        }
    }

    #[test]
    fn a_commit_outside_of_its_call_does_not_count() {
        let mut script = Script::new();
        script.at_event(1);
        let call = script.invoke("i", snap_create("s"));
        script.at_event(2);
        script.complete(call, crate::testing::done());
        assert_eq!(judged(&script, &["write", "rbd.snapshot_add", "write"]), []);
        let both =
            |event| [(Rule::NotCommitted, vec![At::Call(call)]), (Rule::Unexplained, vec![At::Event(event)])];
        assert_eq!(judged(&script, &["rbd.snapshot_add", "write", "write"]), both(1));
        assert_eq!(judged(&script, &["write", "write", "rbd.snapshot_add"]), both(3));
    }

    #[test]
    fn a_timed_out_call_may_commit_later_and_a_refused_one_may_not() {
        for (errno, expected) in [(Errno::ETIMEDOUT, 0), (Errno::ERESTART, 0), (Errno::EROFS, 1)] {
            let mut script = Script::new();
            script.at_event(0);
            let call = script.invoke("i", snap_create("s"));
            script.complete(call, refused(errno));
            assert_eq!(judged(&script, &["rbd.snapshot_add"]).len(), expected, "{errno}");
        }
    }

    #[test]
    fn two_successes_do_not_share_a_commit_unless_they_are_flattens() {
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        script.ok("i", snap_create("t"));
        assert_eq!(judged(&script, &["rbd.snapshot_add"]).len(), 1);

        let mut script = Script::new();
        script.ok("i", Operation::Flatten);
        script.ok("i", Operation::Flatten);
        assert_eq!(judged(&script, &["rbd.parent_detach"]), []);
    }

    #[test]
    fn other_images_do_not_explain_a_commit() {
        let mut script = Script::new();
        script.ok("j", snap_create("s"));
        assert_eq!(judged(&script, &["rbd.snapshot_add"]), [(Rule::Unexplained, vec![At::Event(1)])]);
    }
}
