use std::{sync::Arc, time::Duration};

use clock::{Advance, Clock, Manual, StepLimit};
use errno::Errno;
use proto::clock::v1 as wire;
use rpc::clock::clock_server;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tonic::{Request, Response, Status};

use super::{held_image::HeldImage, wire::status};
use crate::{duration::millis, failure::Failure};

/// Service Clock: time passes for this client, its timers run, and its watch stays alive.
pub(super) struct ClockService {
    held: Arc<HeldImage>,
    started: Instant,
    /// One call advances the clock at a time.
    advancing: Mutex<()>,
}

impl ClockService {
    /// The clock is the one that the image's sessions go by.
    pub(super) fn new(held: Arc<HeldImage>) -> Self {
        let started = held.session_config().clock.now();
        Self { held, started, advancing: Mutex::default() }
    }

    fn clock(&self) -> &Clock {
        &self.held.session_config().clock
    }

    fn manual(&self) -> Result<&Manual, Failure> {
        let text = "the clock is real: start rbd-client serve with --clock manual";
        match self.clock() {
            Clock::Manual(manual) => Ok(manual),
            Clock::Real => Err(Failure::new(Errno::EPERM, text)),
        }
    }

    fn step_limit(&self) -> StepLimit {
        let config = self.held.session_config();
        let (below, default) = (config.watch_silence_max(), config.ping_interval);
        StepLimit { rule: "objecter_timeout, the silence that ends a watch stream", below, default }
    }

    async fn advance(&self, request: wire::AdvanceClockRequest) -> Result<wire::AdvanceClockReply, Failure> {
        let manual = self.manual()?;
        let _alone = self.advancing.lock().await;
        let wire::AdvanceClockRequest { by_ms, step_ms, patience_ms } = request;
        let advance = Advance::new(by_ms, step_ms, patience_ms, self.step_limit());
        let advance = advance.map_err(|rule| Failure::new(Errno::EINVAL, rule.to_string()))?;
        let mut is_heard = true;
        for step in advance.steps() {
            manual.advance(step).await;
            // An OSD that has not answered once is not waited for again.
            if is_heard {
                is_heard = self.hear_osd(advance.patience).await;
            }
        }
        let silent = if is_heard { Vec::new() } else { vec![self.own_watch()] };
        Ok(wire::AdvanceClockReply { now_ms: self.now_ms(), silent })
    }

    /// Whether the OSD has answered in time; in real time. A watch stream that is lost is no silent one.
    async fn hear_osd(&self, patience: Duration) -> bool {
        let rados = self.held.current().rados;
        timeout(patience, rados.ping_watches()).await.is_ok()
    }

    fn own_watch(&self) -> wire::SilentWatch {
        let current = self.held.current();
        wire::SilentWatch {
            gid: current.rados.gid(),
            cookie: current.image.watch_handle(),
            name: self.held.session_config().client_name.clone(),
            pool: self.held.pool().to_owned(),
            object: current.image.header_object().to_owned(),
        }
    }

    fn now_ms(&self) -> u64 {
        millis(self.clock().now() - self.started)
    }
}

#[tonic::async_trait]
impl clock_server::Clock for ClockService {
    async fn advance_clock(
        &self,
        request: Request<wire::AdvanceClockRequest>,
    ) -> Result<Response<wire::AdvanceClockReply>, Status> {
        self.advance(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn get_clock(
        &self,
        _: Request<wire::GetClockRequest>,
    ) -> Result<Response<wire::GetClockReply>, Status> {
        let limit = self.step_limit();
        Ok(Response::new(wire::GetClockReply {
            manual: self.manual().is_ok(),
            now_ms: self.now_ms(),
            step_ms: millis(limit.default),
            step_below_ms: millis(limit.below),
        }))
    }
}
