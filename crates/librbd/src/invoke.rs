//! The loop that every maintenance operation goes through: take the lock and run it here, else forward it to the owner,
//! else start over (facts 5).

use std::sync::Arc;
use std::time::Duration;

use errno::Errno;
use marks::Mark;
use rbd_protocol::invoke::{Decision, Place, Rounds, Seen, is_reached, may_be_done, place};
use rbd_protocol::lock::Purpose;
use rbd_protocol::retry::Backoff;
use rbd_protocol::{
    Ended, Failure, Millis, OpOutcome, Operation, Request, RequestId, RpcOutcome, Token, watcher,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::done::{self, Known};
use crate::error::{Error, Result};
use crate::event::ImageEvent;
use crate::opened::OpenImage;
use crate::operations::{Maintenance, Origin, execute};
use crate::owner::{self, Answer, Ask, Forwarded, seed};
use crate::progress::{CallOptions, OperationEvent, ProgressSink};
use crate::requests::Told;

/// Longest pause between two rounds, as a multiple of the retry delay.
const PAUSE_MAX_RETRY_DELAYS: u64 = 4;

/// Runs one maintenance operation, wherever the lock is. Every re-send of this call carries the same id.
///
/// EROFS: the image is not writable, or the lock cannot be had. EBLOCKLISTED: this client is fenced. EIO: two clients claim
/// to own the lock. With limits: ETIMEDOUT at the deadline; the last reason (ERESTART, ETIMEDOUT, EOPNOTSUPP) when the
/// attempts are used up. Otherwise the errors of the operation.
#[tracing::instrument(
    name = "call",
    level = "info",
    skip_all,
    fields(image = image.name, operation = operation.name(), id, attempts, result)
)]
pub(crate) async fn invoke(
    image: &Arc<OpenImage>,
    operation: Maintenance,
    options: &CallOptions,
) -> Result<()> {
    let numbered = image.requests.begin();
    let id = numbered.id();
    tracing::Span::current().record("id", id.to_string());
    let mut call = Call::new(image, operation, options, id);
    let result = match options.deadline {
        None => call.run().await,
        Some(deadline) => match image.clock().timeout(deadline, call.run()).await {
            Ok(result) => result,
            Err(_) => Err(call.deadline_passed(deadline)),
        },
    };
    marks::hit(row(&result));
    let number = result.as_ref().map_or_else(|error| error.errno().result(), |()| 0);
    tracing::Span::current().record("attempts", call.attempt).record("result", number);
    tracing::info!("call ended");
    result
}

/// The row of the error table by which a call ends.
fn row(result: &Result<()>) -> Mark {
    match result.as_ref().map_err(Error::errno) {
        Ok(()) => Mark::ErrorNone,
        Err(Errno::EIO) => Mark::ErrorEio,
        Err(Errno::EINVAL) => Mark::ErrorEinval,
        Err(Errno::EROFS) => Mark::ErrorErofs,
        Err(Errno::EBLOCKLISTED) => Mark::ErrorEblocklisted,
        Err(Errno::EBUSY) => Mark::ErrorEbusy,
        Err(Errno::ENOENT) => Mark::ErrorEnoent,
        Err(Errno::EEXIST) => Mark::ErrorEexist,
        Err(Errno::ESHUTDOWN) => Mark::ErrorEshutdown,
        Err(Errno::ENOTCONN) => Mark::ErrorEnotconn,
        Err(Errno::ESTALE) => Mark::ErrorEstale,
        Err(Errno::EDQUOT) => Mark::ErrorEdquot,
        Err(Errno::EOPNOTSUPP) => Mark::ErrorEopnotsupp,
        Err(Errno::EBADMSG) => Mark::ErrorEbadmsg,
        Err(Errno::ENOSYS) => Mark::ErrorEnosys,
        Err(Errno::ERESTART) => Mark::ErrorErestart,
        Err(Errno::ETIMEDOUT) => Mark::ErrorEtimedout,
        Err(_) => Mark::ErrorOther,
    }
}

/// The row by which a round starts over.
const fn row_inside(errno: Errno) -> Mark {
    match errno {
        Errno::ERESTART => Mark::InsideErestart,
        Errno::ETIMEDOUT => Mark::InsideEtimedout,
        Errno::EIO => Mark::InsideEio,
        Errno::EOPNOTSUPP => Mark::InsideEopnotsupp,
        Errno::ENOTCONN => Mark::InsideEnotconn,
        Errno::EAGAIN => Mark::InsideEagain,
        _ => Mark::InsideOther,
    }
}

/// One call, over all of its attempts.
struct Call<'a> {
    image: &'a Arc<OpenImage>,
    operation: Maintenance,
    options: &'a CallOptions,
    id: RequestId,
    attempt: u32,
    /// The owner does not know the operation: ask for the lock and run it here.
    asks_for_lock: bool,
    /// An owner may have been asked.
    was_forwarded: bool,
    rounds: Rounds,
}

