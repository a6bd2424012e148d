//! Every error has a cause (librbd's error table).

use errno::Errno;

use crate::events::{EventLog, Fact};
use crate::history::{Call, History, Operation, Outcome};
use crate::violation::{At, Rule, Violation};

/// Every error that a call was answered with is one that librbd's error table has for it, and what causes it had been asked for: a lock
/// that is kept before EROFS, a smaller size before EINVAL of a write, a fence before EBLOCKLISTED.
pub fn errors_have_a_cause(history: &History, log: &EventLog) -> Vec<Violation> {
    let is_anybody_fenced = log.events().iter().any(|event| matches!(event.fact, Fact::Blocklisted));
    let answered = history.calls.iter().filter_map(|call| match call.completed {
        Some((_, Outcome::Error { errno })) => Some((call, errno)),
        _ => None,
    });
    let unexplained = answered.filter(|&(call, errno)| match errno {
        Errno::EBLOCKLISTED => !is_anybody_fenced,
        errno => !is_explained(history, call, errno),
    });
    let violation = |(call, errno): (&Call, Errno)| {
        let what =
            format!("{:?} was answered with {}, and nothing explains it", call.operation, errno.name());
        Violation::new(Rule::ErrorWithoutCause, format!("client {}", call.client), [At::Call(call.id)], what)
    };
    unexplained.map(violation).collect()
}

fn is_explained(history: &History, call: &Call, errno: Errno) -> bool {
    let before = || {
        let calls = history.calls.iter().filter(|other| other.id != call.id);
        calls.take_while(|other| other.invoked.position < call.end())
    };
    let asked_of = |image: &str, is_cause: &dyn Fn(&Operation) -> bool| {
        before().any(|other| other.image == image && is_cause(&other.operation))
    };
    let asked = |is_cause: &dyn Fn(&Operation) -> bool| asked_of(&call.image, is_cause);
    match (errno, &call.operation) {
        // The client's session with the OSD had ended.
        (Errno::ENOTCONN, _) => true,
        // Somebody keeps the lock: it was taken by hand.
        (Errno::EROFS, operation) if operation.needs_the_lock() => {
            asked(&|other| matches!(other, Operation::Acquire))
        }
        // Only waits of maintenance operations have a bound, and can be cancelled.
        (Errno::ETIMEDOUT | Errno::ERESTART, operation) => operation.is_maintenance(),
        // Beyond the end of the image, which somebody made smaller.
        (Errno::EINVAL, operation) if operation.range().is_some() => {
            let end = operation.range().map_or(0, |(offset, length)| offset + length);
            asked(&|other| matches!(other, Operation::Resize { size } if *size < end))
        }
        // The parent has gone.
        (Errno::EINVAL, Operation::Flatten) => asked(&|other| matches!(other, Operation::Flatten)),
        (Errno::EBUSY, Operation::SnapRemove { snap }) => {
            asked(&|other| matches!(other, Operation::SnapProtect { snap: kept } if kept == snap))
        }
        (Errno::ENOENT, Operation::Clone { parent, snap }) => asked_of(parent, &removes(snap)),
        (Errno::ENOENT, operation) => operation.snapshot().is_some_and(|snap| asked(&removes(snap))),
        _ => false,
    }
}

fn removes(snap: &str) -> impl Fn(&Operation) -> bool {
    move |other| matches!(other, Operation::SnapRemove { snap: removed } if removed == snap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Script, clone, log, read, refused, snap_create, snap_remove, write};

    fn unfenced(script: &Script) -> Vec<(Rule, Vec<At>)> {
        let found = errors_have_a_cause(&script.history(), &log(&[]));
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    fn protect(snap: &str) -> Operation {
        Operation::SnapProtect { snap: snap.to_owned() }
    }

    /// Nothing explains the error of a call on image "i"; after `cause` on it, it is explained.
    fn needs(operation: &Operation, errno: Errno, cause: &Operation) {
        let mut script = Script::new();
        let call = script.call("i", operation.clone(), refused(errno));
        script.ok("i", cause.clone());
        assert_eq!(unfenced(&script), [(Rule::ErrorWithoutCause, vec![At::Call(call)])], "{operation:?}");
        let mut script = Script::new();
        script.ok("i", cause.clone());
        script.call("i", operation.clone(), refused(errno));
        assert_eq!(unfenced(&script), [], "{operation:?}");
    }

    #[test]
    fn an_error_that_the_table_does_not_have_is_found() {
        let operations = [write(1), read(None), Operation::Flatten, Operation::Flush, snap_create("s")];
        for operation in operations {
            let mut script = Script::new();
            let call = script.call("i", operation.clone(), refused(Errno::EIO));
            assert_eq!(unfenced(&script), [(Rule::ErrorWithoutCause, vec![At::Call(call)])], "{operation:?}");
        }
    }

    #[test]
    fn erofs_needs_a_lock_that_is_kept() {
        needs(&write(1), Errno::EROFS, &Operation::Acquire);
        needs(&Operation::Flatten, Errno::EROFS, &Operation::Acquire);
        let mut script = Script::new();
        script.ok("i", Operation::Acquire);
        let call = script.call("i", read(None), refused(Errno::EROFS));
        assert_eq!(
            unfenced(&script),
            [(Rule::ErrorWithoutCause, vec![At::Call(call)])],
            "reads need no lock"
        );
    }

    #[test]
    fn einval_needs_a_smaller_image_or_a_flatten() {
        needs(&write(1), Errno::EINVAL, &Operation::Resize { size: 0 });
        needs(&read(None), Errno::EINVAL, &Operation::Resize { size: 0 });
        needs(&Operation::Flatten, Errno::EINVAL, &Operation::Flatten);
    }

    #[test]
    fn enoent_needs_a_snapshot_that_was_removed() {
        needs(&read(Some("s")), Errno::ENOENT, &snap_remove("s"));
        needs(&protect("s"), Errno::ENOENT, &snap_remove("s"));
        let mut script = Script::new();
        script.ok("parent", snap_remove("s"));
        script.call("one", clone("parent", "s"), refused(Errno::ENOENT));
        let call = script.call("other", clone("parent", "t"), refused(Errno::ENOENT));
        assert_eq!(unfenced(&script), [(Rule::ErrorWithoutCause, vec![At::Call(call)])]);
    }

    #[test]
    fn ebusy_needs_a_protected_snapshot() {
        needs(&snap_remove("s"), Errno::EBUSY, &protect("s"));
    }

    #[test]
    fn only_maintenance_times_out() {
        let mut script = Script::new();
        script.call("i", Operation::Flatten, refused(Errno::ETIMEDOUT));
        let call = script.call("i", write(1), refused(Errno::ETIMEDOUT));
        assert_eq!(unfenced(&script), [(Rule::ErrorWithoutCause, vec![At::Call(call)])]);
    }

    #[test]
    fn eblocklisted_needs_a_fence() {
        let mut script = Script::new();
        let call = script.call("i", write(1), refused(Errno::EBLOCKLISTED));
        assert_eq!(unfenced(&script), [(Rule::ErrorWithoutCause, vec![At::Call(call)])]);
        let fenced = log(&[("blocklisted", 7, "", "")]);
        assert_eq!(errors_have_a_cause(&script.history(), &fenced), []);
    }

    #[test]
    fn the_cause_may_come_while_the_call_is_under_way() {
        let mut script = Script::new();
        let call = script.invoke("i", write(1));
        script.ok("i", Operation::Acquire);
        script.complete(call, refused(Errno::EROFS));
        assert_eq!(unfenced(&script), []);
    }
}
