use std::{future::Future, sync::Arc, time::Duration};

use clock::Clock;

use crate::{
    Error,
    backoff::Backoff,
    session::Session,
    transport::{self, Connection, Failure, Request},
};

/// The unary calls of a session: sent again when the connection is lost, until they are answered or the session ends.
///
/// Every call of the service may be sent twice: lists read; adding to and removing from the blocklist, removing a snap
/// id and disconnecting do the same again; allocating a snap id carries a tid by which the OSD recognises it; a notify
/// is delivered at least once by its nature; a second connect leaves an unused session that expires.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    session: Arc<Session>,
    connection: Arc<dyn Connection>,
}

/// An answer, and whether the call was sent more than once to get it.
pub(crate) struct Answered<T> {
    pub(crate) answer: Result<T, Error>,
    pub(crate) was_resent: bool,
}

impl Calls {
    pub(crate) fn new(session: Arc<Session>, connection: Arc<dyn Connection>) -> Self {
        Self { session, connection }
    }

    /// Sends a call until it is answered. `attempted` is for errors.
    pub(crate) async fn call<R: Request>(&self, attempted: &str, request: R) -> Result<R::Reply, Error> {
        self.call_patiently(attempted, None, request).await.answer
    }

    /// Like `call`; an attempt that is not answered within `patience` counts as a lost connection.
    pub(crate) async fn call_patiently<R: Request>(
        &self,
        attempted: &str,
        patience: Option<Duration>,
        request: R,
    ) -> Answered<R::Reply> {
        let mut was_resent = false;
        // Boxed so that the futures of callers stay small.
        let repeated = Box::pin(self.repeat(attempted, patience, request, &mut was_resent));
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

    async fn repeat<R: Request>(
        &self,
        attempted: &str,
        patience: Option<Duration>,
        request: R,
        was_resent: &mut bool,
    ) -> Result<R::Reply, Error> {
        let config = &self.session.config;
        let stream = self.session.next_call();
        let mut backoff =
            Backoff::new(config.reconnect_min, config.reconnect_max, config.backoff_seed, stream);
        loop {
            let attempt = transport::call(&*self.connection, request.clone());
            match within(&config.clock, patience, attempt).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Answer(error)) => return Err(error.seen_by(attempted)),
                Err(Failure::ConnectionLost(why)) => tracing::debug!(attempted, why, "call is sent again"),
            }
            *was_resent = true;
            config.machine.sleep(backoff.next_wait()).await;
        }
    }
}

async fn within<T>(
    clock: &Clock,
    patience: Option<Duration>,
    attempt: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match patience {
        None => attempt.await,
        Some(patience) => clock
            .timeout(patience, attempt)
            .await
            .unwrap_or_else(|_| Err(Failure::ConnectionLost("no answer in time".to_owned()))),
    }
}
