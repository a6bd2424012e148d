mod forward;
mod frozen;
mod hand_over;
mod killed;
mod race;

use anyhow::{Context, Result};
use harness::{call::Failure, words::result_words};
use tokio::time::{Instant, timeout};

use crate::{
    options::Scene,
    report::{Check, Played},
    set::{BOUND, Set},
    stage::Stage,
    writers::{numbered, send_all},
};

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
        Err(error) => {
            let mut played = Played::new(scene);
            let what = "the scene could be set".to_owned();
            played.checks.push(Check { what, passed: false, found: format!("{error:#}") });
            return played;
        }
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
        Scene::Killed => killed::act(set).await,
        Scene::Frozen => frozen::act(set).await,
    }
}

/// Client 1 writes one block and so becomes the owner.
async fn client_1_takes_the_lock(set: &mut Set<'_>) -> Result<()> {
    let writes = numbered(1, [set.reserved(0)]);
    send_all(set.client(1), &writes).await?;
    set.model.acknowledged(writes[0].block, writes[0].content());
    let owner = set.client(1).lock_owner().await?.map(|owner| owner.gid);
    let found = owner.map_or("nobody does".to_owned(), |gid| format!("the OSD names {}", set.named(&[gid])));
    let is_owner = owner == Some(set.client(1).gid);
    set.check("client 1 owns the lock", is_owner, found);
    Ok(())
}

/// How a call ended, for people.
fn ending(end: &Result<u32, Failure>) -> String {
    match end {
        Ok(1) => "success in 1 attempt".to_owned(),
        Ok(attempts) => format!("success in {attempts} attempts"),
        Err(failure) => failure.to_string(),
    }
}

/// The first FlattenPayload of client 2 was accepted by client 1 and by nobody else.
async fn check_forwarded(set: &mut Set<'_>) -> Result<()> {
    let story = set.story().await?;
    let (owner, requester) = (set.client(1).gid, set.client(2).gid);
    let messages = story.messages("FlattenPayload");
    let first = messages.iter().find(|(_, event)| event.gid == requester);
    let answers = first.map(|(_, event)| story.answers(event.notify_id)).unwrap_or_default();
    let found = match (first, answers.first()) {
        (None, _) => "client 2 sent no FlattenPayload".to_owned(),
        (Some(_), None) => "nobody answered it".to_owned(),
        (Some((said, _)), Some((_, result))) => format!("{}; ack {}", said.detail, result_words(*result)),
    };
    set.check("client 1 accepted the flatten of client 2", answers == [(owner, 0)], found);
    Ok(())
}
