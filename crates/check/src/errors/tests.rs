use super::*;
use crate::testing::{
    BLOCK, Script, clone, log, log_with_errors, read, refused, snap_create, snap_remove, write,
};

/// Client a, who makes every call of a script, is instance 7.
fn judged(script: &Script, log: &EventLog, disturbances: &[Disturbance]) -> Vec<(Rule, Vec<At>)> {
    judged_as(&BTreeSet::new(), script, log, disturbances)
}

fn judged_as(
    librbd: &BTreeSet<String>,
    script: &Script,
    log: &EventLog,
    disturbances: &[Disturbance],
) -> Vec<(Rule, Vec<At>)> {
    let instances = [("a".to_owned(), [7].into())].into();
    let clients = Clients { instances: &instances, disturbances, librbd };
    let found = errors_have_a_cause(&script.history(), log, clients);
    found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
}

fn quietly(script: &Script) -> Vec<(Rule, Vec<At>)> {
    judged(script, &log(&[]), &[])
}

/// The same if client a is a librbd.
fn quietly_as_librbd(script: &Script) -> Vec<(Rule, Vec<At>)> {
    judged_as(&["a".to_owned()].into(), script, &log(&[]), &[])
}

fn at(call: u64) -> Vec<(Rule, Vec<At>)> {
    vec![(Rule::ErrorWithoutCause, vec![At::Call(call)])]
}

fn protect(snap: &str) -> Operation {
    Operation::SnapProtect { snap: snap.to_owned() }
}

fn unprotect(snap: &str) -> Operation {
    Operation::SnapUnprotect { snap: snap.to_owned() }
}

fn created() -> Script {
    let mut script = Script::new();
    script.ok("i", Operation::Create { size: BLOCK });
    script
}

/// Nothing explains the error of a call on image "i"; after `cause` on it, it is explained.
fn needs(operation: &Operation, errno: Errno, cause: &Operation) {
    let mut script = created();
    let call = script.call("i", operation.clone(), refused(errno));
    script.ok("i", cause.clone());
    assert_eq!(quietly(&script), at(call), "{operation:?}");
    let mut script = created();
    script.ok("i", cause.clone());
    script.call("i", operation.clone(), refused(errno));
    assert_eq!(quietly(&script), [], "{operation:?}");
}

#[test]
fn an_error_that_the_table_does_not_have_is_found() {
    let operations = [write(1), read(None), Operation::Flatten, Operation::Flush, snap_create("s")];
    for operation in operations {
        let mut script = created();
        let call = script.call("i", operation.clone(), refused(Errno::EIO));
        assert_eq!(quietly(&script), at(call), "{operation:?}");
    }
}

#[test]
fn einval_needs_an_image_that_was_too_small_or_a_flatten() {
    needs(&write(1), Errno::EINVAL, &Operation::Resize { size: 0 });
    needs(&read(None), Errno::EINVAL, &Operation::Resize { size: 0 });
    let mut script = Script::new();
    script.ok("p", snap_create("s"));
    script.ok("i", clone("p", "s"));
    let call = script.invoke("i", Operation::Flatten);
    script.ok("i", Operation::Flatten);
    script.complete(call, refused(Errno::EINVAL));
    assert_eq!(quietly(&script), [], "the other may have ended before it looked");
    script.call("i", Operation::Flatten, refused(Errno::EINVAL));
    assert_eq!(quietly(&script), [], "there was none when it began");
    let mut script = Script::new();
    script.ok("p", snap_create("s"));
    script.ok("i", clone("p", "s"));
    let call = script.call("i", Operation::Flatten, refused(Errno::EINVAL));
    script.ok("i", Operation::Flatten);
    assert_eq!(quietly(&script), at(call), "there was a parent as long as it ran");
    let mut script = created();
    script.ok("i", Operation::Resize { size: 0 });
    script.ok("i", Operation::Resize { size: BLOCK });
    let call = script.call("i", write(1), refused(Errno::EINVAL));
    assert_eq!(quietly(&script), at(call), "it has grown again");
}

