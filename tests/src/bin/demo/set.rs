use std::time::Duration;

use anyhow::{Context, Result};
use harness::{
    client::Client,
    osd::{header_of, spec},
    story::Story,
    timeline::{self, Cast},
};
use system_tests::{
    ext4,
    model::{self, Model},
};

use crate::{
    options::Scene,
    report::{Check, Played},
    stage::{BASE, Stage},
};

/// Bound of everything that a scene waits for.
pub(crate) const BOUND: Duration = Duration::from_secs(40);
const EBUSY: i32 = 16;

/// A fresh clone, its clients, and what must come of it.
pub(crate) struct Set<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) clients: Vec<Client>,
    pub(crate) model: Model,
    pub(crate) cast: Cast,
    /// Object that carries lock and watches.
    pub(crate) header: String,
    /// Number of the newest event before the scene.
    begin: u64,
    image: String,
    snapshot: String,
    spoils_bytes: bool,
    played: Played,
}

impl<'a> Set<'a> {
    /// Clones the base and starts three clients on the clone.
    pub(crate) async fn build(
        stage: &'a Stage,
        scene: Scene,
        options: &[&str],
        breaks: bool,
    ) -> Result<Set<'a>> {
        let cluster = &stage.cluster;
        let (image, snapshot) = (format!("clone-{}", scene.letter()), format!("snap-{}", scene.letter()));
        cluster.clone_image(BASE, &snapshot, &image).await?;
        let begin = cluster.log.catch_up().await?;
        let clients = cluster.serve_many(3, &image, options).await?;
        let id = clients[0].info().await?.id;
        let mut cast = Cast::new(&id);
        for client in &clients {
            cast.name(client.gid, client.name());
        }
        Ok(Self {
            stage,
            clients,
            model: Model::of(&stage.ext4.path)?,
            cast,
            header: header_of(&id),
            begin,
            image,
            snapshot,
            // Scene e is spoiled by its fencing option instead.
            spoils_bytes: breaks && scene != Scene::Frozen,
            played: Played::new(scene),
        })
    }

    /// Client `number`, from 1.
    pub(crate) fn client(&self, number: usize) -> &Client {
        &self.clients[number - 1]
    }

    /// Makes a statement and says what was found.
    pub(crate) fn check(&mut self, what: &str, passed: bool, found: impl Into<String>) {
        self.played.checks.push(Check { what: what.to_owned(), passed, found: found.into() });
    }

    /// What these client instances are called.
    pub(crate) fn named(&self, gids: &[u64]) -> String {
        let names: Vec<String> = gids.iter().map(|&gid| self.cast.of(gid)).collect();
        names.join(", ")
    }

    /// What happened in the scene until now.
    pub(crate) async fn story(&self) -> Result<Story> {
        Story::since(&self.stage.cluster.log, self.begin, &self.header).await
    }

    /// How many blocks the file has that may be overwritten.
    pub(crate) fn reserved_count(&self) -> usize {
        self.stage.ext4.reserved.len()
    }

    /// Block `index` of that file.
    pub(crate) fn reserved(&self, index: usize) -> u64 {
        self.stage.ext4.reserved[index]
    }

    /// Ends the clients, judges the bytes and the parent, and tells what happened.
    pub(crate) async fn finish(mut self, acted: Result<bool>) -> Played {
        let judged = match acted {
            Ok(flattened) => self.judge(flattened).await.context("judging the outcome"),
            Err(error) => Err(error),
        };
        if let Err(error) = judged {
            self.check("the scene was played to its end", false, format!("{error:#}"));
            let said: Vec<String> = self.clients.iter().map(|client| client.process.said()).collect();
            for (number, said) in (1..).zip(said).filter(|(_, said)| !said.is_empty()) {
                let last = said.lines().last().unwrap_or_default().to_owned();
                self.check(&format!("last words of client {number}"), false, last);
            }
        }
        let log = &self.stage.cluster.log;
        let events = match log.catch_up().await {
            Ok(_) | Err(_) => log.after(self.begin),
        };
        self.played.timeline = timeline::lines(&events, &self.cast, &[]);
        self.played.passed =
            !self.played.checks.is_empty() && self.played.checks.iter().all(|check| check.passed);
        self.played
    }

    async fn judge(&mut self, flattened: bool) -> Result<()> {
        self.close_clients().await?;
        let watchers = self.stage.cluster.watchers(&self.header).await?.len();
        let lockers = self.stage.cluster.lock(&self.header).await?.lockers.len();
        let found = format!("{watchers} watches, {lockers} locks");
        self.check("clients that closed leave nothing behind", watchers + lockers == 0, found);
        self.judge_bytes().await?;
        if flattened { self.judge_detached().await } else { self.judge_attached().await }
    }

    async fn close_clients(&mut self) -> Result<()> {
        for client in &mut self.clients {
            if harness::program::is_alive(client.process.pid()) {
                client.process.terminate()?;
                let status = client.process.ended(BOUND).await?;
                anyhow::ensure!(status.success(), "{} ended with {status}", client.name());
            }
        }
        Ok(())
    }

    async fn judge_bytes(&mut self) -> Result<()> {
        let file = self.stage.cluster.export(&self.image).await?;
        if self.spoils_bytes {
            model::spoil(&file, self.reserved(0) * model::BLOCK_BYTES + 1)?;
        }
        let difference = self.model.compare(&file)?;
        let size = file.metadata()?.len();
        let found = match &difference {
            Some(difference) => difference.to_string(),
            None => {
                format!("{size} bytes, blocks written in the scene: {}", self.model.blocks_written())
            }
        };
        self.check("the exported image equals the model byte for byte", difference.is_none(), found);
        let fsck = ext4::check(&file).await?;
        let last =
            fsck.stdout.lines().last().unwrap_or_default().replace(&format!("{}: ", file.display()), "");
        self.check("e2fsck -fn is clean", fsck.status == 0, format!("exit status {}: {last}", fsck.status));
        self.played.sha256 = model::sha256(&file)?;
        std::fs::remove_file(&file)?;
        Ok(())
    }

    async fn judge_detached(&mut self) -> Result<()> {
        let cluster = &self.stage.cluster;
        let parent = format!("{}@{}", spec(BASE), self.snapshot);
        let info = cluster.rbd_ok(&["info", "--format", "json", &spec(&self.image)]).await?;
        let info: serde_json::Value = serde_json::from_str(&info).context("info as JSON")?;
        let has_parent = info.get("parent").is_some_and(|parent| !parent.is_null());
        let children = cluster.children(BASE, &self.snapshot).await?;
        let unprotected = cluster.rbd(&["snap", "unprotect", &parent]).await?;
        let removed = cluster.rbd(&["snap", "rm", &parent]).await?;
        let found = format!("child has a parent: {has_parent}, children of the parent: {children:?}");
        self.check("the parent is gone from both ends", !has_parent && children.is_empty(), found);
        let found = format!("exit status {} and {}", unprotected.status, removed.status);
        let is_gone = unprotected.status == 0 && removed.status == 0;
        self.check("the parent snapshot can be unprotected and removed", is_gone, found);
        Ok(())
    }

    async fn judge_attached(&mut self) -> Result<()> {
        let parent = format!("{}@{}", spec(BASE), self.snapshot);
        let unprotected = self.stage.cluster.rbd(&["snap", "unprotect", &parent]).await?;
        let found = format!("exit status {} of unprotect", unprotected.status);
        self.check("the parent snapshot is still needed (EBUSY)", unprotected.status == EBUSY, found);
        Ok(())
    }
}
