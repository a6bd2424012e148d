use std::collections::{BTreeMap, BTreeSet};

use errno::Errno;
use rbd_protocol::{Entry, Operation};

use crate::events::{Event, EventLog, Fact};
use crate::history::{self, Call, Effect, History, NEVER, Outcome};
use crate::image::ImageObjects;
use crate::sizes;
use crate::violation::{At, Rule, Violation};

const SNAPSHOT_ADD: &str = "rbd.snapshot_add";
const SNAPSHOT_REMOVE: &str = "rbd.snapshot_remove";
const SNAPSHOT_TRASH_ADD: &str = "rbd.snapshot_trash_add";

/// A commit in the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Commit {
    sequence: u64,
    /// What it is about, as the calls name it; `None` when the log does not say, or there is nothing to say.
    argument: Option<String>,
}

/// A call, and the events between which its commit lies.
struct Window<'a> {
    call: &'a Call,
    after: u64,
    until: u64,
    /// What its commit is about.
    argument: Option<String>,
}

/// Every forwarded operation that returned success has a commit in the event log while it ran, with its argument and its own; but a
/// flatten has succeeded too when another one detached the parent, and a resize when another one set the same size, or the size was
/// that. Every commit belongs to a call that may have made it, each to another one; and no call is answered with an error when its
/// commit was made, but for those whose wait or whose instance had ended.
///
/// The records' `osd_sequence` says when a call ran; without it only the numbers of calls and commits are compared. `images`
/// names the images that are judged. The log must begin before the history.
pub fn maintenance_happened_once(
    history: &History,
    log: &EventLog,
    images: &BTreeMap<String, ImageObjects>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, objects) in images {
        let image = history.first_name(name);
        let names = snapshot_names(log, objects);
        for entry in Operation::TABLE {
            let mut commits: Vec<Commit> = commits_by(log, objects, entry.commit)
                .map(|event| commit(event, objects, entry, entry.commit, &names))
                .collect();
            if entry.commit == SNAPSHOT_REMOVE {
                to_the_trash_first(&mut commits, log, objects, entry, &names);
            }
            let judged = Judged { history, image, entry, commits };
            found.extend(judged.without_commit());
            found.extend(judged.without_call());
        }
    }
    found
}

fn commits_by<'a>(
    log: &'a EventLog,
    objects: &'a ImageObjects,
    op: &'a str,
) -> impl Iterator<Item = &'a Event> {
    log.events().iter().filter(move |event| objects.is_commit(event, op))
}

/// Ceph's librbd puts a snapshot into the trash before it removes it, and leaves it there as long as clones need it: from then on it is
/// removed for whoever asked, and its going from the trash, with the last of the clones, is nobody's commit.
fn to_the_trash_first(
    commits: &mut Vec<Commit>,
    log: &EventLog,
    objects: &ImageObjects,
    entry: &Entry,
    names: &BTreeMap<String, String>,
) {
    let trashed: Vec<(&str, Commit)> = commits_by(log, objects, SNAPSHOT_TRASH_ADD)
        .filter_map(|event| {
            Some((
                event.argument(SNAPSHOT_TRASH_ADD)?,
                commit(event, objects, entry, SNAPSHOT_TRASH_ADD, names),
            ))
        })
        .collect();
    let ids: BTreeSet<&str> = trashed.iter().map(|(id, _)| *id).collect();
    let from_the_trash: BTreeSet<u64> = commits_by(log, objects, SNAPSHOT_REMOVE)
        .filter(|event| event.argument(SNAPSHOT_REMOVE).is_some_and(|id| ids.contains(id)))
        .map(|event| event.sequence)
        .collect();
    commits.retain(|commit| !from_the_trash.contains(&commit.sequence));
    commits.extend(trashed.into_iter().map(|(_, commit)| commit));
    commits.sort_by_key(|commit| commit.sequence);
}

/// Names of an image's snapshots by id.
fn snapshot_names(log: &EventLog, objects: &ImageObjects) -> BTreeMap<String, String> {
    let named = |(place, event): (usize, &Event)| {
        let (id, name) = event.argument(SNAPSHOT_ADD)?.split_once(' ')?;
        let given = log.events()[place..].iter().find_map(|later| match later.fact {
            Fact::SnapIdGiven(id) if later.gid == event.gid => Some(id.to_string()),
            _ => None,
        });
        // Id 0 asks for the pool's next, which the log tells right behind the vector.
        let id = if id == "0" { given? } else { id.to_owned() };
        Some((id, name.to_owned()))
    };
    let events = log.events().iter().enumerate();
    events.filter(|(_, event)| objects.is_commit(event, SNAPSHOT_ADD)).filter_map(named).collect()
}

