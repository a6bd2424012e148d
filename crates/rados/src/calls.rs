use std::{future::Future, sync::Arc, time::Duration};

use clock::Clock;
use errno::Errno;
use rpc::osd::osd_client::OsdClient;
use tonic::{Code, Response, Status, transport::Channel};
use tower::{ServiceBuilder, limit::ConcurrencyLimit};

use crate::{Error, backoff::Backoff, session::Session};

/// Unary calls of one session that are on their way at once; one more waits.
const CALLS_IN_FLIGHT_MAX: usize = 256;

/// Stub for unary calls.
pub(crate) type Client = OsdClient<ConcurrencyLimit<Channel>>;

/// The unary calls of a session: sent again when the connection is lost, until they are answered or the session ends.
///
/// Every call of the service may be sent twice: lists read; adding to and removing from the blocklist, removing a snap
/// id and disconnecting do the same again; allocating a snap id carries a tid by which the OSD recognises it; a notify
/// is delivered at least once by its nature; a second connect leaves an unused session that expires.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    session: Arc<Session>,
    client: Client,
}

/// What a status means.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The OSD's answer: sending again would give the same.
    Answer(Error),
    /// Nothing is known about the request.
    ConnectionLost,
}

/// An answer, and whether the call was sent more than once to get it.
pub(crate) struct Answered<T> {
    pub(crate) answer: Result<T, Error>,
    pub(crate) was_resent: bool,
}

impl Calls {
    pub(crate) fn new(session: Arc<Session>, client: Client) -> Self {
        Self { session, client }
    }

    /// Sends a call until it is answered. `attempted` is for errors.
    pub(crate) async fn call<T, F>(&self, attempted: &str, send: impl FnMut(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_patiently(attempted, None, send).await.answer
    }

    /// Like `call`; an attempt that is not answered within `patience` counts as a lost connection.
    pub(crate) async fn call_patiently<T, F>(
        &self,
        attempted: &str,
        patience: Option<Duration>,
        mut send: impl FnMut(Client) -> F,
    ) -> Answered<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut was_resent = false;
        // Boxed so that the futures of callers stay small.
        let repeated = Box::pin(self.repeat(attempted, patience, &mut send, &mut was_resent));
        let answer = tokio::select! {
            biased;
            () = self.session.over.cancelled() => Err(self.session.why_over(attempted)),
            answer = repeated => answer,
        };
        if let Err(error) = &answer
            && error.ends_session()
        {
            self.session.end(error);
        }
        Answered { answer, was_resent }
    }

    async fn repeat<T, F>(
        &self,
        attempted: &str,
        patience: Option<Duration>,
        send: &mut impl FnMut(Client) -> F,
        was_resent: &mut bool,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let config = &self.session.config;
        let stream = self.session.next_call();
        let mut backoff =
            Backoff::new(config.reconnect_min, config.reconnect_max, config.backoff_seed, stream);
        loop {
            let attempt = send(self.client.clone());
            let status = match within(&config.clock, patience, attempt).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            match classify(&status, attempted) {
                Failure::Answer(error) => return Err(error),
                Failure::ConnectionLost => tracing::debug!(attempted, %status, "call is sent again"),
            }
            *was_resent = true;
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

/// A stub with this workspace's limits over `channel`.
pub(crate) fn client(channel: Channel) -> Client {
    OsdClient::new(ServiceBuilder::new().concurrency_limit(CALLS_IN_FLIGHT_MAX).service(channel))
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX)
}

/// Tells an answer from a broken connection. The transport reports its own errors under several codes; the OSD never
/// answers with those and always attaches its errno.
pub(crate) fn classify(status: &Status, attempted: &str) -> Failure {
    if let Some(error) = rpc::status::to_error(status) {
        return Failure::Answer(Error::from_wire(error, attempted));
    }
    let errno = match status.code() {
        Code::Unimplemented => Errno::EOPNOTSUPP,
        Code::OutOfRange => Errno::E2BIG,
        Code::InvalidArgument => Errno::EINVAL,
        Code::PermissionDenied | Code::Unauthenticated => Errno::EPERM,
        _ => return Failure::ConnectionLost,
    };
    Failure::Answer(Error::new(errno, attempted, format!("the transport refuses it: {}", status.message())))
}

async fn within<T>(
    clock: &Clock,
    patience: Option<Duration>,
    attempt: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match patience {
        None => attempt.await,
        Some(patience) => clock
            .timeout(patience, attempt)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))),
    }
}
