//! A scene under way: who plays, what must come of it, and what was found until now.

use std::{ops::Deref, path::Path};

use anyhow::{Context, Result};
use harness::{
    check::Check,
    osd::{header_of, spec},
    remote::Remote,
    story::Story,
    timeline::{self, Cast},
    verbs::Verbs,
};

use super::report::{Played, Title};
use crate::model::{self, BLOCK_BYTES, Model};

/// A serving client in a scene: a [`Remote`] with a name.
#[derive(Clone, Debug)]
pub struct Player {
    /// What it is called in the timeline.
    pub name: String,
    /// Its client instance when the scene began.
    pub gid: u64,
    /// The connection to it.
    pub remote: Remote,
}

impl Deref for Player {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

/// The clone that a scene is played on.
#[derive(Clone, Debug)]
pub struct CloneOf {
    /// Name of the parent.
    pub parent: String,
    /// Name of the parent's snapshot.
    pub snapshot: String,
    /// Name of the clone.
    pub image: String,
}

impl CloneOf {
    /// `rbd/PARENT@SNAPSHOT`.
    fn parent_spec(&self) -> String {
        format!("{}@{}", spec(&self.parent), self.snapshot)
    }
}

/// What a scene begins with.
pub struct Setting {
    /// What the players have open.
    pub clone: CloneOf,
    /// "client 1" and so on.
    pub players: Vec<Player>,
    /// What the clone holds.
    pub model: Model,
    /// Its blocks that may be overwritten.
    pub blocks: Vec<u64>,
    /// Number of the newest event before the scene.
    pub begin: u64,
}

/// A scene that is judged.
pub struct Trial<'a> {
    /// The OSD.
    pub verbs: &'a Verbs,
    /// "client 1" and so on.
    pub players: Vec<Player>,
    /// What the image must hold.
    pub model: Model,
    /// Who is who in the timeline.
    pub cast: Cast,
    /// Object that carries lock and watches.
    pub header: String,
    /// What the players have open.
    pub clone: CloneOf,
    blocks: Vec<u64>,
    begin: u64,
    played: Played,
}

impl<'a> Trial<'a> {
    /// Begins the scene.
    pub async fn begin(verbs: &'a Verbs, title: Title, setting: Setting) -> Result<Trial<'a>> {
        let Setting { clone, players, model, blocks, begin } = setting;
        let id = players.first().context("a scene has players")?.info().await?.id;
        let mut cast = Cast::new(&id);
        for player in &players {
            cast.name(player.gid, &player.name);
        }
        let (header, played) = (header_of(&id), Played::new(title));
        Ok(Self { verbs, players, model, cast, header, clone, blocks, begin, played })
    }

    /// Client `number`, from 1.
    pub fn client(&self, number: usize) -> &Player {
        &self.players[number - 1]
    }

    /// Makes a statement and says what was found.
    pub fn check(&mut self, what: &str, passed: bool, found: impl Into<String>) {
        self.played.checks.push(Check { what: what.to_owned(), passed, found: found.into() });
    }

    /// What these client instances are called.
    pub fn named(&self, gids: &[u64]) -> String {
        let names: Vec<String> = gids.iter().map(|&gid| self.cast.of(gid)).collect();
        names.join(", ")
    }

    /// What happened in the scene until now.
    pub async fn story(&self) -> Result<Story> {
        Story::since(&self.verbs.log, self.begin, &self.header).await
    }

    /// How many blocks may be overwritten.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The block of this index among those that may be overwritten.
    pub fn block(&self, index: usize) -> u64 {
        self.blocks[index]
    }

    /// The clients have ended: the header knows none of them.
    pub async fn judge_left_behind(&mut self) -> Result<()> {
        let watchers = self.verbs.watchers(&self.header).await?.len();
        let lockers = self.verbs.lock(&self.header).await?.lockers.len();
        let found = format!("{watchers} watches, {lockers} locks");
        self.check("clients that closed leave nothing behind", watchers + lockers == 0, found);
        Ok(())
    }

    /// `file` is what `source` gave as the image's content. With `spoil` one byte of it is inverted first.
    pub fn judge_bytes(&mut self, source: &str, file: &Path, spoil: bool) -> Result<()> {
        if spoil {
            model::spoil(file, self.block(0) * BLOCK_BYTES + 1)?;
        }
        let difference = self.model.compare(file)?;
        let size = file.metadata()?.len();
        let found = match &difference {
            Some(difference) => difference.to_string(),
            None => format!("{size} bytes, blocks written in the scene: {}", self.model.blocks_written()),
        };
        let what = format!("{source} equals the model byte for byte");
        self.check(&what, difference.is_none(), found);
        self.played.sha256 = model::sha256(file)?;
        Ok(())
    }

    /// Neither the clone nor the parent knows of the other any more, and the parent's snapshot can go.
    pub async fn judge_detached(&mut self) -> Result<()> {
        let CloneOf { parent, snapshot, image } = &self.clone;
        let info = self.verbs.rbd_ok(&["info", "--format", "json", &spec(image)]).await?;
        let info: serde_json::Value = serde_json::from_str(&info).context("info as JSON")?;
        let has_parent = info.get("parent").is_some_and(|parent| !parent.is_null());
        let children = self.verbs.children(parent, snapshot).await?;
        let parent = self.clone.parent_spec();
        let unprotected = self.verbs.rbd(&["snap", "unprotect", &parent]).await?;
        let removed = self.verbs.rbd(&["snap", "rm", &parent]).await?;
        let found = format!("child has a parent: {has_parent}, children of the parent: {children:?}");
        self.check("the parent is gone from both ends", !has_parent && children.is_empty(), found);
        let found = format!("exit status {} and {}", unprotected.status, removed.status);
        let is_gone = unprotected.status == 0 && removed.status == 0;
        self.check("the parent snapshot can be unprotected and removed", is_gone, found);
        Ok(())
    }

    /// The clone still needs its parent.
    pub async fn judge_attached(&mut self) -> Result<()> {
        let CloneOf { parent, snapshot, .. } = &self.clone;
        let children = self.verbs.children(parent, snapshot).await?;
        let found = format!("children of the parent: {children:?}");
        self.check("the parent snapshot is still needed", !children.is_empty(), found);
        Ok(())
    }

    /// The verdict and the story. An error of the play is a failed check.
    pub async fn end(mut self, outcome: Result<()>) -> Played {
        if let Err(error) = outcome {
            self.check("the scene was played to its end", false, format!("{error:#}"));
        }
        let log = &self.verbs.log;
        let events = match log.catch_up().await {
            Ok(_) | Err(_) => log.after(self.begin),
        };
        self.played.timeline = timeline::lines(&events, &self.cast, &[]);
        self.played.passed =
            !self.played.checks.is_empty() && self.played.checks.iter().all(|check| check.passed);
        self.played
    }
}
