//! What outcomes mean to the loop that runs a maintenance operation (facts 4.6, 5.4): some end the call, the others stay
//! inside.

use errno::Errno;

use crate::ids::Millis;
use crate::outcome::{OpOutcome, OpResult, RpcOutcome};
use crate::retry::Backoff;

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The operation is done: mark the own image stale, return success.
    Done,
    /// Start over (refresh, try the lock, else forward) after this delay; ERESTART inside.
    RestartAfter(Millis),
    /// The owner cannot run it: start over, but ask the owner for the lock and run it here.
    AskForLock,
    /// Return this.
    GiveUp(Errno),
}

/// After an attempt to forward. `backoff` paces the rounds of one call; a round without progress has waited long enough
/// and starts it over.
pub fn decide(outcome: &OpOutcome, backoff: &mut Backoff) -> Decision {
    match outcome {
        OpOutcome::Done => Decision::Done,
        OpOutcome::Failed(Errno::ERESTART) | OpOutcome::Interrupted => restart(backoff),
        OpOutcome::Failed(errno) | OpOutcome::Dead(errno) => Decision::GiveUp(*errno),
        OpOutcome::OwnerChanged | OpOutcome::WatchRenewed => restart(backoff),
        OpOutcome::NoProgress => {
            backoff.reset();
            restart(backoff)
        }
        OpOutcome::Closed => Decision::GiveUp(Errno::ESHUTDOWN),
        OpOutcome::NotPlaced(outcome) => decide_not_placed(outcome, backoff),
    }
}

fn decide_not_placed(outcome: &RpcOutcome, backoff: &mut Backoff) -> Decision {
    match outcome {
        RpcOutcome::Accepted { .. } | RpcOutcome::NoOwner => restart(backoff),
        RpcOutcome::TwoOwners { .. } => Decision::GiveUp(Errno::EIO),
        RpcOutcome::Undecodable => Decision::GiveUp(Errno::EBADMSG),
        RpcOutcome::NotSupported => Decision::AskForLock,
        // ERESTART: the owner is me by now, or it is leaving. EAGAIN: its table of requests is full.
        RpcOutcome::Refused(Errno::ERESTART | Errno::EAGAIN) => restart(backoff),
        RpcOutcome::Refused(errno) => Decision::GiveUp(*errno),
        // The watch is being registered anew, or the notify got no answer at all.
        RpcOutcome::NotifyFailed(Errno::ENOTCONN | Errno::ETIMEDOUT) => restart(backoff),
        RpcOutcome::NotifyFailed(errno) => Decision::GiveUp(*errno),
    }
}

/// After a local run: only ERESTART stays inside. ETIMEDOUT that the operation itself returned is an error like any other.
pub fn decide_local(result: OpResult, backoff: &mut Backoff) -> Decision {
    match result {
        Ok(()) => Decision::Done,
        Err(Errno::ERESTART) => restart(backoff),
        Err(errno) => Decision::GiveUp(errno),
    }
}

/// Where the operation runs, after the lock was tried or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, under the own lock.
    Local,
    /// At the owner.
    Remote,
    /// Nowhere: return this.
    Nowhere(Errno),
}

/// After [`lock::Event::TryAcquire`](crate::lock::Event::TryAcquire) or
/// [`Acquire`](crate::lock::Event::Acquire) ended with `result`. A fenced client, a closing image and a header that is gone
/// keep their error; that the lock cannot be had is EROFS (facts 5.4).
pub fn place(result: OpResult, is_owner: bool) -> Place {
    match result {
        Ok(()) if is_owner => Place::Local,
        Ok(()) => Place::Remote,
        Err(errno @ (Errno::EBLOCKLISTED | Errno::ESHUTDOWN | Errno::ENOENT)) => Place::Nowhere(errno),
        Err(_) => Place::Nowhere(Errno::EROFS),
    }
}

/// The end of an operation's own HeaderUpdate notify: a slow watcher and a header that is gone do not fail the operation
/// (facts 6.8), so an RPC timeout never becomes an operation's ETIMEDOUT.
pub fn header_update_result(result: OpResult) -> OpResult {
    match result {
        Err(Errno::ETIMEDOUT | Errno::ENOENT) => Ok(()),
        other => other,
    }
}

