use std::sync::Arc;

use errno::Errno;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::{
    Error,
    backoff::Backoff,
    session::Session,
    transport::{Connection, Failure},
};

/// Jitter stream of this task.
const BACKOFF_STREAM: u64 = 1;

/// Keeps an op stream open until the session ends: reads answers, and opens the stream again when it breaks. What is
/// sent on it is decided by the session, in the caller's task.
pub(crate) async fn run(session: Arc<Session>, connection: Arc<dyn Connection>) {
    let config = &session.config;
    let mut backoff =
        Backoff::new(config.reconnect_min, config.reconnect_max, config.backoff_seed, BACKOFF_STREAM);
    loop {
        let broken = tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            broken = exchange(&session, &*connection, &mut backoff) => broken,
        };
        session.detach();
        let why = broken.to_string();
        match verdict(broken) {
            Verdict::SessionOver(error) => return session.end(&error),
            Verdict::OpRefused(error) => session.refused(&error),
            Verdict::Lost => tracing::debug!(gid = session.gid, why, "op stream broke"),
        }
        tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            () = config.machine.sleep(backoff.next_wait()) => {}
        }
    }
}

/// What the end of a stream says.
enum Verdict {
    /// The OSD's word about the session.
    SessionOver(Error),
    /// A message on it was not let through: sent again, it would end the next stream too.
    OpRefused(Error),
    /// Nothing about any op.
    Lost,
}

fn verdict(broken: Failure) -> Verdict {
    match broken {
        Failure::Answer(error) if error.ends_session() => Verdict::SessionOver(error.seen_by("op stream")),
        // The stream was one too many.
        Failure::Answer(error) if error.errno() == Errno::EAGAIN => Verdict::Lost,
        Failure::Answer(error) => Verdict::OpRefused(error.seen_by("op stream")),
        Failure::ConnectionLost(_) => Verdict::Lost,
    }
}

/// One stream's life; returns how it broke.
async fn exchange(session: &Session, connection: &dyn Connection, backoff: &mut Backoff) -> Failure {
    let (link, requests) = mpsc::unbounded_channel();
    session.attach(link);
    let mut answers = match connection.operate_stream(session.gid, requests).await {
        Ok(answers) => answers,
        Err(failure) => return failure,
    };
    loop {
        match answers.next().await {
            Some(Ok(reply)) => {
                backoff.reset();
                session.answered(reply);
            }
            Some(Err(failure)) => return failure,
            None => return Failure::ConnectionLost("the OSD closed the op stream".to_owned()),
        }
    }
}
