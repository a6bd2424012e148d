//! The maintenance that a client is asked for, over and over: what there is of it, how often it comes up, and what each is.

use std::time::Duration;

use anyhow::Result;
use check::{Operation, Outcome};
use harness::osd::spec;

use crate::{
    calls,
    recorder::BLOCK_BYTES,
    setup::OBJECT_BYTES,
    worker::Worker,
    workload::{Deck, draw_object},
};

/// Longest pause between two chores.
const CHORE_PAUSE_MAX_MS: u64 = 400;
/// Longest time that a lock taken by hand is kept.
const HOLD_MAX_MS: u64 = 300;
/// How long a caller waits for a clone who waits for its end.
const PATIENT_MS: u64 = 60_000;

/// A maintenance step; its parts are drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Takes a snapshot.
    SnapCreate,
    /// Removes one, if there is any.
    SnapRemove,
    /// Gives one another name.
    SnapRename,
    /// Removes all that are not protected.
    SnapPurge,
    /// Reads one through a process of its own.
    SnapRead,
    /// Clones one through the client, with little patience.
    Clone,
    /// Makes HEAD what one is, and reads it.
    SnapRollback,
    /// Protects one, and takes that back; often twice at once.
    SnapProtect,
    /// Gives the image another name.
    Rename,
    /// Changes the size.
    Resize,
    /// Flattens the image while one of its objects is written, overwritten and discarded.
    Flatten,
    /// Takes the lock by hand, keeps it for a while, and gives it back.
    HoldLock,
}

/// How often each chore comes up in a deck.
const CHORES: [(Chore, usize); 12] = [
    (Chore::Flatten, 1),
    (Chore::SnapCreate, 4),
    (Chore::SnapRemove, 1),
    (Chore::SnapRename, 1),
    (Chore::SnapPurge, 1),
    (Chore::SnapRead, 1),
    (Chore::SnapRollback, 1),
    (Chore::SnapProtect, 1),
    (Chore::Rename, 1),
    (Chore::Resize, 1),
    (Chore::Clone, 1),
    (Chore::HoldLock, 1),
];

/// Who is given chores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// A client of an image that only rbd-clients have open.
    Alone,
    /// An rbd-client of an image that a librbd has open too.
    BesideLibrbd,
    /// That librbd.
    Librbd,
}

impl Hand {
    /// What librbd does in steps of which each may be its last leaves something behind: a renaming the image's id under two names, or under
    /// neither; a clone a child without an entry at its parent. It is asked for neither, also not by way of the lock's owner. It keeps no
    /// record of a request, and makes a snapshot once more when an owner has made it and a purge has taken it: nobody purges beside it. A
    /// rollback that is interrupted lets a write go that has waited for it, when the lock has gone (docs/hazards.md, 12). Nor is it to take
    /// the lock by hand: that call was seen never to return, beside others that need the lock.
    fn does(self, chore: Chore) -> bool {
        match self {
            Self::Alone => true,
            Self::BesideLibrbd => !matches!(chore, Chore::Rename | Chore::SnapPurge),
            Self::Librbd => {
                Self::BesideLibrbd.does(chore)
                    && !matches!(chore, Chore::Clone | Chore::SnapRollback | Chore::HoldLock)
            }
        }
    }
}

impl Deck<Chore> {
    /// Of a client.
    pub fn chores(hand: Hand) -> Self {
        // Beside a librbd, which is asked for none, it rolls back for all.
        let often = |chore| if hand == Hand::BesideLibrbd && chore == Chore::SnapRollback { 3 } else { 1 };
        let does = CHORES.iter().filter(|(chore, _)| hand.does(*chore));
        Self::of(&does.map(|&(chore, count)| (chore, count * often(chore))).collect::<Vec<_>>())
    }
}

impl Worker {
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
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn nobody_renames_or_purges_an_image_that_a_librbd_has_open() {
        for hand in [Hand::BesideLibrbd, Hand::Librbd] {
            for chore in [Chore::Rename, Chore::SnapPurge] {
                assert!(!Deck::chores(hand).all.contains(&chore), "{hand:?} {chore:?}");
            }
        }
        assert!(Deck::chores(Hand::BesideLibrbd).all.contains(&Chore::Clone));
        for chore in [Chore::Clone, Chore::SnapRollback] {
            assert!(!Deck::chores(Hand::Librbd).all.contains(&chore), "{chore:?}");
        }
    }

    #[test]
    fn every_chore_comes_up_in_each_deck() {
        let mut rng = Rng::with_seed(1);
        let mut deck = Deck::chores(Hand::Alone);
        let size = deck.all.len();
        for _ in 0..3 {
            let drawn: Vec<_> = (0..size).map(|_| deck.draw(&mut rng)).collect();
            assert!(CHORES.iter().all(|(chore, _)| drawn.contains(chore)));
        }
    }
}
