use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use errno::Errno;
use proto::osd::v1 as wire;
use tokio::sync::oneshot;

use crate::{Error, Reply};

/// An op on its way. Awaiting it waits for the answer; dropping it ends the wait, not the op.
#[derive(Debug)]
#[must_use = "the op is sent in any case, but only its answer says whether it happened"]
pub struct Submitted(oneshot::Receiver<Result<Reply, Error>>);

/// Who waits for an op's answer.
#[derive(Debug)]
pub(crate) struct Waiter {
    answer: oneshot::Sender<Result<Reply, Error>>,
    /// "write, assert_exists on rbd/object".
    attempted: String,
}

impl Submitted {
    pub(crate) fn new(attempted: String) -> (Waiter, Self) {
        let (answer, receiver) = oneshot::channel();
        (Waiter { answer, attempted }, Self(receiver))
    }
}

impl Waiter {
    /// Passes the OSD's answer on. Nobody may be waiting any more.
    pub(crate) fn answer(self, mut reply: wire::OperateReply) {
        let answer = match reply.error.take() {
            Some(error) => Err(Error::from_wire(error, self.attempted)),
            None => Reply::from_wire(reply, self.attempted),
        };
        let _ = self.answer.send(answer);
    }

    /// Ends the wait because the op will never be answered, or was never sent.
    pub(crate) fn fail(self, cause: &Error) {
        let _ = self.answer.send(Err(cause.seen_by(self.attempted)));
    }
}

impl Future for Submitted {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| {
            Err(Error::new(
                Errno::ESHUTDOWN,
                "an op vector",
                "its session was dropped before the answer came",
            ))
        }))
    }
}
