//! What a client is asked to do, over and over, until it is told to stop.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use check::{Operation, Outcome};
use fastrand::Rng;
use harness::{osd::spec, remote::no_limits};
use proto::rbd::v1::CallLimits;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    calls,
    recorder::BLOCK_BYTES,
    seat::Seat,
    setup::OBJECT_BYTES,
    stage::Stage,
    workload::{Chore, Deck, Hand, draw_io, draw_object},
};

/// Longest pause between two chores.
const CHORE_PAUSE_MAX_MS: u64 = 400;
/// Longest time that a lock taken by hand is kept.
const HOLD_MAX_MS: u64 = 300;
/// How long a caller waits for a clone who waits for its end.
const PATIENT_MS: u64 = 60_000;
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

    /// Maintenance.
    pub async fn chores(mut self) -> Result<()> {
        let hand = match (self.stage.is_across(), self.seat.is_librbd()) {
            (_, true) => Hand::Librbd,
            (true, false) => Hand::BesideLibrbd,
            (false, false) => Hand::Alone,
        };
        let mut deck = Deck::chores(hand);
        while !self.stop.is_cancelled() {
            self.pause(CHORE_PAUSE_MAX_MS).await;
            let chore = deck.draw(&mut self.rng);
            self.chore(chore).await?;
        }
        Ok(())
    }

    async fn chore(&mut self, chore: Chore) -> Result<()> {
        let rng = &mut self.rng;
        match chore {
            Chore::Flatten => self.flatten().await?,
            Chore::Resize => {
                let size = self.stage.draw_size(rng);
                self.maintain(Operation::Resize { size }).await?;
            }
            Chore::SnapCreate => drop(self.snap_create().await?),
            Chore::SnapRemove => {
                if let Some(snap) = self.stage.take_snapshot(|count| rng.usize(0..count)) {
                    self.maintain(Operation::SnapRemove { snap }).await?;
                }
            }
            Chore::SnapRead => {
                if let Some(snap) = self.some_snapshot() {
                    self.read_snapshot(&snap).await?;
                }
            }
            Chore::SnapRollback => {
                if let Some(snap) = self.some_snapshot() {
                    self.maintain(Operation::SnapRollback { snap: snap.clone() }).await?;
                    // What HEAD holds from here on is known from the snapshot.
                    self.read_snapshot(&snap).await?;
                }
            }
            // librbd writes a protection over what it has read before, whatever somebody else made of it meanwhile.
            Chore::SnapProtect if self.seat.is_librbd() => self.protect_its_own().await?,
            Chore::SnapProtect => {
                if let Some(snap) = self.some_snapshot() {
                    self.once_or_twice(Operation::SnapProtect { snap: snap.clone() }).await?;
                    self.once_or_twice(Operation::SnapUnprotect { snap }).await?;
                }
            }
            Chore::SnapRename => self.rename_snapshot().await?,
            Chore::SnapPurge => {
                self.stage.forget_snapshots();
                let image = self.stage.image_name().await?;
                let verb = ["snap", "purge", "--no-progress", &spec(&image)];
                calls::verb(&self.stage, &image, Operation::SnapPurge, &verb).await?;
            }
            Chore::Rename => {
                let to = spec(&self.stage.fresh_image_name());
                self.maintain(Operation::Rename { to }).await?;
            }
            Chore::Clone => self.clone_snapshot().await?,
            Chore::HoldLock => self.hold_lock().await?,
        }
        Ok(())
    }

    /// A snapshot that nobody else knows of yet.
    async fn protect_its_own(&mut self) -> Result<()> {
        let snap = self.stage.fresh_snapshot();
        let made = self.maintain(Operation::SnapCreate { snap: snap.clone() }).await?;
        if matches!(made, Outcome::Ok { .. }) {
            self.act(Operation::SnapProtect { snap: snap.clone() }).await?;
            self.act(Operation::SnapUnprotect { snap: snap.clone() }).await?;
            self.stage.snapshot_made(&snap);
        }
        Ok(())
    }

    fn some_snapshot(&mut self) -> Option<String> {
        let rng = &mut self.rng;
        self.stage.some_snapshot(|count| rng.usize(0..count))
    }

    async fn read_snapshot(&self, snap: &str) -> Result<()> {
        let length = self.stage.setting.shape.size_max();
        calls::export(&self.stage, &self.stage.image_name().await?, Some(snap), length).await?;
        Ok(())
    }

    async fn maintain(&mut self, operation: Operation) -> Result<Outcome> {
        let limits = self.draw_limits();
        let gid = self.seat.gid();
        let outcome = calls::maintenance(&self.stage, &self.seat, operation, limits, |_| ()).await?;
        self.after(&outcome, gid).await?;
        Ok(outcome)
    }

    /// librbd knows none.
    fn draw_limits(&mut self) -> CallLimits {
        if self.seat.is_librbd() {
            return no_limits();
        }
        let deadline_ms = match self.rng.u32(0..DEADLINE_ONE_IN) {
            0 => self.rng.u64(50..3_000),
            _ => 0,
        };
        CallLimits { attempts_max: 0, deadline_ms }
    }

    async fn snap_create(&mut self) -> Result<Option<String>> {
        let snap = self.stage.fresh_snapshot();
        let outcome = self.maintain(Operation::SnapCreate { snap: snap.clone() }).await?;
        let is_made = matches!(outcome, Outcome::Ok { .. });
        Ok(is_made.then(|| {
            self.stage.snapshot_made(&snap);
            snap
        }))
    }

    /// By a process of its own, as it is not forwarded. What it is called when that failed is known to nobody here.
    async fn rename_snapshot(&mut self) -> Result<()> {
        let rng = &mut self.rng;
        let Some(snap) = self.stage.take_snapshot(|count| rng.usize(0..count)) else { return Ok(()) };
        let (image, to) = (self.stage.image_name().await?, self.stage.fresh_snapshot());
        let (source, target) = (format!("{}@{snap}", spec(&image)), format!("{}@{to}", spec(&image)));
        let rename = Operation::SnapRename { snap, to: to.clone() };
        let renamed = calls::verb(&self.stage, &image, rename, &["snap", "rename", &source, &target]).await?;
        if matches!(renamed, Outcome::Ok { .. }) {
            self.stage.snapshot_made(&to);
        }
        Ok(())
    }

    /// A clone of a snapshot of its own; half of the callers do not wait for its end.
    async fn clone_snapshot(&mut self) -> Result<()> {
        let Some(snap) = self.snap_create().await? else { return Ok(()) };
        let image = self.stage.image_name().await?;
        let child = format!("{}-{snap}", self.image());
        let patience = Duration::from_millis(if self.rng.bool() { self.rng.u64(1..30) } else { PATIENT_MS });
        let parent = (image.as_str(), snap.as_str());
        let gid = self.seat.gid();
        let outcome = calls::clone_through(&self.stage, &self.seat, parent, &child, patience).await?;
        self.after(&outcome, gid).await
    }

    /// A part of an object is written, and all of it, and half of the image is discarded when the flatten has succeeded: what a late copy of
    /// the parent's data would bring back is seen. Half of the time nobody else can write meanwhile.
    async fn flatten(&mut self) -> Result<()> {
        let shape = &self.stage.setting.shape;
        let (offset, length) = draw_object(&mut self.rng, shape, OBJECT_BYTES);
        let smallest = shape.size() / 2;
        let tag = || self.stage.recorder.fresh_tag();
        let part = Operation::Write { offset, length: BLOCK_BYTES, tag: tag() };
        let whole = Operation::Write { offset, length, tag: tag() };
        let (is_alone, limits) = (self.rng.bool(), self.draw_limits());
        let is_alone = is_alone && !self.seat.is_librbd();
        let is_held = is_alone && matches!(self.act(Operation::Acquire).await?, Outcome::Ok { .. });
        let gid = self.seat.gid();
        let flattened = async {
            let outcome =
                calls::maintenance(&self.stage, &self.seat, Operation::Flatten, limits, |_| ()).await?;
            if matches!(outcome, Outcome::Ok { .. }) {
                self.act(Operation::Discard { offset: 0, length: smallest }).await?;
            }
            anyhow::Ok(outcome)
        };
        let (_, _, outcome) = tokio::try_join!(self.act(part), self.act(whole), flattened)?;
        self.after(&outcome, gid).await?;
        self.act(Operation::Read { offset: 0, length: smallest, snap: None }).await?;
        if is_held {
            self.act(Operation::Release).await?;
        }
        Ok(())
    }

    async fn once_or_twice(&mut self, operation: Operation) -> Result<()> {
        if self.rng.bool() {
            tokio::try_join!(self.act(operation.clone()), self.act(operation))?;
        } else {
            self.act(operation).await?;
        }
        Ok(())
    }

    async fn hold_lock(&mut self) -> Result<()> {
        if matches!(self.act(Operation::Acquire).await?, Outcome::Ok { .. }) {
            self.pause(HOLD_MAX_MS).await;
            self.act(Operation::Release).await?;
        }
        Ok(())
    }

    async fn act(&self, operation: Operation) -> Result<Outcome> {
        let gid = self.seat.gid();
        let outcome = calls::io(&self.stage, &self.seat, operation).await?;
        self.after(&outcome, gid).await?;
        Ok(outcome)
    }

    /// A client that was fenced opens its image anew.
    async fn after(&self, outcome: &Outcome, gid: u64) -> Result<()> {
        if calls::needs_reopen(outcome) { calls::revive(&self.stage, &self.seat, gid).await } else { Ok(()) }
    }

    fn image(&self) -> &str {
        self.seat.image_name()
    }

    async fn pause(&mut self, max_ms: u64) {
        let pause = Duration::from_millis(self.rng.u64(0..=max_ms));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
}