/// `op`: the one of its ops that commits `entry`.
fn commit(
    event: &Event,
    objects: &ImageObjects,
    entry: &Entry,
    op: &str,
    names: &BTreeMap<String, String>,
) -> Commit {
    let told = event.argument(op);
    let second = |told: &str| told.split_once(' ').map(|(_, name)| name.to_owned());
    let argument = match entry.name {
        "snap_create" => told.and_then(second),
        "snap_remove" => told.and_then(|id| names.get(id).cloned()),
        "rename" => told.and_then(second).map(|name| objects.spec(&name)),
        _ => told.map(str::to_owned),
    };
    Commit { sequence: event.sequence, argument }
}

fn window(call: &Call, argument: Option<String>) -> Window<'_> {
    let ended = call.completed.as_ref().and_then(|(at, _)| at.osd_sequence).unwrap_or(NEVER);
    let until = match call.effect() {
        Effect::Perhaps(NEVER) => NEVER,
        Effect::Happened(_) | Effect::Perhaps(_) => ended,
    };
    Window { call, after: call.invoked.osd_sequence.unwrap_or(0), until, argument }
}

impl Window<'_> {
    fn covers(&self, commit: &Commit) -> bool {
        let is_about = match (&self.argument, &commit.argument) {
            (Some(asked), Some(made)) => asked == made,
            _ => true,
        };
        is_about && self.after < commit.sequence && commit.sequence <= self.until
    }

    /// An error that says what became of the operation, and not of the wait or of the client.
    fn is_refused(&self) -> bool {
        let ends_the_wait = |errno: &Errno| {
            use Errno as E;
            matches!(
                errno,
                E::ETIMEDOUT | E::ERESTART | E::EBLOCKLISTED | E::ENOTCONN | E::ESHUTDOWN | E::ECANCELED
            )
        };
        matches!(&self.call.completed, Some((_, Outcome::Error { errno })) if !ends_the_wait(errno))
    }
}

/// One kind of operation on one image.
struct Judged<'a> {
    history: &'a History,
    image: &'a str,
    entry: &'a Entry,
    commits: Vec<Commit>,
}

