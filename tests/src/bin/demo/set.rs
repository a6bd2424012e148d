use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result};
use harness::{client::Client, process::Process};
use system_tests::{
    ext4,
    model::Model,
    play::{
        acts::BOUND,
        report::Played,
        trial::{CloneOf, Player, Setting, Trial},
    },
};

use crate::{
    options::Scene,
    stage::{BASE, Stage},
};

/// A [`Trial`] on a fresh clone, and the processes of its clients.
pub(crate) struct Set<'a> {
    trial: Trial<'a>,
    clients: Vec<Client>,
    image: String,
    spoils_bytes: bool,
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
        let setting = Setting {
            clone: CloneOf { parent: BASE.to_owned(), snapshot, image: image.clone() },
            players: clients.iter().map(player).collect(),
            model: Model::of(&stage.ext4.path)?,
            blocks: stage.ext4.reserved.clone(),
            begin,
        };
        let trial = Trial::begin(cluster, scene.title(), setting).await?;
        // Scene e is spoiled by its fencing option instead.
        Ok(Self { trial, clients, image, spoils_bytes: breaks && scene != Scene::Frozen })
    }

    /// The process of client `number`, from 1.
    pub(crate) fn process(&self, number: usize) -> &Process {
        &self.clients[number - 1].process
    }

    /// The trial, and the process of client 1 to be ended in it.
    pub(crate) fn with_process_1(&mut self) -> (&mut Trial<'a>, &mut Process) {
        (&mut self.trial, &mut self.clients[0].process)
    }

    /// Ends the clients, judges the bytes and the parent, and tells what happened.
    pub(crate) async fn finish(mut self, acted: Result<bool>) -> Played {
        let judged = match acted {
            Ok(flattened) => self.judge(flattened).await.context("judging the outcome"),
            Err(error) => Err(error),
        };
        if judged.is_err() {
            let said: Vec<String> = self.clients.iter().map(|client| client.process.said()).collect();
            for (number, said) in (1..).zip(said).filter(|(_, said)| !said.is_empty()) {
                let last = said.lines().last().unwrap_or_default().to_owned();
                self.check(&format!("last words of client {number}"), false, last);
            }
        }
        self.trial.end(judged).await
    }

    async fn judge(&mut self, flattened: bool) -> Result<()> {
        self.close_clients().await?;
        self.judge_left_behind().await?;
        self.judge_image().await?;
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

    async fn judge_image(&mut self) -> Result<()> {
        let file = self.verbs.export(&self.image).await?;
        let spoils = self.spoils_bytes;
        self.judge_bytes("the exported image", &file, spoils)?;
        let fsck = ext4::check(&file).await?;
        let last =
            fsck.stdout.lines().last().unwrap_or_default().replace(&format!("{}: ", file.display()), "");
        self.check("e2fsck -fn is clean", fsck.status == 0, format!("exit status {}: {last}", fsck.status));
        std::fs::remove_file(&file)?;
        Ok(())
    }
}

fn player(client: &Client) -> Player {
    Player { name: client.name().to_owned(), gid: client.gid, remote: client.remote() }
}

impl<'a> Deref for Set<'a> {
    type Target = Trial<'a>;

    fn deref(&self) -> &Trial<'a> {
        &self.trial
    }
}

impl DerefMut for Set<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.trial
    }
}