#[test]
fn enoent_needs_a_snapshot_that_was_removed() {
    needs(&read(Some("s")), Errno::ENOENT, &snap_remove("s"));
    needs(&protect("s"), Errno::ENOENT, &Operation::SnapPurge);
    let renamed = Operation::SnapRename { snap: "s".into(), to: "t".into() };
    needs(&snap_remove("s"), Errno::ENOENT, &renamed);
    needs(&protect("s"), Errno::ENOENT, &snap_remove("s"));
    let mut script = Script::new();
    script.ok("parent", snap_remove("s"));
    script.call("one", clone("parent", "s"), refused(Errno::ENOENT));
    let call = script.call("other", clone("parent", "t"), refused(Errno::ENOENT));
    assert_eq!(quietly(&script), at(call));
}

#[test]
fn ebusy_needs_a_protected_snapshot() {
    needs(&snap_remove("s"), Errno::EBUSY, &protect("s"));
    needs(&protect("s"), Errno::EBUSY, &protect("s"));
    let mut script = created();
    let alone = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
    script.ok("j", clone("i", "s"));
    let cloned = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
    assert_eq!(quietly(&script), [at(alone), at(cloned)].concat(), "clones do not hinder it");
    let mut script = created();
    script.ok("i", protect("s"));
    script.call("i", Operation::SnapPurge, refused(Errno::EBUSY));
    script.ok("i", unprotect("s"));
    let late = script.call("i", snap_remove("s"), refused(Errno::EBUSY));
    let purge = script.call("i", Operation::SnapPurge, refused(Errno::EBUSY));
    assert_eq!(quietly(&script), [at(late), at(purge)].concat(), "it was taken back");
}

/// Guards that a protection changes under nobody's hands unseen.
#[test]
fn an_unprotect_is_refused_only_beside_another_change_or_when_there_is_no_protection() {
    let mut script = created();
    script.ok("i", protect("s"));
    let surely = script.call("i", unprotect("s"), refused(Errno::EINVAL));
    script.call("i", unprotect("t"), refused(Errno::EINVAL));
    let busy = script.call("i", unprotect("s"), refused(Errno::EBUSY));
    assert_eq!(quietly(&script), [at(surely), at(busy)].concat(), "t was never protected");
    let mut script = created();
    script.ok("i", protect("s"));
    let other = script.invoke("i", unprotect("s"));
    script.call("i", unprotect("s"), refused(Errno::EBUSY));
    script.complete(other, crate::testing::done());
    script.call("i", unprotect("s"), refused(Errno::EINVAL));
    assert_eq!(quietly(&script), []);
}

#[test]
fn a_purge_misses_a_snapshot_only_beside_whoever_takes_it_away() {
    let mut script = created();
    script.ok("i", snap_remove("s"));
    let call = script.call("i", Operation::SnapPurge, refused(Errno::ENOENT));
    assert_eq!(quietly(&script), at(call), "it was gone before");
    let mut script = created();
    let removal = script.invoke("i", snap_remove("s"));
    script.call("i", Operation::SnapPurge, refused(Errno::ENOENT));
    script.complete(removal, crate::testing::done());
    assert_eq!(quietly(&script), []);
}

#[test]
fn an_image_is_there_already_only_when_another_made_it() {
    let mut script = created();
    script.call("i", Operation::Create { size: BLOCK }, refused(Errno::EEXIST));
    assert_eq!(quietly(&script), []);
    let mut script = Script::new();
    let calls = [(); 2].map(|()| script.call("j", clone("i", "s"), refused(Errno::EEXIST)));
    assert_eq!(quietly(&script), calls.map(at).concat(), "nobody else made it");
    let mut script = Script::new();
    let making = script.invoke("j", clone("i", "s"));
    script.call("j", clone("i", "s"), refused(Errno::EEXIST));
    script.complete(making, refused(Errno::ENOENT));
    assert_eq!(quietly(&script), at(making), "another had the name until it failed");
}

