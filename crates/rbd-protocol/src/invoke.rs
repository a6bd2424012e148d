//! What outcomes mean to the loop that runs a maintenance operation (facts 4.6, 5.4): some end the call, the others stay
//! inside.

use errno::Errno;
use marks::Mark;

use crate::ids::Millis;
use crate::operation::Operation;
use crate::outcome::{Failure, OpOutcome, OpResult, RpcOutcome};
use crate::retry::Backoff;

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The operation is done: mark the own image stale, return success.
    Done,
    /// Start over (refresh, try the lock, else forward) after this delay; ERESTART inside.
    RestartAfter(Millis),
    /// The owner cannot run it: start over, but ask the owner for the lock and run it here.
    AskForLock,
    /// Return the error at hand.
    GiveUp,
}

/// The rounds of one call: their pacing, and what only more than one of them can tell.
#[derive(Clone, Debug, Hash)]
pub struct Rounds {
    backoff: Backoff,
    /// The last answer came from two owners.
    two_owners: bool,
}

impl Rounds {
    /// Before the first round.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, two_owners: false }
    }

    /// After an attempt to forward. A round without progress has waited long enough and starts the pacing over.
    pub fn decide(&mut self, outcome: &OpOutcome) -> Decision {
        let two_owners = matches!(outcome, OpOutcome::NotPlaced(RpcOutcome::TwoOwners { .. }));
        let again = std::mem::replace(&mut self.two_owners, two_owners);
        match outcome {
            OpOutcome::Done => {
                marks::hit(Mark::InvokeRemoteDone);
                Decision::Done
            }
            OpOutcome::Failed(Failure { errno: Errno::ERESTART, .. }) | OpOutcome::Interrupted => {
                marks::hit(Mark::InvokeRemoteStopped);
                self.restart()
            }
            OpOutcome::Failed(_) => {
                marks::hit(Mark::InvokeRemoteFailed);
                Decision::GiveUp
            }
            OpOutcome::Dead(_) | OpOutcome::Closed => {
                marks::hit(Mark::InvokeRemoteOver);
                Decision::GiveUp
            }
            OpOutcome::OwnerChanged => {
                marks::hit(Mark::InvokeOwnerChanged);
                self.restart()
            }
            OpOutcome::WatchRenewed => {
                marks::hit(Mark::InvokeWatchRenewed);
                self.restart()
            }
            OpOutcome::NoProgress => {
                marks::hit(Mark::InvokeNoProgress);
                self.backoff.reset();
                self.restart()
            }
            // A hand-over while the notify is out can look so once: the old owner accepts and lets go, the new one gets the
            // same notify later and accepts too.
            OpOutcome::NotPlaced(RpcOutcome::TwoOwners { .. }) if !again => {
                marks::hit(Mark::InvokeTwoOwners);
                self.restart()
            }
            OpOutcome::NotPlaced(outcome) => self.decide_not_placed(outcome),
        }
    }

    fn decide_not_placed(&mut self, outcome: &RpcOutcome) -> Decision {
        match outcome {
            RpcOutcome::Accepted { .. } | RpcOutcome::NoOwner => {
                marks::hit(Mark::InvokeNoOwner);
                self.restart()
            }
            RpcOutcome::NotSupported => {
                marks::hit(Mark::InvokeNotSupported);
                Decision::AskForLock
            }
            // ERESTART: the owner is me by now, or it is leaving. EAGAIN: its table of requests is full.
            RpcOutcome::Refused(Failure { errno: Errno::ERESTART | Errno::EAGAIN, .. }) => {
                marks::hit(Mark::InvokeNoRoom);
                self.restart()
            }
            // The watch is being registered anew, the notify got no answer at all, or there was no room for it.
            RpcOutcome::NotifyFailed(Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::EAGAIN) => {
                marks::hit(Mark::InvokeNotifyFailed);
                self.restart()
            }
            RpcOutcome::TwoOwners { .. } => {
                marks::hit(Mark::InvokeTwoOwnersAgain);
                Decision::GiveUp
            }
            RpcOutcome::Undecodable => {
                marks::hit(Mark::InvokeUndecodable);
                Decision::GiveUp
            }
            RpcOutcome::Refused(_) => {
                marks::hit(Mark::InvokeRefused);
                Decision::GiveUp
            }
            RpcOutcome::NotifyFailed(_) => {
                marks::hit(Mark::InvokeNotifyFailedForGood);
                Decision::GiveUp
            }
        }
    }

    /// After a local run: only ERESTART stays inside. ETIMEDOUT that the operation itself returned is an error like any
    /// other.
    pub fn decide_local(&mut self, result: OpResult) -> Decision {
        self.two_owners = false;
        match result {
            Ok(()) => Decision::Done,
            Err(Errno::ERESTART) => {
                marks::hit(Mark::InvokeLocalStopped);
                self.restart()
            }
            Err(_) => {
                marks::hit(Mark::InvokeLocalFailed);
                Decision::GiveUp
            }
        }
    }

    fn restart(&mut self) -> Decision {
        Decision::RestartAfter(self.backoff.next_delay())
    }
}

