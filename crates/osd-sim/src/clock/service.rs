use proto::clock::v1 as wire;
use rpc::clock::clock_server;
use tonic::{Request, Response, Status};

use super::ServerClock;
use crate::daemon::milliseconds;
use crate::wire::{silent_watch, status};

type Answer<T> = Result<Response<T>, Status>;

/// Service Clock.
pub(crate) struct ClockService(pub(crate) ServerClock);

#[tonic::async_trait]
impl clock_server::Clock for ClockService {
    async fn advance_clock(
        &self,
        request: Request<wire::AdvanceClockRequest>,
    ) -> Answer<wire::AdvanceClockReply> {
        let wire::AdvanceClockRequest { by_ms, step_ms, patience_ms } = request.into_inner();
        let daemon = &self.0.daemon;
        let silent = daemon.advance(by_ms, step_ms, patience_ms).await.map_err(status)?;
        let silent = silent.into_iter().map(silent_watch).collect();
        Ok(Response::new(wire::AdvanceClockReply { now_ms: daemon.now().0, silent }))
    }

    async fn get_clock(&self, _request: Request<wire::GetClockRequest>) -> Answer<wire::GetClockReply> {
        let daemon = &self.0.daemon;
        let limit = daemon.step_limit();
        Ok(Response::new(wire::GetClockReply {
            manual: daemon.manual_clock().is_ok(),
            now_ms: daemon.now().0,
            step_ms: milliseconds(limit.default),
            step_below_ms: milliseconds(limit.below),
        }))
    }
}
