//! How calls end: the outcome of asking the owner, and the outcome of the operation, are two types. Ceph overloads its
//! numbers (ETIMEDOUT is "no owner", "no progress" and "the operation timed out"); here they differ until the public edge.

use errno::Errno;

use crate::ids::ClientId;

/// How an operation ended, as acks and AsyncComplete carry it.
pub type OpResult = Result<(), Errno>;

/// Why an operation failed, or was refused, as its owner says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What it means.
    pub errno: Errno,
    /// For people, as they would read it where it happened. Empty: nothing is said.
    pub reason: String,
}

/// How an operation ended at its owner.
pub type Ended = Result<(), Failure>;

/// Longest reason, in bytes: it travels in notifies and is kept in the image's header. The rest of a longer one is cut off.
pub const REASON_BYTES_MAX: usize = 1024;

impl Failure {
    /// With a reason, cut to [`REASON_BYTES_MAX`].
    pub fn new(errno: Errno, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        if reason.len() > REASON_BYTES_MAX {
            let end = (0..=REASON_BYTES_MAX).rev().find(|end| reason.is_char_boundary(*end));
            reason.truncate(end.unwrap_or(0));
        }
        Self { errno, reason }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::new(errno, "")
    }
}

/// As messages and records carry it: 0 or a negative errno, and the reason.
pub fn ended_to_message(ended: &Ended) -> (i32, &str) {
    match ended {
        Ok(()) => (0, ""),
        Err(failure) => (failure.errno.result(), &failure.reason),
    }
}

/// From a message or a record.
pub fn ended_from_message(result: i32, reason: impl Into<String>) -> Ended {
    op_result(result).map_err(|errno| Failure::new(errno, reason))
}

/// From a message: 0 (or a positive number) is success, a negative number an errno; a number nobody knows is EIO.
pub fn op_result(result: i32) -> OpResult {
    if result >= 0 { Ok(()) } else { Err(Errno::from_number(result).unwrap_or(Errno::EIO)) }
}

/// How asking the lock owner ended (facts 4.3, 9.3 item 1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RpcOutcome {
    /// The owner answered 0.
    Accepted {
        /// Who answered.
        owner: ClientId,
    },
    /// Nobody claimed to be the owner. Ceph: ETIMEDOUT.
    NoOwner,
    /// Two clients claimed to be the owner. Ceph: EIO, later EINVAL.
    TwoOwners {
        /// One of them.
        a: ClientId,
        /// Another.
        b: ClientId,
    },
    /// The owner's answer does not decode. Ceph: EINVAL.
    Undecodable,
    /// The owner does not know the request. Ceph: EOPNOTSUPP.
    NotSupported,
    /// The owner answered with this error.
    Refused(Failure),
    /// The notify itself failed. (One that timed out did not: its partial answers are valid.)
    NotifyFailed(Errno),
}

/// How one attempt of a forwarded request ended at the requester.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpOutcome {
    /// The owner says it is done.
    Done,
    /// The owner says that the operation failed with this.
    Failed(Failure),
    /// ERESTART from the owner: it stopped the operation at a safe point, to be run again.
    Interrupted,
    /// Neither progress nor completion for `rbd_request_timed_out_seconds`. ERESTART as Hammer has it; newer Ceph ETIMEDOUT.
    NoProgress,
    /// The lock changed hands while the request was out. Ceph: ERESTART.
    OwnerChanged,
    /// The own watch was registered anew: the completion may have been missed. Ask again.
    WatchRenewed,
    /// The image is closing. Ceph: ERESTART or ESHUTDOWN.
    Closed,
    /// The own watch is lost for good: blocklisted, or the header is gone.
    Dead(Errno),
    /// The request was not accepted. Never [`RpcOutcome::Accepted`].
    NotPlaced(RpcOutcome),
}

/// What a notify brought back; valid also when it timed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NotifyAnswers {
    /// Some watcher did not ack in time.
    pub timed_out: bool,
    /// The acks that came.
    pub answers: Vec<Answer>,
}

/// One watcher's ack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// (gid, cookie) of the watch that acked.
    pub from: ClientId,
    /// What it said.
    pub payload: Payload,
}

/// An ack's payload, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Not the owner.
    Empty,
    /// The owner's ResponseMessage.
    Response(Ended),
    /// Bytes that do not decode.
    Undecodable,
}