impl<'a> Judged<'a> {
    fn windows(&self, is_wanted: impl Fn(&Window<'a>) -> bool) -> Vec<Window<'a>> {
        let calls = self.history.calls.iter().filter(|call| call.image == self.image);
        let of_kind = calls.filter(|call| call.operation.entry().name == self.entry.name);
        of_kind.map(|call| window(call, call.operation.argument())).filter(is_wanted).collect()
    }

    /// Successful calls for which no commit is left.
    fn without_commit(&self) -> Vec<Violation> {
        let successes = self.windows(|window| window.call.is_ok());
        let given: BTreeSet<usize> = assign(&self.commits, &successes).into_values().collect();
        let is_lacking = |index: &usize| !given.contains(index) && !self.was_so_already(&successes[*index]);
        let report = |index: usize| {
            let call = successes[index].call;
            let what = format!(
                "client {} was told of success, but no {} was left for it",
                call.client, self.entry.commit
            );
            Violation::new(Rule::NotCommitted, format!("image {}", self.image), [At::Call(call.id)], what)
        };
        (0..successes.len()).filter(is_lacking).map(report).collect()
    }

    /// The end that it asked for belongs to nobody, and was reached while it ran, by whomever.
    fn was_so_already(&self, window: &Window<'_>) -> bool {
        match self.entry.name {
            "flatten" => self.commits.iter().any(|commit| window.covers(commit)),
            "resize" => {
                let before = self.commits.iter().rfind(|commit| commit.sequence <= window.after);
                let is_that =
                    |commit: &Commit| commit.argument.is_none() || commit.argument == window.argument;
                let was_first = || {
                    let sizes = sizes::at_first(self.history, self.image).unwrap_or_default();
                    sizes.iter().any(|size| Some(size.to_string()) == window.argument)
                };
                before.map_or_else(was_first, is_that)
                    || self.commits.iter().any(|commit| window.covers(commit))
            }
            _ => false,
        }
    }

    /// Commits for which no call is left, or only one that was refused. One that a purge or a rollback may have made needs no other call, and
    /// takes it from nobody.
    fn without_call(&self) -> Vec<Violation> {
        let (calls, refused) =
            (self.windows(|window| !window.is_refused()), self.windows(Window::is_refused));
        let needs_a_call = |commit: &&Commit| !self.is_of_a_purge(commit) && !self.is_of_a_rollback(commit);
        let needing: Vec<Commit> = self.commits.iter().filter(needs_a_call).cloned().collect();
        let given = assign(&needing, &calls);
        let left: Vec<Commit> =
            needing.into_iter().filter(|commit| !given.contains_key(&commit.sequence)).collect();
        let by_refused = assign(&left, &refused);
        let report = |commit: &Commit| {
            let (who, op, event) =
                (format!("image {}", self.image), self.entry.commit, At::Event(commit.sequence));
            match by_refused.get(&commit.sequence) {
                Some(index) => {
                    let call = refused[*index].call;
                    let what = format!("client {} was refused, but {op} was applied for it", call.client);
                    Violation::new(Rule::ErrorAfterCommit, who, [event, At::Call(call.id)], what)
                }
                None => {
                    let what = format!("{op} was applied, but no call is left that can have asked for it");
                    Violation::new(Rule::Unexplained, who, [event], what)
                }
            }
        };
        left.iter().map(report).collect()
    }

    /// A purge removes every snapshot, each by a request of its own.
    fn is_of_a_purge(&self, commit: &Commit) -> bool {
        let purges = |call: &Call| {
            let is_purge = matches!(call.operation, history::Operation::SnapPurge);
            is_purge && call.image == self.image && window(call, None).covers(commit)
        };
        self.entry.name == "snap_remove" && self.history.calls.iter().any(purges)
    }

    /// A rollback sets the size of its snapshot, as often as it begins anew.
    fn is_of_a_rollback(&self, commit: &Commit) -> bool {
        let sets_it = |call: &Call| {
            let history::Operation::SnapRollback { snap } = &call.operation else { return false };
            let sizes = sizes::of_snapshot(self.history, self.image, snap).unwrap_or_default();
            let is_that = |size: &u64| window(call, Some(size.to_string())).covers(commit);
            call.image == self.image && sizes.iter().any(is_that)
        };
        self.entry.name == "resize" && self.history.calls.iter().any(sets_it)
    }
}

/// Gives each commit, in order, to the call that ends first of those that it can belong to: as many as possible get one.
fn assign(commits: &[Commit], windows: &[Window<'_>]) -> BTreeMap<u64, usize> {
    let mut free: Vec<usize> = (0..windows.len()).collect();
    free.sort_by_key(|index| windows[*index].until);
    let mut given = BTreeMap::new();
    for commit in commits {
        if let Some(place) = free.iter().position(|index| windows[*index].covers(commit)) {
            given.insert(commit.sequence, free.remove(place));
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;
    use crate::testing::{BLOCK, Script, image, log, log_with_arguments, refused, snap_create, snap_remove};

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
    fn a_call_without_an_answer_may_have_committed_or_not_but_once() {
        for outcome in [refused(Errno::EBLOCKLISTED), Outcome::Unknown] {
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

    /// Guards that an error means what it says: whoever is refused asks again.
    #[test]
    fn an_error_after_the_commit_is_found() {
        let mut script = Script::new();
        let call = script.call("i", snap_create("s"), refused(Errno::EIO));
        assert_eq!(judged(&script, &[]), []);
        let found = judged(&script, &["rbd.snapshot_add"]);
        assert_eq!(found, [(Rule::ErrorAfterCommit, vec![At::Event(1), At::Call(call)])]);
        script.call("i", snap_create("t"), Outcome::Unknown);
        assert_eq!(judged(&script, &["rbd.snapshot_add"]), [], "it may be the other's");
    }

    fn judged_with_arguments(script: &Script, commits: &[(&str, &str)]) -> Vec<(Rule, Vec<At>)> {
        let images = BTreeMap::from([("i".to_owned(), image())]);
        let found = maintenance_happened_once(&script.history(), &log_with_arguments(commits), &images);
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    #[test]
    fn a_snapshot_whose_id_came_with_it_is_known_by_its_name() {
        let made = [("rbd.snapshot_add", "0 s"), ("snap_id", "snap id 7")];
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        script.call("i", snap_remove("t"), refused(Errno::ENOENT));
        script.ok("i", snap_remove("s"));
        let removed = [&made[..], &[("rbd.snapshot_remove", "7")]].concat();
        assert_eq!(judged_with_arguments(&script, &removed), []);
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        let other = script.ok("i", snap_remove("t"));
        let found = judged_with_arguments(&script, &removed);
        assert_eq!(
            found,
            [(Rule::NotCommitted, vec![At::Call(other)]), (Rule::Unexplained, vec![At::Event(3)])]
        );
    }

    /// The rollback comes before the commit of the resize, and both set the size that the snapshot has.
    #[test]
    fn a_rollback_takes_no_resize_its_commit() {
        let mut script = Script::new();
        script.at_event(0);
        script.ok("i", Operation::Create { size: BLOCK });
        let taken = script.invoke("i", snap_create("s"));
        script.at_event(1);
        script.complete(taken, crate::testing::done());
        let rollback = script.invoke("i", Operation::SnapRollback { snap: "s".into() });
        let resize = script.invoke("i", Operation::Resize { size: BLOCK });
        script.at_event(2);
        script.complete(rollback, crate::testing::done());
        script.at_event(3);
        script.complete(resize, crate::testing::done());
        let size = BLOCK.to_string();
        let set_sizes =
            [("rbd.snapshot_add", "1 s"), ("rbd.set_size", size.as_str()), ("rbd.set_size", &size)];
        assert_eq!(judged_with_arguments(&script, &set_sizes), []);
        let more = [&set_sizes[..], &set_sizes[2..]].concat();
        assert_eq!(judged_with_arguments(&script, &more), [(Rule::Unexplained, vec![At::Event(4)])]);
    }

    #[test]
    fn a_snapshot_is_removed_when_librbd_has_put_it_into_the_trash() {
        let trashed = [("rbd.snapshot_add", "7 s"), ("rbd.snapshot_trash_add", "7")];
        let gone = [&trashed[..], &[("rbd.snapshot_remove", "7")]].concat();
        let twice = [&trashed[..], &[("rbd.snapshot_trash_add", "7")]].concat();
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        script.ok("i", snap_remove("s"));
        assert_eq!(judged_with_arguments(&script, &trashed), []);
        assert_eq!(judged_with_arguments(&script, &gone), []);
        assert_eq!(judged_with_arguments(&script, &twice), [(Rule::Unexplained, vec![At::Event(3)])]);
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        assert_eq!(judged_with_arguments(&script, &gone), [(Rule::Unexplained, vec![At::Event(2)])]);
    }

    #[test]
    fn what_a_purge_removes_is_no_commit_of_a_removal_that_was_refused_meanwhile() {
        let log = [("rbd.snapshot_add", "1 s"), ("rbd.snapshot_remove", "1")];
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        let purge = script.invoke("i", Operation::SnapPurge);
        let late = script.call("i", snap_remove("s"), refused(Errno::ENOENT));
        script.complete(purge, crate::testing::done());
        assert_eq!(judged_with_arguments(&script, &log), []);
        let mut script = Script::new();
        script.ok("i", snap_create("s"));
        script.call("i", snap_remove("s"), refused(Errno::ENOENT));
        let found = judged_with_arguments(&script, &log);
        assert_eq!(found, [(Rule::ErrorAfterCommit, vec![At::Event(2), At::Call(late - 1)])]);
    }

    #[test]
    fn a_commit_belongs_to_a_call_that_asked_for_it() {
        let mut script = Script::new();
        let s = script.ok("i", snap_create("s"));
        script.call("i", snap_create("t"), Outcome::Unknown);
        assert_eq!(judged_with_arguments(&script, &[("rbd.snapshot_add", "1 s")]), []);
        let other = judged_with_arguments(&script, &[("rbd.snapshot_add", "1 t")]);
        assert_eq!(other, [(Rule::NotCommitted, vec![At::Call(s)])]);
        let removed = script.ok("i", snap_remove("s"));
        let (s_and_t, gone) =
            ([("rbd.snapshot_add", "1 s"), ("rbd.snapshot_add", "2 t")], "rbd.snapshot_remove");
        assert_eq!(judged_with_arguments(&script, &[s_and_t[0], s_and_t[1], (gone, "1")]), []);
        let wrong = judged_with_arguments(&script, &[s_and_t[0], s_and_t[1], (gone, "2")]);
        assert_eq!(
            wrong,
            [(Rule::NotCommitted, vec![At::Call(removed)]), (Rule::Unexplained, vec![At::Event(3)])]
        );
    }

    /// Its commit is made in the directory, which has every image of the pool.
    #[test]
    fn a_renaming_has_a_commit_of_its_own_in_the_directory() {
        let renamings = |arguments: &[&str]| {
            let event = |(sequence, argument): (u64, &&str)| proto::osd::v1::Event {
                sequence,
                kind: "applied".to_owned(),
                pool: "rbd".to_owned(),
                object: "rbd_directory".to_owned(),
                detail: "rbd.dir_rename_image, omap_set".to_owned(),
                arguments: vec![(*argument).to_owned(), String::new()],
                ..Default::default()
            };
            EventLog::from_wire((1..).zip(arguments).map(event)).unwrap()
        };
        let mut script = Script::new();
        let call = script.ok("rbd/i", Operation::Rename { to: "rbd/j".into() });
        let images = BTreeMap::from([("rbd/j".to_owned(), image())]);
        let judged = |arguments: &[&str]| {
            let found = maintenance_happened_once(&script.history(), &renamings(arguments), &images);
            found.into_iter().map(|violation| (violation.rule, violation.at)).collect::<Vec<_>>()
        };
        assert_eq!(judged(&["1 j"]), []);
        let lacking = || (Rule::NotCommitted, vec![At::Call(call)]);
        assert_eq!(judged(&["2 j"]), [lacking()], "of another image");
        assert_eq!(judged(&["1 k"]), [lacking(), (Rule::Unexplained, vec![At::Event(1)])]);
        assert_eq!(judged(&["1 j", "1 j"]), [(Rule::Unexplained, vec![At::Event(2)])]);
    }

    #[test]
    fn a_size_that_was_reached_already_needs_no_commit() {
        let resize = |size| Operation::Resize { size };
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: BLOCK });
        script.ok("i", resize(BLOCK));
        assert_eq!(judged_with_arguments(&script, &[]), []);
        let other = script.ok("i", resize(2 * BLOCK));
        assert_eq!(judged_with_arguments(&script, &[]), [(Rule::NotCommitted, vec![At::Call(other)])]);
        script.ok("i", resize(2 * BLOCK));
        assert_eq!(judged_with_arguments(&script, &[("rbd.set_size", "1024")]), []);
    }

    #[test]
    fn a_rollback_explains_the_size_of_its_snapshot() {
        let mut script = Script::new();
        script.ok("i", Operation::Create { size: BLOCK });
        script.ok("i", snap_create("s"));
        script.call("i", Operation::SnapRollback { snap: "s".into() }, Outcome::Unknown);
        let commits = [("rbd.snapshot_add", "1 s"), ("rbd.set_size", "512"), ("rbd.set_size", "512")];
        assert_eq!(judged_with_arguments(&script, &commits), []);
        let other = [commits[0], ("rbd.set_size", "1024")];
        assert_eq!(judged_with_arguments(&script, &other), [(Rule::Unexplained, vec![At::Event(2)])]);
    }

    #[test]
    fn a_purge_explains_the_removal_of_every_snapshot_while_it_runs() {
        let mut script = Script::new();
        script.at_event(1);
        let purge = script.invoke("i", Operation::SnapPurge);
        script.at_event(3);
        script.complete(purge, crate::testing::done());
        assert_eq!(judged(&script, &["write", "rbd.snapshot_remove", "rbd.snapshot_remove"]), []);
        let early = judged(&script, &["rbd.snapshot_remove", "write", "write"]);
        assert_eq!(early, [(Rule::Unexplained, vec![At::Event(1)])]);
        let other = judged(&script, &["write", "rbd.snapshot_add", "write"]);
        assert_eq!(other, [(Rule::Unexplained, vec![At::Event(2)])]);
    }

    #[test]
    fn other_images_do_not_explain_a_commit() {
        let mut script = Script::new();
        script.ok("j", snap_create("s"));
        assert_eq!(judged(&script, &["rbd.snapshot_add"]), [(Rule::Unexplained, vec![At::Event(1)])]);
    }
}
