//! What operators do beside the clients: verbs of `rbd-client`, each a process of its own, on images that nobody else has open.

use std::sync::Arc;

use anyhow::Result;
use check::{Operation, Outcome};
use fastrand::Rng;
use harness::osd::spec;
use tokio_util::sync::CancellationToken;

use crate::{
    calls,
    recorder::BLOCK_BYTES,
    setup::OBJECT_BYTES,
    stage::Stage,
    workload::{Deck, draw_size},
};

/// Longest pause between two errands.
const PAUSE_MAX_MS: u64 = 200;
/// Size of the images that are made empty.
const MADE_BYTES: u64 = 4 * BLOCK_BYTES;

/// A step of whoever makes, clones, flattens and removes images by verbs; its parts are drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Makes an image, sometimes twice at once, and removes it.
    Create,
    /// Clones a snapshot that the clients' image comes from, changes the clone, and clones it once more.
    Clone,
    /// Flattens a clone, often twice at once.
    Flatten,
    /// Protects a snapshot of a clone and takes that back, often twice at once.
    Protect,
    /// Removes a snapshot that was cloned: it must not go while somebody needs it.
    SnapRemove,
    /// Gives a clone and one of its snapshots another name.
    Rename,
    /// Removes a clone with its snapshots, one by one or all at once.
    Remove,
}

const ERRANDS: [(Errand, usize); 7] = [
    (Errand::Create, 1),
    (Errand::Clone, 3),
    (Errand::Flatten, 2),
    (Errand::Protect, 1),
    (Errand::SnapRemove, 1),
    (Errand::Rename, 1),
    (Errand::Remove, 1),
];

impl Deck<Errand> {
    /// Of an operator.
    pub fn errands() -> Self {
        Self::of(&ERRANDS)
    }
}

/// One stream of verbs.
pub struct Errands {
    stage: Arc<Stage>,
    names: String,
    rng: Rng,
    stop: CancellationToken,
    /// Images that it has named until now.
    named: u64,
    clones: Vec<Side>,
}

/// A clone of its own.
struct Side {
    image: String,
    /// Names that its snapshots may have.
    snaps: Vec<String>,
    /// How many such names there were.
    taken: u64,
}

impl Side {
    fn fresh_snapshot(&mut self) -> String {
        self.taken += 1;
        let snap = format!("s{}", self.taken);
        self.snaps.push(snap.clone());
        snap
    }
}

impl Errands {
    /// `names` tells its images from those of others; `stop` ends it between two errands.
    pub fn new(stage: Arc<Stage>, names: String, rng: Rng, stop: CancellationToken) -> Self {
        Self { stage, names, rng, stop, named: 0, clones: Vec::new() }
    }

    /// One errand after the other.
    pub async fn run(mut self) -> Result<()> {
        let mut deck = Deck::errands();
        while !self.stop.is_cancelled() {
            let errand = deck.draw(&mut self.rng);
            self.errand(errand).await?;
            let pause = std::time::Duration::from_millis(self.rng.u64(0..=PAUSE_MAX_MS));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    async fn errand(&mut self, errand: Errand) -> Result<()> {
        match errand {
            Errand::Create => self.create().await,
            Errand::Clone => self.clone_image().await,
            Errand::Flatten => self.flatten().await,
            Errand::SnapRemove => self.remove_a_parents_snapshot().await,
            Errand::Protect => self.protect().await,
            Errand::Rename => self.rename_a_clone().await,
            Errand::Remove => self.remove_a_clone().await,
        }
    }

    fn fresh_name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what}-{}-{}", self.names, self.named)
    }

    /// Another one may try to make the same.
    async fn create(&mut self) -> Result<()> {
        let image = self.fresh_name("made");
        let (size, object) = (format!("{MADE_BYTES}B"), OBJECT_BYTES.to_string());
        let verb = ["create", "--size", &size, "--object-size", &object, &spec(&image)];
        self.once_or_twice(&image, Operation::Create { size: MADE_BYTES }, &verb).await?;
        self.remove(&image).await
    }

    async fn remove(&self, image: &str) -> Result<()> {
        calls::verb(&self.stage, image, Operation::Remove, &["rm", "--no-progress", &spec(image)]).await?;
        Ok(())
    }

    /// Of a snapshot of the family, or of a clone: a chain that grows.
    async fn clone_image(&mut self) -> Result<()> {
        let Some((parent, snap)) = self.some_source().await? else { return Ok(()) };
        let image = self.fresh_name("side");
        let (source, target, object) =
            (format!("{}@{snap}", spec(&parent)), spec(&image), OBJECT_BYTES.to_string());
        let verb = ["clone", "--object-size", &object, &source, &target];
        let operation = Operation::Clone { parent: spec(&parent), snap };
        let made = calls::verb(&self.stage, &image, operation, &verb).await?;
        if matches!(made, Outcome::Error { .. }) {
            return Ok(());
        }
        if self.rng.u8(0..3) == 0 {
            let size = draw_size(&mut self.rng, &self.stage.setting.shape, OBJECT_BYTES);
            let bytes = format!("{size}B");
            let verb = ["resize", "--no-progress", "--allow-shrink", "--size", &bytes, &target];
            calls::verb(&self.stage, &image, Operation::Resize { size }, &verb).await?;
        }
        self.clones.push(Side { image, snaps: Vec::new(), taken: 0 });
        Ok(())
    }