#[test]
fn an_image_cannot_be_removed_only_while_somebody_has_it_open_or_it_has_snapshots() {
    let mut script = created();
    let call = script.call("i", Operation::Remove, refused(Errno::EBUSY));
    let flattening = script.invoke("i", Operation::Flatten);
    script.call("i", Operation::Remove, refused(Errno::EBUSY));
    script.complete(flattening, crate::testing::done());
    assert_eq!(quietly(&script), at(call));
    let empty = script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
    assert_eq!(quietly(&script), [at(call), at(empty)].concat());
    script.ok("i", snap_create("s"));
    script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
    let busy = script.call("i", Operation::Remove, refused(Errno::EBUSY));
    script.ok("i", snap_remove("s"));
    let late = script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
    assert_eq!(quietly(&script), [call, empty, busy, late].map(at).concat(), "snapshots are not in use");
    script.ok("j", clone("i", "s"));
    script.call("i", Operation::Remove, refused(Errno::ENOTEMPTY));
    assert_eq!(quietly(&script), [call, empty, busy, late].map(at).concat(), "it is kept for its clone");
}

/// Whoever waits for the same as another call shares its error.
#[test]
fn an_error_that_was_made_on_purpose_explains_what_ran_meanwhile() {
    let injected = log_with_errors(&[("watch", ""), ("fault", "EIO")]);
    let mut script = created();
    script.at_event(1);
    let first = script.invoke("i", write(1));
    script.at_event(2);
    let waiter = script.invoke("i", Operation::Flatten);
    script.complete(first, refused(Errno::EIO));
    script.complete(waiter, refused(Errno::EIO));
    assert_eq!(judged(&script, &injected, &[]), []);
    let late = script.call("i", write(2), refused(Errno::EIO));
    let other = script.call("i", write(3), refused(Errno::ENOSPC));
    assert_eq!(judged(&script, &injected, &[]), [at(late), at(other)].concat());
}

#[test]
fn erofs_needs_a_lock_that_another_client_keeps() {
    let mut script = created();
    let call = script.call("i", write(1), refused(Errno::EROFS));
    assert_eq!(quietly(&script), at(call));

    let mut script = created();
    script.of("b");
    let taking = script.invoke("i", Operation::Acquire);
    script.of("a");
    script.call("i", write(1), refused(Errno::EROFS));
    script.of("b");
    script.complete(taking, crate::testing::done());
    script.of("a");
    script.call("i", Operation::Flatten, refused(Errno::EROFS));
    assert_eq!(quietly(&script), [], "it was kept, or about to be");
    script.of("b");
    script.ok("i", Operation::Release);
    script.of("a");
    let late = script.call("i", write(2), refused(Errno::EROFS));
    assert_eq!(quietly(&script), at(late), "it was given back");

    let mut script = created();
    script.ok("i", Operation::Acquire);
    let own = script.call("i", write(1), refused(Errno::EROFS));
    assert_eq!(quietly(&script), at(own), "one's own lock is no reason");

    let mut script = created();
    script.of("b");
    script.ok("i", Operation::Acquire);
    script.of("a");
    let call = script.call("i", read(None), refused(Errno::EROFS));
    assert_eq!(quietly(&script), at(call), "reads need no lock");
}

#[test]
fn a_wait_that_ended_had_a_deadline() {
    let mut script = created();
    script.deadline(5);
    let call = script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
    assert_eq!(quietly(&script), at(call), "it did not wait so long");
    let mut script = created();
    script.deadline(2);
    script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
    assert_eq!(quietly(&script), []);
    let mut script = created();
    let call = script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
    assert_eq!(quietly(&script), at(call));
}

#[test]
fn eblocklisted_needs_a_fence_of_the_client_and_enotconn_the_end_of_its_session() {
    for (errno, kind, detail) in [
        (Errno::EBLOCKLISTED, "blocklisted", ""),
        (Errno::ENOTCONN, "session_ended", ""),
        (Errno::ENOTCONN, "session_ended", "the client disconnected"),
    ] {
        let mut script = created();
        let call = script.call("i", write(1), refused(errno));
        assert_eq!(quietly(&script), at(call));
        assert_eq!(judged(&script, &log(&[(kind, 8, "", detail)]), &[]), at(call), "of another");
        assert_eq!(judged(&script, &log(&[(kind, 7, "", detail)]), &[]), []);
    }
}

#[test]
fn a_fence_explains_only_what_the_fenced_instance_was_answered() {
    let fenced = log(&[("watch", 7, "", ""), ("blocklisted", 7, "", "")]);
    let mut script = created();
    script.at_event(1);
    let early = script.call("i", write(1), refused(Errno::EBLOCKLISTED));
    script.at_event(2);
    script.call("i", write(2), refused(Errno::EBLOCKLISTED));
    assert_eq!(judged(&script, &fenced, &[]), at(early), "answered before the fence");
    script.ok("i", Operation::Reopen);
    let late = script.call("i", write(3), refused(Errno::EBLOCKLISTED));
    assert_eq!(judged(&script, &fenced, &[]), [at(early), at(late)].concat(), "opened anew since");
}