fn restart(backoff: &mut Backoff) -> Decision {
    Decision::RestartAfter(backoff.next_delay())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClientId;

    const OWNER: ClientId = ClientId { gid: 2, handle: 7 };

    fn backoff() -> Backoff {
        Backoff::new(Millis(100), Millis(1_000), 1)
    }

    fn decided(outcome: &OpOutcome) -> Decision {
        decide(outcome, &mut backoff())
    }

    /// Facts 4.6: what ends the call.
    #[test]
    fn results_and_refusals_end_the_call() {
        assert_eq!(decided(&OpOutcome::Done), Decision::Done);
        let refused = |errno| OpOutcome::NotPlaced(RpcOutcome::Refused(errno));
        for errno in [
            Errno::EIO,
            Errno::EINVAL,
            Errno::EROFS,
            Errno::EBUSY,
            Errno::ENOENT,
            Errno::EEXIST,
            Errno::EDQUOT,
        ] {
            assert_eq!(decided(&OpOutcome::Failed(errno)), Decision::GiveUp(errno));
            assert_eq!(decided(&refused(errno)), Decision::GiveUp(errno));
        }
        assert_eq!(decided(&OpOutcome::Dead(Errno::EBLOCKLISTED)), Decision::GiveUp(Errno::EBLOCKLISTED));
        assert_eq!(decided(&OpOutcome::Closed), Decision::GiveUp(Errno::ESHUTDOWN));
    }

    /// Facts 4.6: what stays inside, after the least delay.
    #[test]
    fn interruptions_start_over_after_a_delay() {
        let outcomes = [
            OpOutcome::Interrupted,
            OpOutcome::NoProgress,
            OpOutcome::OwnerChanged,
            OpOutcome::WatchRenewed,
            OpOutcome::NotPlaced(RpcOutcome::NoOwner),
            OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::ERESTART)),
            OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::EAGAIN)),
            OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(Errno::ENOTCONN)),
        ];
        for outcome in outcomes {
            assert_eq!(decided(&outcome), Decision::RestartAfter(Millis(100)), "{outcome:?}");
        }
    }

    /// 10.10 item 8: the operation's own ETIMEDOUT is not taken for "no owner" (tracker 59563).
    #[test]
    fn time_out_of_the_operation_ends_the_call() {
        assert_eq!(decided(&OpOutcome::Failed(Errno::ETIMEDOUT)), Decision::GiveUp(Errno::ETIMEDOUT));
        let refused = OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::ETIMEDOUT));
        assert_eq!(decided(&refused), Decision::GiveUp(Errno::ETIMEDOUT));
        assert_eq!(decide_local(Err(Errno::ETIMEDOUT), &mut backoff()), Decision::GiveUp(Errno::ETIMEDOUT));
    }

    /// Facts 6.8, tracker 59563: nor does the notify inside an operation become its result.
    #[test]
    fn slow_watcher_does_not_fail_an_operation() {
        assert_eq!(header_update_result(Err(Errno::ETIMEDOUT)), Ok(()));
        assert_eq!(header_update_result(Err(Errno::ENOENT)), Ok(()));
        assert_eq!(header_update_result(Err(Errno::EIO)), Err(Errno::EIO));
        assert_eq!(header_update_result(Ok(())), Ok(()));
    }

    /// 10.10 item 3.
    #[test]
    fn two_owners_are_eio() {
        let outcome = OpOutcome::NotPlaced(RpcOutcome::TwoOwners { a: OWNER, b: OWNER });
        assert_eq!(decided(&outcome), Decision::GiveUp(Errno::EIO));
    }

    #[test]
    fn answer_that_does_not_decode_is_ebadmsg() {
        assert_eq!(decided(&OpOutcome::NotPlaced(RpcOutcome::Undecodable)), Decision::GiveUp(Errno::EBADMSG));
    }

    /// Facts 5.4: an owner that does not know the operation is asked for the lock.
    #[test]
    fn owner_that_cannot_run_it_is_asked_for_the_lock() {
        assert_eq!(decided(&OpOutcome::NotPlaced(RpcOutcome::NotSupported)), Decision::AskForLock);
    }

    /// Facts 9.3 item 6: no busy loop; a round that waited for progress starts the pacing over.
    #[test]
    fn fruitless_rounds_are_paced() {
        let mut backoff = backoff();
        let no_owner = OpOutcome::NotPlaced(RpcOutcome::NoOwner);
        let mut delays = Vec::new();
        for _ in 0..8 {
            let Decision::RestartAfter(delay) = decide(&no_owner, &mut backoff) else { panic!("a restart") };
            delays.push(delay.0);
        }
        assert!(delays.iter().all(|delay| (100..=1_000).contains(delay)), "{delays:?}");
        assert!(delays[7] >= 500, "{delays:?}");
        assert_eq!(decide(&OpOutcome::NoProgress, &mut backoff), Decision::RestartAfter(Millis(100)));
    }

    /// Facts 5.4, `handle`: where the operation runs; EBUSY of a manual lock is EROFS outside.
    #[test]
    fn place_follows_the_lock() {
        assert_eq!(place(Ok(()), true), Place::Local);
        assert_eq!(place(Ok(()), false), Place::Remote);
        assert_eq!(place(Err(Errno::EBUSY), false), Place::Nowhere(Errno::EROFS));
        assert_eq!(place(Err(Errno::EROFS), false), Place::Nowhere(Errno::EROFS));
        for errno in [Errno::EBLOCKLISTED, Errno::ESHUTDOWN, Errno::ENOENT] {
            assert_eq!(place(Err(errno), false), Place::Nowhere(errno));
        }
    }

    /// Facts 5.4, LOCAL: interrupted runs stay inside.
    #[test]
    fn interrupted_local_run_starts_over() {
        assert_eq!(decide_local(Err(Errno::ERESTART), &mut backoff()), Decision::RestartAfter(Millis(100)));
        assert_eq!(decide_local(Ok(()), &mut backoff()), Decision::Done);
        assert_eq!(decide_local(Err(Errno::EINVAL), &mut backoff()), Decision::GiveUp(Errno::EINVAL));
    }
}
