mod frozen;
mod race;

use anyhow::{Context, Result, ensure};
use system_tests::play::{
    acts::{BOUND, forward, hand_over, killed},
    report::Played,
};
use tokio::time::{Instant, timeout};

use crate::{options::Scene, set::Set, stage::Stage};

/// So that a flatten is slow enough to be interrupted.
const ONE_AT_A_TIME: [&str; 2] = ["--rbd-concurrent-management-ops", "1"];
const NO_FENCING: [&str; 2] = ["--rbd-blocklist-on-break-lock", "false"];

/// Plays one scene on a fresh clone.
pub(crate) async fn play(stage: &Stage, scene: Scene, breaks: bool) -> Played {
    let begin = Instant::now();
    let mut options = ONE_AT_A_TIME.to_vec();
    if breaks && scene == Scene::Frozen {
        options.extend(NO_FENCING);
    }
    let mut set = match Set::build(stage, scene, &options, breaks).await {
        Ok(set) => set,
        Err(error) => return Played::unset(scene.title(), &error),
    };
    let acted = timeout(BOUND, Box::pin(act(&mut set, scene))).await;
    let acted =
        acted.with_context(|| format!("the scene did not end within {BOUND:?}")).and_then(|acted| acted);
    let mut played = Box::pin(set.finish(acted)).await;
    played.seconds = begin.elapsed().as_secs_f64();
    played
}

/// Whether the scene flattened the clone.
async fn act(set: &mut Set<'_>, scene: Scene) -> Result<bool> {
    match scene {
        Scene::Race => race::act(set).await,
        Scene::Forward => forward::act(set).await,
        Scene::HandOver => hand_over::act(set).await,
        Scene::Killed => kill_client_1(set).await,
        Scene::Frozen => frozen::act(set).await,
    }
}

async fn kill_client_1(set: &mut Set<'_>) -> Result<bool> {
    let (trial, process) = set.with_process_1();
    let kill = async || {
        process.kill()?;
        let status = process.ended(BOUND).await?;
        ensure!(!status.success(), "a killed client ended with {status}");
        Ok(())
    };
    killed::act(trial, kill).await
}