    async fn some_source(&mut self) -> Result<Option<(String, String)>> {
        let family = self.stage.family();
        let count = family.len() + self.clones.len();
        if count == 0 {
            return Ok(None);
        }
        let choice = self.rng.usize(0..count);
        if let Some(source) = family.get(choice) {
            return Ok(Some(source.clone()));
        }
        self.snapshot_of(choice - family.len()).await
    }

    /// Takes a snapshot of one of its clones: the clone and the snapshot.
    async fn snapshot_of(&mut self, place: usize) -> Result<Option<(String, String)>> {
        let side = &mut self.clones[place];
        let snap = side.fresh_snapshot();
        let image = side.image.clone();
        let verb = ["snap", "create", &format!("{}@{snap}", spec(&image))];
        let made =
            calls::verb(&self.stage, &image, Operation::SnapCreate { snap: snap.clone() }, &verb).await?;
        Ok(matches!(made, Outcome::Ok { .. }).then_some((image, snap)))
    }

    async fn protect(&mut self) -> Result<()> {
        let Some(place) = self.some_clone() else { return Ok(()) };
        let Some((image, snap)) = self.snapshot_of(place).await? else { return Ok(()) };
        let source = format!("{}@{snap}", spec(&image));
        let protect = Operation::SnapProtect { snap: snap.clone() };
        self.once_or_twice(&image, protect, &["snap", "protect", &source]).await?;
        self.once_or_twice(&image, Operation::SnapUnprotect { snap }, &["snap", "unprotect", &source]).await
    }

    async fn once_or_twice(&mut self, image: &str, operation: Operation, verb: &[&str]) -> Result<()> {
        let call = || calls::verb(&self.stage, image, operation.clone(), verb);
        if self.rng.bool() {
            tokio::try_join!(call(), call())?;
        } else {
            call().await?;
        }
        Ok(())
    }

    fn some_clone(&mut self) -> Option<usize> {
        (!self.clones.is_empty()).then(|| self.rng.usize(0..self.clones.len()))
    }

    async fn flatten(&mut self) -> Result<()> {
        let Some(place) = self.some_clone() else { return Ok(()) };
        let image = self.clones[place].image.clone();
        self.once_or_twice(&image, Operation::Flatten, &["flatten", "--no-progress", &spec(&image)]).await
    }

    async fn remove_a_parents_snapshot(&mut self) -> Result<()> {
        let family = self.stage.family_to_remove();
        if family.is_empty() {
            return Ok(());
        }
        let (image, snap) = family[self.rng.usize(0..family.len())].clone();
        if matches!(self.remove_snapshot(&image, &snap, true).await?, Outcome::Ok { .. }) {
            self.stage.uncloned(&image, &snap);
        }
        Ok(())
    }

    async fn remove_snapshot(&self, image: &str, snap: &str, is_protected: bool) -> Result<Outcome> {
        let source = format!("{}@{snap}", spec(image));
        let of = || snap.to_owned();
        if is_protected {
            let verb = ["snap", "unprotect", &source];
            calls::verb(&self.stage, image, Operation::SnapUnprotect { snap: of() }, &verb).await?;
        }
        let verb = ["snap", "rm", "--no-progress", &source];
        calls::verb(&self.stage, image, Operation::SnapRemove { snap: of() }, &verb).await
    }

    /// What it is called when that failed is known to nobody here: it is left alone.
    async fn rename_a_clone(&mut self) -> Result<()> {
        let Some(place) = self.some_clone() else { return Ok(()) };
        if let Some((image, snap)) = self.snapshot_of(place).await? {
            self.rename_snapshot(place, &image, snap).await?;
        }
        let Side { image, snaps, taken } = self.clones.swap_remove(place);
        let to = self.fresh_name("side");
        let verb = ["rename", &spec(&image), &spec(&to)];
        let renamed = calls::verb(&self.stage, &image, Operation::Rename { to: spec(&to) }, &verb).await?;
        if matches!(renamed, Outcome::Ok { .. }) {
            self.clones.push(Side { image: to, snaps, taken });
        }
        Ok(())
    }

    async fn rename_snapshot(&mut self, place: usize, image: &str, snap: String) -> Result<()> {
        let to = self.clones[place].fresh_snapshot();
        let (source, target) = (format!("{}@{snap}", spec(image)), format!("{}@{to}", spec(image)));
        let rename = Operation::SnapRename { snap, to };
        calls::verb(&self.stage, image, rename, &["snap", "rename", &source, &target]).await?;
        Ok(())
    }

    /// With its snapshots; somebody may have cloned them.
    async fn remove_a_clone(&mut self) -> Result<()> {
        let Some(place) = self.some_clone() else { return Ok(()) };
        let Side { image, snaps, .. } = self.clones.swap_remove(place);
        if self.rng.bool() {
            let verb = ["snap", "purge", "--no-progress", &spec(&image)];
            calls::verb(&self.stage, &image, Operation::SnapPurge, &verb).await?;
        } else {
            for snap in snaps {
                self.remove_snapshot(&image, &snap, false).await?;
            }
        }
        self.remove(&image).await
    }
}
