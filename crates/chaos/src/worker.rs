//! What a client is asked to do, over and over, until it is told to stop.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use check::{Operation, Outcome};
use fastrand::Rng;
use harness::remote::no_limits;
use proto::rbd::v1::CallLimits;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{calls, seat::Seat, stage::Stage, workload::draw_io};

/// Of so many maintenance calls one has a deadline.
const DEADLINE_ONE_IN: u32 = 4;

/// One stream of calls to one client.
pub struct Worker {
    /// Where.
    pub stage: Arc<Stage>,
    /// Of whom.
    pub seat: Arc<Seat>,
    /// What is drawn.
    pub rng: Rng,
    /// Ends it between two calls.
    pub stop: CancellationToken,
}

impl Worker {
    /// Reads, writes, discards and flushes, with pauses of up to `pause_max_ms`.
    pub async fn io(mut self, pause_max_ms: u64) -> Result<()> {
        while !self.stop.is_cancelled() {
            let operation = draw_io(&mut self.rng, &self.stage.setting.shape, &self.stage.recorder);
            // One of librbd's was seen never to return when the lock was asked for meanwhile.
            if !(self.seat.is_librbd() && matches!(operation, Operation::Flush)) {
                self.act(operation).await?;
            }
            self.pause(pause_max_ms).await;
        }
        Ok(())
    }

    pub(crate) async fn maintain(&mut self, operation: Operation) -> Result<Outcome> {
        let limits = self.draw_limits();
        let gid = self.seat.gid();
        let outcome = calls::maintenance(&self.stage, &self.seat, operation, limits, |_| ()).await?;
        self.after(&outcome, gid).await?;
        Ok(outcome)
    }

    /// librbd knows none.
    pub(crate) fn draw_limits(&mut self) -> CallLimits {
        if self.seat.is_librbd() {
            return no_limits();
        }
        let deadline_ms = match self.rng.u32(0..DEADLINE_ONE_IN) {
            0 => self.rng.u64(50..3_000),
            _ => 0,
        };
        CallLimits { attempts_max: 0, deadline_ms }
    }

    pub(crate) async fn act(&self, operation: Operation) -> Result<Outcome> {
        let gid = self.seat.gid();
        let outcome = calls::io(&self.stage, &self.seat, operation).await?;
        self.after(&outcome, gid).await?;
        Ok(outcome)
    }

    /// A client that was fenced opens its image anew.
    pub(crate) async fn after(&self, outcome: &Outcome, gid: u64) -> Result<()> {
        if calls::needs_reopen(outcome) { calls::revive(&self.stage, &self.seat, gid).await } else { Ok(()) }
    }

    pub(crate) fn image(&self) -> &str {
        self.seat.image_name()
    }

    pub(crate) async fn pause(&mut self, max_ms: u64) {
        let pause = Duration::from_millis(self.rng.u64(0..=max_ms));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
}
