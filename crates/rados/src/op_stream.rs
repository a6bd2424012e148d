use std::sync::Arc;

use errno::Errno;
use rpc::osd::osd_client::OsdClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Status, transport::Channel};

use crate::{
    Error,
    backoff::Backoff,
    calls::{self, Failure},
    session::Session,
};

/// Jitter stream of this task.
const BACKOFF_STREAM: u64 = 1;

/// Keeps an op stream open until the session ends: reads answers, and opens the stream again when it breaks. What is
/// sent on it is decided by the session, in the caller's task.
pub(crate) async fn run(session: Arc<Session>, channel: Channel) {
    let config = &session.config;
    let mut backoff =
        Backoff::new(config.reconnect_min, config.reconnect_max, config.backoff_seed, BACKOFF_STREAM);
    loop {
        let broken = tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            broken = exchange(&session, channel.clone(), &mut backoff) => broken,
        };
        session.detach();
        match verdict(&broken) {
            Verdict::SessionOver(error) => return session.end(&error),
            Verdict::OpRefused(error) => session.refused(&error),
            Verdict::Lost => tracing::debug!(gid = session.gid, status = %broken, "op stream broke"),
        }
        tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            () = tokio::time::sleep(backoff.next_wait()) => {}
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

fn verdict(status: &Status) -> Verdict {
    match calls::classify(status, "op stream") {
        Failure::Answer(error) if error.ends_session() => Verdict::SessionOver(error),
        // The stream was one too many.
        Failure::Answer(error) if error.errno() == Errno::EAGAIN => Verdict::Lost,
        Failure::Answer(error) => Verdict::OpRefused(error),
        Failure::ConnectionLost => Verdict::Lost,
    }
}

/// One connection's life; returns how it broke.
async fn exchange(session: &Session, channel: Channel, backoff: &mut Backoff) -> Status {
    let (link, requests) = mpsc::unbounded_channel();
    session.attach(link);
    let mut client = OsdClient::new(channel)
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
    let mut requests = Request::new(UnboundedReceiverStream::new(requests));
    requests.metadata_mut().insert(rpc::GID_METADATA, session.gid.into());
    let mut answers = match client.operate_stream(requests).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(reply)) => {
                backoff.reset();
                session.answered(reply);
            }
            Ok(None) => return Status::unavailable("the OSD closed the op stream"),
            Err(status) => return status,
        }
    }
}
