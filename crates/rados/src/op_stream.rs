use std::sync::Arc;

use rpc::osd::osd_client::OsdClient;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, transport::Channel};

use crate::{
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
    let keep_alive = session.session_timeout / 3;
    let mut keep_alive = interval_at(Instant::now() + keep_alive, keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let broken = tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            broken = exchange(&session, channel.clone(), &mut backoff, &mut keep_alive) => broken,
        };
        session.detach();
        match calls::classify(&broken, "op stream") {
            Failure::Answer(error) => return session.end(&error),
            Failure::ConnectionLost => {
                tracing::debug!(gid = session.gid, status = %broken, "op stream broke");
            }
        }
        tokio::select! {
            biased;
            () = session.over.cancelled() => return,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// One connection's life; returns how it broke.
async fn exchange(
    session: &Session,
    channel: Channel,
    backoff: &mut Backoff,
    keep_alive: &mut Interval,
) -> Status {
    let (link, requests) = mpsc::unbounded_channel();
    session.attach(link);
    let mut client = OsdClient::new(channel)
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
    let mut answers = match client.operate_stream(UnboundedReceiverStream::new(requests)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        let answer = tokio::select! {
            biased;
            _ = keep_alive.tick() => {
                session.stay_alive();
                continue;
            }
            answer = answers.message() => answer,
        };
        match answer {
            Ok(Some(reply)) => {
                backoff.reset();
                session.answered(reply);
            }
            Ok(None) => return Status::unavailable("the OSD closed the op stream"),
            Err(status) => return status,
        }
    }
}