/// It says nothing of what becomes of the operation.
fn ends_the_wait(errno: Errno) -> bool {
    matches!(errno, Errno::ETIMEDOUT | Errno::ERESTART)
}

/// Why an attempt did not decide the call.
struct Undecided {
    decision: Decision,
    /// What the caller gets if this was the last attempt.
    error: Error,
}

impl<'a> Call<'a> {
    fn new(
        image: &'a Arc<OpenImage>,
        operation: Maintenance,
        options: &'a CallOptions,
        id: RequestId,
    ) -> Self {
        let delay = owner::millis(image.config.retry_delay);
        let pause_max = Millis(delay.0.saturating_mul(PAUSE_MAX_RETRY_DELAYS));
        let backoff = Backoff::new(Millis(delay.0 / 10), pause_max, seed(image) ^ id.number.rotate_left(32));
        // A rollback is never forwarded.
        let asks_for_lock = matches!(operation, Maintenance::Rollback { .. });
        let rounds = Rounds::new(backoff);
        Self { image, operation, options, id, attempt: 0, asks_for_lock, was_forwarded: false, rounds }
    }

    async fn run(&mut self) -> Result<()> {
        self.check_start().await?;
        match self.rounds().await {
            Ok(()) => Ok(()),
            Err(error) => self.unless_done(error).await,
        }
    }

    async fn rounds(&mut self) -> Result<()> {
        loop {
            if self.is_done() {
                return Ok(());
            }
            self.attempt += 1;
            let Undecided { decision, error } = match self.place().await? {
                Place::Local => match self.run_locally().await {
                    Ok(()) => {
                        marks::hit(Mark::InvokeLocalDone);
                        return Ok(());
                    }
                    Err(error) => {
                        let decision = self.rounds.decide_local(Err(error.errno()));
                        Undecided { decision, error }
                    }
                },
                Place::Remote => {
                    self.was_forwarded = true;
                    let outcome = self.forward().await;
                    let decision = self.rounds.decide(&outcome);
                    Undecided { decision, error: self.describe(&outcome) }
                }
                Place::Nowhere(errno) => return Err(self.no_lock(errno)),
            };
            match decision {
                Decision::Done => {
                    // The own image learns of it before the call returns, with or without a HeaderUpdate.
                    self.image.mark_stale();
                    return Ok(());
                }
                Decision::GiveUp => return Err(error),
                Decision::AskForLock => self.asks_for_lock = true,
                Decision::RestartAfter(_) => {}
            }
            if self.options.attempts_max.is_some_and(|max| self.attempt >= max) {
                return Err(error);
            }
            marks::hit(row_inside(error.errno()));
            self.restart(&error);
            if let Decision::RestartAfter(delay) = decision {
                self.image.clock().sleep(Duration::from_millis(delay.0)).await;
            }
        }
    }

    fn heard(&self) -> Told {
        self.image.requests.heard(self.id)
    }

    /// An owner has said so, perhaps when this side had given the attempt up already. The own image learns of it before the call returns.
    fn is_done(&self) -> bool {
        let is_done = self.heard().done;
        if is_done {
            marks::hit(Mark::InvokeHeardOfEnd);
            self.image.mark_stale();
        }
        is_done
    }

    /// Only an image that has no parent when the call begins cannot be flattened: from here on it does not matter who flattens it.
    async fn check_start(&self) -> Result<()> {
        if self.operation != Maintenance::Forwardable(Operation::Flatten) {
            return Ok(());
        }
        self.image.check_writable()?;
        self.image.refresh().await?;
        if self.image.state().head_parent().is_some() {
            return Ok(());
        }
        Err(Error::invalid(format!("flatten: image {} has no parent", self.image.name)))
    }

    /// The end of a call that came to nothing, unless it happened all the same: an owner that was asked may have ended it, which
    /// the record under its id says, or, if it leaves none, an error by which it may be done; and somebody else may have made the
    /// image what this call was to make it. Where nobody can look, nobody knows: the error is then why not.
    async fn unless_done(&self, error: Error) -> Result<()> {
        let Maintenance::Forwardable(operation) = &self.operation else { return Err(error) };
        if planted::is(planted::Mistake::SecondFlattenFails) {
            return Err(error);
        }
        if self.is_done() {
            return Ok(());
        }
        self.image.check_alive()?;
        if self.heard().unrecorded && may_be_done(operation, error.errno()) {
            marks::hit(Mark::InvokeMayBeDone);
            self.image.mark_stale();
            return Ok(());
        }
        let error = match self.final_end(&error).await? {
            Some(Ok(())) => {
                marks::hit(Mark::InvokeRecordedDone);
                return Ok(());
            }
            Some(Err(failure)) => {
                marks::hit(Mark::InvokeRecordedFailed);
                let (errno, text) = self.describe_failure(&failure, "failed at the lock owner");
                Error::refused(errno, text)
            }
            None => error,
        };
        self.image.refresh().await?;
        let state = self.image.state();
        let seen = Seen { has_parent: state.head_parent().is_some(), size: state.size };
        if is_reached(operation, seen) {
            marks::hit(Mark::InvokeReached);
            return Ok(());
        }
        Err(error)
    }