/// An image, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// HEAD has a parent.
    pub has_parent: bool,
    /// Bytes of HEAD.
    pub size: u64,
}

/// Whether a call that failed has what it wanted, because somebody else was faster. Only a state of the image, which belongs to nobody, can be
/// reached by others: that it has no parent, that it has this size. What is created or removed is somebody's: EEXIST and ENOENT
/// stay errors, unless the record of the call's own request says otherwise. (Facts 5.4: Ceph 16.2 takes such errors for success in the loop of the
/// request whatever the image looks like, 18.2 none.)
pub const fn is_reached(operation: &Operation, image: Seen) -> bool {
    match operation {
        Operation::Flatten => !image.has_parent,
        Operation::Resize { size, .. } => image.size == *size,
        _ => false,
    }
}

/// Whether an error says no more than that the operation may be done already, by an owner that was asked before and keeps no record of it. Only
/// such an owner leaves that open. (Facts 5.4: Ceph 16.2 takes these for success always.)
pub const fn may_be_done(operation: &Operation, errno: Errno) -> bool {
    matches!(
        (operation, errno),
        (Operation::SnapCreate { .. } | Operation::Rename { .. }, Errno::EEXIST)
            | (Operation::SnapRemove { .. }, Errno::ENOENT)
    )
}

/// Where the operation runs, after the lock was tried or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Here, under the own lock.
    Local,
    /// At the owner.
    Remote,
    /// Nowhere: return this.
    Nowhere(Errno),
}

