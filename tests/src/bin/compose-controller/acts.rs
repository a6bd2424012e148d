mod cut_off;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use harness::verbs::Verbs;
use system_tests::{
    model::Model,
    play::{
        acts::{BOUND, forward, hand_over, killed},
        report::Played,
        trial::{Setting, Trial},
    },
};
use tokio::time::{Instant, timeout};

use crate::{clone, fleet, host, options::Scene};

/// Bound of what happens between the start of the clients and the verdict.
const SCENE_BOUND: Duration = Duration::from_secs(120);
/// Plays one scene on a fresh clone of `base`.
pub(crate) async fn play(verbs: &Verbs, base: &Path, scene: Scene, breaks: bool) -> Played {
    let begin = Instant::now();
    let mut trial = match Box::pin(set(verbs, base, scene, breaks)).await {
        Ok(trial) => trial,
        Err(error) => return Played::unset(scene.title(), &error),
    };
    // Scene d is spoiled by the want of a fence instead.
    let spoils_bytes = breaks && scene != Scene::CutOff;
    let playing = Box::pin(act_and_judge(&mut trial, scene, spoils_bytes));
    let outcome = timeout(SCENE_BOUND, playing).await;
    let outcome = outcome
        .with_context(|| format!("the scene did not end within {SCENE_BOUND:?}"))
        .and_then(|outcome| outcome);
    let mut played = Box::pin(trial.end(outcome)).await;
    played.seconds = begin.elapsed().as_secs_f64();
    played
}

/// Has three clients started on a fresh clone.
async fn set<'a>(verbs: &'a Verbs, base: &Path, scene: Scene, breaks: bool) -> Result<Trial<'a>> {
    let image = format!("clone-{}", scene.title().letter);
    let before = verbs.log.catch_up().await?;
    host::start_clients(&image, !(breaks && scene == Scene::CutOff));
    let players = fleet::reach_all(&image).await?;
    // The story begins when the first client opens the image.
    verbs.log.catch_up().await?;
    let gids: Vec<u64> = players.iter().map(|player| player.gid).collect();
    let opened = verbs.log.after(before).into_iter().find(|event| gids.contains(&event.gid));
    let setting = Setting {
        clone: clone::named(&image),
        players,
        model: Model::of(base)?,
        blocks: clone::blocks(),
        begin: opened.context("clients that serve are in the event log")?.sequence - 1,
    };
    let trial = Trial::begin(verbs, scene.title(), setting).await?;
    verbs.rbd_ok(&["fault", "reset"]).await?;
    if matches!(scene, Scene::Killed | Scene::CutOff) {
        slow_down_client_1(&trial).await?;
    }
    Ok(trial)
}

/// A container is killed or cut off in the middle of a flatten on the fastest host too.
async fn slow_down_client_1(trial: &Trial<'_>) -> Result<()> {
    let objects = trial.header.replace("rbd_header.", "rbd_data.") + ".*";
    let when = ["--client", fleet::service(1), "--object", &objects];
    trial.verbs.rbd_ok(&[["fault", "add", "request", "delay=1ms"], when].concat()).await?;
    Ok(())
}

async fn act_and_judge(trial: &mut Trial<'_>, scene: Scene, spoils_bytes: bool) -> Result<()> {
    match scene {
        Scene::Forward => forward::act(trial).await?,
        Scene::HandOver => hand_over::act(trial).await?,
        Scene::Killed => kill_client_1(trial).await?,
        Scene::CutOff => cut_off::act(trial).await?,
    };
    for number in [2, 3] {
        let file = fleet::download(trial.client(number), trial.verbs.directory()).await?;
        trial.judge_bytes(&format!("what client {number} reads"), &file, spoils_bytes)?;
    }
    host::stop_clients();
    wait_for_unwatched(trial).await?;
    trial.judge_left_behind().await?;
    trial.judge_detached().await
}

async fn kill_client_1(trial: &mut Trial<'_>) -> Result<bool> {
    let (verbs, gid) = (trial.verbs, trial.client(1).gid);
    let kill = async || {
        host::kill(fleet::service(1));
        let is_lost = |event: &proto::osd::v1::Event| event.kind == "watch_lost" && event.gid == gid;
        verbs.log.wait_for(0, BOUND, "client 1's watch lost its connection", is_lost).await.map(drop)
    };
    killed::act(trial, kill).await
}

/// Clients that were told to end give their watches back when they do.
async fn wait_for_unwatched(trial: &Trial<'_>) -> Result<()> {
    let unwatched = || async { Ok(trial.verbs.watchers(&trial.header).await?.is_empty().then_some(())) };
    harness::wait::until("the end of every client", BOUND, unwatched).await
}