    /// How an owner that was asked has ended it, if one has. If none has, then none will once the caller is told of a refusal. A renaming
    /// becomes true in the directory, before the header has a record of it: it cannot be withdrawn there.
    async fn final_end(&self, error: &Error) -> Result<Option<Ended>> {
        if !self.was_forwarded {
            return Ok(None);
        }
        let (io, header) = (&self.image.io, &self.image.header);
        match done::look_up(io, header, self.id).await? {
            Known::Ended(ended) => Ok(Some(ended)),
            Known::New if self.can_be_withdrawn() && !ends_the_wait(error.errno()) => {
                done::withdraw(io, header, self.id, &Failure::from(error.errno())).await
            }
            Known::New | Known::Forgotten => Ok(None),
        }
    }

    fn can_be_withdrawn(&self) -> bool {
        !matches!(self.operation, Maintenance::Forwardable(Operation::Rename { .. }))
            && !planted::is(planted::Mistake::RefuseUnwithdrawn)
    }

    /// Where this attempt runs. Everything is looked at again in each round.
    async fn place(&self) -> Result<Place> {
        self.image.check_writable().inspect_err(|_| marks::hit(Mark::InvokeNotWritable))?;
        self.image.refresh_if_stale().await.inspect_err(|_| marks::hit(Mark::InvokeRefreshFailed))?;
        if !self.image.uses_lock() {
            marks::hit(Mark::InvokeWithoutLock);
            return Ok(Place::Local);
        }
        marks::hit(if self.asks_for_lock { Mark::InvokeAsksForLock } else { Mark::InvokeTries });
        let ask = if self.asks_for_lock { Ask::Acquire(Purpose::Operation) } else { Ask::Try };
        let Answer { result, is_owner } = ask_lock(self.image, ask).await?;
        Ok(place(result, is_owner))
    }

    /// The run is a task of its own: when this call goes away, it stops at the next safe point.
    async fn run_locally(&self) -> Result<()> {
        self.emit(OperationEvent::Placed { attempt: self.attempt, forwarded: false, owner_gid: 0 });
        let abandoned = CancellationToken::new();
        let _abandon = abandoned.clone().drop_guard();
        let (image, operation) = (self.image.clone(), self.operation.clone());
        let origin = Origin { id: self.id, attempt: self.attempt, forwarded: None };
        let progress = self.progress_of_attempt();
        let run = async move { execute(&image, &operation, &origin, &abandoned, progress).await.result };
        let run = tracing::Instrument::in_current_span(run);
        self.image.tasks.run(run).await.unwrap_or_else(|dropped| Err(crate::image::task_dropped(dropped)))
    }

    /// Sends it to the owner and waits for the end of the attempt.
    async fn forward(&self) -> OpOutcome {
        let Maintenance::Forwardable(operation) = self.operation.clone() else {
            return OpOutcome::NotPlaced(RpcOutcome::NotSupported);
        };
        let (token, mut heard) = self.send(operation);
        let _forget = Forget { image: self.image, token };
        let progress = self.progress_of_attempt();
        loop {
            match heard.recv().await {
                Some(Forwarded::Placed(owner)) => self.emit(OperationEvent::Placed {
                    attempt: self.attempt,
                    forwarded: true,
                    owner_gid: owner.gid,
                }),
                Some(Forwarded::Progress { offset, total }) => progress(offset, total),
                Some(Forwarded::Ended(outcome)) => return outcome,
                None => return OpOutcome::Closed,
            }
        }
    }

    fn send(&self, operation: Operation) -> (Token, mpsc::UnboundedReceiver<Forwarded>) {
        self.image.requests.forwarded();
        let request = Request {
            id: self.id,
            handle: 0,
            attempt: self.attempt,
            low_water_mark: self.image.requests.low_water_mark(),
            operation,
        };
        let token = self.image.next_token();
        let (to, heard) = mpsc::unbounded_channel();
        self.image.tell(owner::Event::Forward { token, request, to });
        (token, heard)
    }