/// After [`lock::Event::TryAcquire`](crate::lock::Event::TryAcquire) or
/// [`Acquire`](crate::lock::Event::Acquire) ended with `result`. A fenced client, one whose session is over, a closing image and a
/// header that is gone keep their error; that the lock cannot be had is EROFS (facts 5.4).
pub fn place(result: OpResult, is_owner: bool) -> Place {
    let (mark, place) = match result {
        Ok(()) if is_owner => (Mark::InvokeLocal, Place::Local),
        Ok(()) => (Mark::InvokeRemote, Place::Remote),
        Err(errno @ (Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ENOENT)) => {
            (Mark::InvokeEnded, Place::Nowhere(errno))
        }
        Err(_) => (Mark::InvokeNoLock, Place::Nowhere(Errno::EROFS)),
    };
    marks::hit(mark);
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClientId;

    const OWNER: ClientId = ClientId { gid: 2, handle: 7 };

    fn rounds() -> Rounds {
        Rounds::new(Backoff::new(Millis(100), Millis(1_000), 1))
    }

    fn decided(outcome: &OpOutcome) -> Decision {
        rounds().decide(outcome)
    }

    /// Facts 4.6: what ends the call.
    #[test]
    fn results_and_refusals_end_the_call() {
        assert_eq!(decided(&OpOutcome::Done), Decision::Done);
        let refused = |errno| OpOutcome::NotPlaced(RpcOutcome::Refused(Failure::from(errno)));
        for errno in [
            Errno::EIO,
            Errno::EINVAL,
            Errno::EROFS,
            Errno::EBUSY,
            Errno::ENOENT,
            Errno::EEXIST,
            Errno::EDQUOT,
        ] {
            assert_eq!(decided(&OpOutcome::Failed(errno.into())), Decision::GiveUp);
            assert_eq!(decided(&refused(errno)), Decision::GiveUp);
        }
        assert_eq!(decided(&OpOutcome::Dead(Errno::EBLOCKLISTED)), Decision::GiveUp);
        assert_eq!(decided(&OpOutcome::Closed), Decision::GiveUp);
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
            OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::ERESTART.into())),
            OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::EAGAIN.into())),
            OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(Errno::ENOTCONN)),
            OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(Errno::EAGAIN)),
        ];
        for outcome in outcomes {
            assert_eq!(decided(&outcome), Decision::RestartAfter(Millis(100)), "{outcome:?}");
        }
    }

    /// 10.10 item 8: the operation's own ETIMEDOUT is not taken for "no owner" (tracker 59563).
    #[test]
    fn time_out_of_the_operation_ends_the_call() {
        assert_eq!(decided(&OpOutcome::Failed(Errno::ETIMEDOUT.into())), Decision::GiveUp);
        let refused = OpOutcome::NotPlaced(RpcOutcome::Refused(Errno::ETIMEDOUT.into()));
        assert_eq!(decided(&refused), Decision::GiveUp);
        assert_eq!(rounds().decide_local(Err(Errno::ETIMEDOUT)), Decision::GiveUp);
    }

    /// 10.10 item 3, facts 4.3: once it may be a hand-over.
    #[test]
    fn two_owners_twice_in_a_row_end_the_call() {
        let two_owners = OpOutcome::NotPlaced(RpcOutcome::TwoOwners { a: OWNER, b: OWNER });
        let mut rounds = rounds();
        assert_eq!(rounds.decide(&two_owners), Decision::RestartAfter(Millis(100)));
        assert!(matches!(rounds.decide(&OpOutcome::OwnerChanged), Decision::RestartAfter(_)));
        assert!(matches!(rounds.decide(&two_owners), Decision::RestartAfter(_)), "not in a row");
        assert_eq!(rounds.decide(&two_owners), Decision::GiveUp);
    }

    #[test]
    fn answer_that_does_not_decode_ends_the_call() {
        assert_eq!(decided(&OpOutcome::NotPlaced(RpcOutcome::Undecodable)), Decision::GiveUp);
    }

    /// Facts 5.4: an owner that does not know the operation is asked for the lock.
    #[test]
    fn owner_that_cannot_run_it_is_asked_for_the_lock() {
        assert_eq!(decided(&OpOutcome::NotPlaced(RpcOutcome::NotSupported)), Decision::AskForLock);
    }

    /// Facts 9.3 item 6: no busy loop; a round that waited for progress starts the pacing over.
    #[test]
    fn fruitless_rounds_are_paced() {
        let mut rounds = rounds();
        let no_owner = OpOutcome::NotPlaced(RpcOutcome::NoOwner);
        let mut delays = Vec::new();
        for _ in 0..8 {
            let Decision::RestartAfter(delay) = rounds.decide(&no_owner) else { panic!("a restart") };
            delays.push(delay.0);
        }
        assert!(delays.iter().all(|delay| (100..=1_000).contains(delay)), "{delays:?}");
        assert!(delays[7] >= 500, "{delays:?}");
        assert_eq!(rounds.decide(&OpOutcome::NoProgress), Decision::RestartAfter(Millis(100)));
    }

    /// Only ends that are nobody's.
    #[test]
    fn another_ones_flatten_or_resize_is_as_good_as_the_own() {
        let image = |has_parent, size| Seen { has_parent, size };
        assert!(is_reached(&Operation::Flatten, image(false, 4)));
        assert!(!is_reached(&Operation::Flatten, image(true, 4)));
        for allow_shrink in [false, true] {
            let resize = Operation::Resize { size: 4, allow_shrink };
            assert!(is_reached(&resize, image(true, 4)));
            assert!(!is_reached(&resize, image(true, 5)));
        }
        for operation in
            [Operation::SnapCreate { name: "s".to_owned() }, Operation::SnapRemove { name: "s".to_owned() }]
        {
            assert!(!is_reached(&operation, image(false, 4)));
        }
    }

    /// Facts 5.4, `handle`: where the operation runs; EBUSY of a manual lock is EROFS outside.
    #[test]
    fn place_follows_the_lock() {
        assert_eq!(place(Ok(()), true), Place::Local);
        assert_eq!(place(Ok(()), false), Place::Remote);
        assert_eq!(place(Err(Errno::EBUSY), false), Place::Nowhere(Errno::EROFS));
        assert_eq!(place(Err(Errno::EROFS), false), Place::Nowhere(Errno::EROFS));
        for errno in [Errno::EBLOCKLISTED, Errno::ENOTCONN, Errno::ESHUTDOWN, Errno::ENOENT] {
            assert_eq!(place(Err(errno), false), Place::Nowhere(errno));
        }
    }

    /// Facts 5.4, LOCAL: interrupted runs stay inside.
    #[test]
    fn interrupted_local_run_starts_over() {
        assert_eq!(rounds().decide_local(Err(Errno::ERESTART)), Decision::RestartAfter(Millis(100)));
        assert_eq!(rounds().decide_local(Ok(())), Decision::Done);
        assert_eq!(rounds().decide_local(Err(Errno::EINVAL)), Decision::GiveUp);
    }
}