fn befell(client: &str, from_ms: u64, until_ms: u64, kills: bool) -> Disturbance {
    Disturbance { client: client.to_owned(), from_ms, until_ms, kills, costs_ms: 0 }
}

#[test]
fn eshutdown_needs_an_image_that_is_opened_anew() {
    let mut script = created();
    let call = script.call("i", write(1), refused(Errno::ESHUTDOWN));
    let reopening = script.invoke("i", Operation::Reopen);
    assert_eq!(quietly(&script), at(call));

    script.call("i", write(2), refused(Errno::ESHUTDOWN));
    script.complete(reopening, crate::testing::done());
    assert_eq!(quietly(&script), at(call), "while it is opened");
    let late = script.call("i", write(3), refused(Errno::ESHUTDOWN));
    assert_eq!(quietly(&script), [at(call), at(late)].concat());
}

#[test]
fn an_image_cannot_be_opened_anew_out_of_the_osds_reach() {
    for errno in [Errno::ETIMEDOUT, Errno::ENOTCONN] {
        let mut script = created();
        let call = script.call("i", Operation::Reopen, refused(errno));
        script.call("i", write(1), refused(Errno::ESHUTDOWN));
        assert_eq!(judged(&script, &log(&[]), &[befell("b", 0, 9, false)]), at(call));
        assert_eq!(judged(&script, &log(&[]), &[befell("a", 0, 9, false)]), []);
    }
}

#[test]
fn only_a_killed_client_leaves_calls_without_an_answer() {
    let mut script = created();
    let call = script.call("i", write(1), Outcome::Unknown);
    let with = |disturbance| judged(&script, &log(&[]), &[disturbance]);
    assert_eq!(quietly(&script), at(call));
    assert_eq!(with(befell("a", 0, 9, false)), at(call));
    assert_eq!(with(befell("b", 0, 9, true)), at(call));
    assert_eq!(with(befell("a", 0, 1, true)), at(call), "before the call");
    assert_eq!(with(befell("a", 3, 9, true)), []);
}

#[test]
fn a_librbd_whose_lock_another_wants_does_not_begin_a_rollback_anew() {
    let rollback = || Operation::SnapRollback { snap: "s".into() };
    let mut script = created();
    let (mut alone, mut interrupted) = (Vec::new(), Vec::new());
    for errno in [Errno::ERESTART, Errno::EROFS] {
        alone.extend(at(script.call("i", rollback(), refused(errno))));
        let call = script.invoke("i", rollback());
        script.of("b");
        script.ok("i", write(errno.number().unsigned_abs().into()));
        script.of("a");
        script.complete(call, refused(errno));
        interrupted.extend(at(call));
    }
    assert_eq!(quietly_as_librbd(&script), alone);
    assert_eq!(quietly(&script).len(), alone.len() + interrupted.len());
}

#[test]
fn a_purge_that_misses_one_snapshot_has_removed_others() {
    let mut script = created();
    script.ok("i", snap_create("s"));
    let removal = script.invoke("i", snap_remove("t"));
    script.call("i", Operation::SnapPurge, refused(Errno::ENOENT));
    script.complete(removal, crate::testing::done());
    script.call("i", snap_remove("s"), refused(Errno::ENOENT));
    assert_eq!(quietly(&script), []);
}

#[test]
fn a_snapshot_is_not_found_by_a_name_that_a_rename_did_not_give_it() {
    let rename = || Operation::SnapRename { snap: "s".to_owned(), to: "t".to_owned() };
    for name in ["s", "t"] {
        let mut script = created();
        let creation = script.invoke("i", snap_create("s"));
        script.call("i", rename(), refused(Errno::ENOENT));
        script.complete(creation, crate::testing::done());
        let removal = script.call("i", snap_remove(name), refused(Errno::ENOENT));
        let expected = if name == "s" { at(removal) } else { Vec::new() };
        assert_eq!(quietly(&script), expected, "{name}");
    }
}