    fn progress_of_attempt(&self) -> impl Fn(u64, u64) + Send + Sync + 'static {
        let (image, sink, attempt) =
            (self.image.clone(), ProgressSink::clone(&self.options.progress), self.attempt);
        move |offset, total| {
            image.report(ImageEvent::Progress { offset, total, attempt });
            sink(OperationEvent::Progress { offset, total, attempt });
        }
    }

    fn emit(&self, event: OperationEvent) {
        (self.options.progress)(event);
    }

    fn restart(&self, reason: &Error) {
        let attempt = self.attempt + 1;
        let reason = match reason {
            Error::Refused { errno, text } => format!("{errno}: {text}"),
            Error::Osd { .. } => format!("{}: {reason}", reason.errno()),
        };
        tracing::info!(attempt, reason, "starting over");
        self.image.report(ImageEvent::Restarted { reason: reason.clone(), attempt });
        self.emit(OperationEvent::Restarted { reason, attempt });
    }

    /// An outcome as the caller sees it: this is where outcomes become Ceph's numbers.
    fn describe(&self, outcome: &OpOutcome) -> Error {
        let (errno, text) = match outcome {
            OpOutcome::Done => (Errno::ERESTART, "the lock owner finished it".to_owned()),
            OpOutcome::Failed(failure) => self.describe_failure(failure, "failed at the lock owner"),
            OpOutcome::Interrupted => {
                (Errno::ERESTART, "the lock owner stopped it at a safe point".to_owned())
            }
            OpOutcome::NoProgress => {
                let waited = self.image.config.rbd_request_timed_out_seconds;
                (Errno::ERESTART, format!("no progress at the lock owner for {waited:?}"))
            }
            OpOutcome::OwnerChanged => (Errno::ERESTART, "the exclusive lock changed hands".to_owned()),
            OpOutcome::WatchRenewed => (Errno::ERESTART, "the own watch was registered anew".to_owned()),
            OpOutcome::Closed => (Errno::ESHUTDOWN, format!("image {} is closed", self.image.name)),
            OpOutcome::Dead(errno) => {
                (*errno, format!("image {} can no longer be used: its watch is lost", self.image.name))
            }
            OpOutcome::NotPlaced(outcome) => self.describe_not_placed(outcome),
        };
        Error::refused(errno, text)
    }

    fn describe_not_placed(&self, outcome: &RpcOutcome) -> (Errno, String) {
        match outcome {
            RpcOutcome::Accepted { owner } => (Errno::ERESTART, format!("{owner} accepted it")),
            RpcOutcome::NoOwner => (Errno::ETIMEDOUT, "nobody claims to own the exclusive lock".to_owned()),
            RpcOutcome::TwoOwners { a, b } => {
                (Errno::EIO, format!("{}: both {a} and {b} claim to own the exclusive lock", self.what()))
            }
            RpcOutcome::Undecodable => (Errno::EBADMSG, format!("{}: the lock owner's answer", self.what())),
            RpcOutcome::NotSupported => {
                (Errno::EOPNOTSUPP, format!("the lock owner does not know {}", self.operation.name()))
            }
            RpcOutcome::Refused(failure) => self.describe_failure(failure, "refused by the lock owner"),
            RpcOutcome::NotifyFailed(errno) => {
                (*errno, format!("{}: the lock owner cannot be asked", self.what()))
            }
        }
    }

    /// In the owner's words: they are those of a call that runs here.
    fn describe_failure(&self, Failure { errno, reason }: &Failure, what_happened: &str) -> (Errno, String) {
        let text = match reason.is_empty() {
            false => reason.clone(),
            true => format!("{} {what_happened}: {}", self.what(), errno.text()),
        };
        (*errno, text)
    }

    /// "flatten of image x".
    fn what(&self) -> String {
        format!("{} of image {}", self.operation.name(), self.image.name)
    }

    fn no_lock(&self, errno: Errno) -> Error {
        self.image.check_alive().err().unwrap_or_else(|| {
            Error::refused(errno, format!("{}: the exclusive lock cannot be had", self.what()))
        })
    }

    fn deadline_passed(&self, deadline: Duration) -> Error {
        let text =
            format!("{} was not decided within {deadline:?}, in attempt {}", self.what(), self.attempt);
        Error::refused(Errno::ETIMEDOUT, text)
    }
}

/// Asks the owner task for the lock. The error is that of an image that has ended.
pub(crate) async fn ask_lock(image: &OpenImage, ask: Ask) -> Result<Answer> {
    let (done, answer) = oneshot::channel();
    image.tell(owner::Event::Lock { ask, done });
    match answer.await {
        Ok(answer) => Ok(answer),
        Err(_) => Err(image
            .check_alive()
            .err()
            .unwrap_or_else(|| Error::refused(Errno::ESHUTDOWN, format!("image {} is closed", image.name)))),
    }
}

/// A caller that goes away is no longer waited for.
struct Forget<'a> {
    image: &'a OpenImage,
    token: Token,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.image.tell(owner::Event::ToWatcher(watcher::Event::Forget { token: self.token }));
    }
}
