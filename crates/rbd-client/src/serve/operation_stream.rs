use std::{future::Future, sync::Arc};

use errno::Errno;
use futures_util::stream::{self, BoxStream, StreamExt};
use librbd::{OperationEvent, ProgressSink};
use proto::rbd::v1 as wire;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::Status;

use super::wire::{operation_event, status};
use crate::failure::Failure;

/// Events of one call that wait for its reader.
const EVENTS_MAX: usize = 256;

/// Places among them that progress leaves free, so that a slow reader misses steps of progress and no restart.
const EVENTS_RESERVED: usize = 64;

/// One maintenance call, as its caller sees it.
///
/// The call runs in a task of its own, so that a slow reader does not hold it up. When the caller hangs up, the stream
/// is dropped and the call is cancelled here, at the requester; an owner that has accepted it may finish it.
struct OperationStream {
    events: mpsc::Receiver<OperationEvent>,
    operation: Option<AbortOnDropHandle<Result<(), librbd::Error>>>,
    attempts: u32,
    shutdown: CancellationToken,
}

/// Starts `operation` with the sink that its events go to. The stream ends with `done`, or with an error status.
pub(super) fn operation_stream<F>(
    shutdown: CancellationToken,
    operation: impl FnOnce(ProgressSink) -> F,
) -> BoxStream<'static, Result<wire::OperationEvent, Status>>
where
    F: Future<Output = Result<(), librbd::Error>> + Send + 'static,
{
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let sink: ProgressSink = Arc::new(move |event| offer(&sender, event));
    let operation = Some(AbortOnDropHandle::new(tokio::spawn(operation(sink))));
    let state = OperationStream { events, operation, attempts: 0, shutdown };
    stream::unfold(state, OperationStream::next).boxed()
}

/// The call must not wait for its reader: what does not fit is dropped.
fn offer(sender: &mpsc::Sender<OperationEvent>, event: OperationEvent) {
    let is_progress = matches!(event, OperationEvent::Progress { .. });
    if is_progress && sender.capacity() <= EVENTS_RESERVED {
        return;
    }
    // Refused when the reader has gone, which ends the call, or has left all places full.
    let _ = sender.try_send(event);
}

impl OperationStream {
    async fn next(mut self) -> Option<(Result<wire::OperationEvent, Status>, Self)> {
        self.operation.as_ref()?;
        let event = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                self.operation = None;
                let failure = Failure::new(Errno::ESHUTDOWN, "this rbd-client shuts down");
                return Some((Err(status(failure)), self));
            }
            // The sink is dropped with the call: `None` comes when it has ended and all its events were seen.
            event = self.events.recv() => event,
        };
        match event {
            Some(event) => {
                if let OperationEvent::Placed { attempt, .. } | OperationEvent::Restarted { attempt, .. } =
                    &event
                {
                    self.attempts = self.attempts.max(*attempt);
                }
                Some((Ok(operation_event(event)), self))
            }
            None => {
                let result = self.result().await;
                Some((result, self))
            }
        }
    }

    async fn result(&mut self) -> Result<wire::OperationEvent, Status> {
        let operation = self.operation.take();
        let result = match operation {
            Some(operation) => operation.await,
            None => Ok(Ok(())),
        };
        match result {
            Ok(Ok(())) => {
                let done = wire::Done { attempts: self.attempts.max(1) };
                Ok(wire::OperationEvent { event: Some(wire::operation_event::Event::Done(done)) })
            }
            Ok(Err(error)) => Err(status(&error)),
            Err(error) => {
                Err(status(Failure::new(Errno::EIO, format!("the operation did not end: {error}"))))
            }
        }
    }
}