/// Picks the one answer that counts (facts 4.3): empty ones are ignored, none is [`RpcOutcome::NoOwner`], more than one
/// [`RpcOutcome::TwoOwners`]. A notify that timed out still carries answers.
pub fn pick_answer(notified: &NotifyAnswers) -> RpcOutcome {
    let mut claims = notified.answers.iter().filter(|answer| answer.payload != Payload::Empty);
    let Some(first) = claims.next() else { return RpcOutcome::NoOwner };
    if let Some(second) = claims.next() {
        return RpcOutcome::TwoOwners { a: first.from, b: second.from };
    }
    match &first.payload {
        Payload::Empty => RpcOutcome::NoOwner,
        Payload::Undecodable => RpcOutcome::Undecodable,
        Payload::Response(Ok(())) => RpcOutcome::Accepted { owner: first.from },
        Payload::Response(Err(failure)) if failure.errno == Errno::EOPNOTSUPP => RpcOutcome::NotSupported,
        Payload::Response(Err(failure)) => RpcOutcome::Refused(failure.clone()),
    }
}

/// [`pick_answer`] for the result of a notify that may have failed as a whole.
pub fn rpc_outcome(notified: &Result<NotifyAnswers, Errno>) -> RpcOutcome {
    match notified {
        Ok(answers) => pick_answer(answers),
        Err(errno) => RpcOutcome::NotifyFailed(*errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId { gid: 2, handle: 7 };
    const B: ClientId = ClientId { gid: 3, handle: 8 };

    fn response(result: i32) -> Payload {
        Payload::Response(ended_from_message(result, "why"))
    }

    fn pick(timed_out: bool, answers: &[(ClientId, Payload)]) -> RpcOutcome {
        let answers =
            answers.iter().map(|(from, payload)| Answer { from: *from, payload: payload.clone() }).collect();
        pick_answer(&NotifyAnswers { timed_out, answers })
    }

    /// Catalogue row 29.
    #[test]
    fn empty_answers_are_no_owner() {
        assert_eq!(pick(false, &[]), RpcOutcome::NoOwner);
        assert_eq!(pick(false, &[(A, Payload::Empty), (B, Payload::Empty)]), RpcOutcome::NoOwner);
        assert_eq!(pick(true, &[(A, Payload::Empty)]), RpcOutcome::NoOwner);
    }

    /// Facts 4.3 step 2: a notify that timed out still carries answers.
    #[test]
    fn the_one_answer_counts_also_after_a_time_out() {
        for timed_out in [false, true] {
            let answers = [(A, Payload::Empty), (B, response(0))];
            assert_eq!(pick(timed_out, &answers), RpcOutcome::Accepted { owner: B });
        }
    }

    /// 10.10 item 3.
    #[test]
    fn two_answers_are_two_owners_whatever_they_say() {
        for second in [response(0), response(-30), Payload::Undecodable] {
            let answers = [(A, response(0)), (B, second.clone())];
            assert_eq!(pick(false, &answers), RpcOutcome::TwoOwners { a: A, b: B }, "{second:?}");
        }
    }

    /// Catalogue row 30.
    #[test]
    fn errors_of_the_owner_are_told_apart() {
        assert_eq!(pick(false, &[(A, response(-5))]), RpcOutcome::Refused(Failure::new(Errno::EIO, "why")));
        assert_eq!(
            pick(false, &[(A, response(-110))]),
            RpcOutcome::Refused(Failure::new(Errno::ETIMEDOUT, "why"))
        );
        assert_eq!(pick(false, &[(A, response(-95))]), RpcOutcome::NotSupported);
        assert_eq!(pick(false, &[(A, Payload::Undecodable)]), RpcOutcome::Undecodable);
    }

    /// Named limit; a character is not cut in two.
    #[test]
    fn a_reason_that_is_too_long_is_cut() {
        let long = format!("{}€", "x".repeat(REASON_BYTES_MAX - 1));
        assert_eq!(Failure::new(Errno::EIO, long).reason, "x".repeat(REASON_BYTES_MAX - 1));
        assert_eq!(ended_to_message(&ended_from_message(-5, "why")), (-5, "why"));
        assert_eq!(ended_to_message(&ended_from_message(1, "why")), (0, ""));
    }

    #[test]
    fn number_that_nobody_knows_is_eio() {
        assert_eq!(op_result(-9999), Err(Errno::EIO));
        assert_eq!(op_result(i32::MIN), Err(Errno::EIO));
        assert_eq!(op_result(1), Ok(()));
    }
}
