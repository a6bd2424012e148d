//! The scenes that do not depend on where the programs run, and what several scenes check.

pub mod forward;
pub mod hand_over;
pub mod killed;

use std::time::Duration;

use anyhow::Result;
use harness::{
    call::{Call, Failure},
    words::result_words,
};

use super::{
    trial::Trial,
    writers::{BlockWrite, numbered, send_all},
};

/// Bound of everything that a scene waits for.
pub const BOUND: Duration = Duration::from_secs(40);

/// Client 1 writes one block and so becomes the owner.
pub async fn client_1_takes_the_lock(trial: &mut Trial<'_>) -> Result<()> {
    let writes = numbered(1, [trial.block(0)]);
    send_all(trial.client(1), &writes).await?;
    trial.model.acknowledged(writes[0].block, writes[0].content());
    let owner = trial.client(1).lock_owner().await?.map(|owner| owner.gid);
    let found =
        owner.map_or("nobody does".to_owned(), |gid| format!("the OSD names {}", trial.named(&[gid])));
    let is_owner = owner == Some(trial.client(1).gid);
    trial.check("client 1 owns the lock", is_owner, found);
    Ok(())
}

/// How a call ended, for people.
pub fn ending(end: &Result<u32, Failure>) -> String {
    match end {
        Ok(1) => "success in 1 attempt".to_owned(),
        Ok(attempts) => format!("success in {attempts} attempts"),
        Err(failure) => failure.to_string(),
    }
}

/// The first FlattenPayload of client 2 was accepted by client 1 and by nobody else.
pub async fn check_forwarded(trial: &mut Trial<'_>) -> Result<()> {
    let story = trial.story().await?;
    let (owner, requester) = (trial.client(1).gid, trial.client(2).gid);
    let messages = story.messages("FlattenPayload");
    let first = messages.iter().find(|(_, event)| event.gid == requester);
    let answers = first.map(|(_, event)| story.answers(event.notify_id)).unwrap_or_default();
    let found = match (first, answers.first()) {
        (None, _) => "client 2 sent no FlattenPayload".to_owned(),
        (Some(_), None) => "nobody answered it".to_owned(),
        (Some((said, _)), Some((_, result))) => format!("{}; ack {}", said.detail, result_words(*result)),
    };
    trial.check("client 1 accepted the flatten of client 2", answers == [(owner, 0)], found);
    Ok(())
}

/// Client 2's call lost its owner, started over, and did the work itself.
pub async fn check_finished_by_client_2(trial: &mut Trial<'_>, call: &Call) -> Result<()> {
    let end = call.ended(BOUND).await?;
    let is_again = matches!(end, Ok(2..));
    trial.check("client 2's call succeeded after going round its loop", is_again, ending(&end));
    let restarts = call.restarts();
    let is_restarted = restarts.first().is_some_and(|reason| reason.starts_with("ERESTART"));
    trial.check("client 2 started over for want of progress", is_restarted, restarts.join("; "));
    let placements = call.placements();
    let is_local = placements.first() == Some(&true) && placements.last() == Some(&false);
    trial.check("client 2 finished it itself", is_local, attempts_words(&placements));
    Ok(())
}

fn attempts_words(placements: &[bool]) -> String {
    let words = placements.iter().map(|&forwarded| if forwarded { "forwarded" } else { "run by client 2" });
    words.collect::<Vec<_>>().join(", then ")
}

/// Watch gone, instance fenced, lock broken, lock taken: in this order.
pub async fn check_fenced_in_order(trial: &mut Trial<'_>) -> Result<()> {
    let story = trial.story().await?;
    let (old, new) = (trial.client(1).gid, trial.client(2).gid);
    let broken = story.of_kind("lock_broken").first().copied();
    let steps = [
        story.first("watch_expired", old),
        story.first("blocklisted", old),
        broken,
        story.first("lock", new),
    ];
    let numbers: Vec<Option<u64>> = steps.iter().map(|step| step.map(|event| event.sequence)).collect();
    let is_ordered = numbers.iter().all(Option::is_some) && numbers.is_sorted();
    let number = |step: &Option<u64>| step.map_or("missing".to_owned(), |number| number.to_string());
    let found = format!("events {}", numbers.iter().map(number).collect::<Vec<_>>().join(", "));
    trial.check("watch expired, blocklisted, lock broken, lock taken: in this order", is_ordered, found);
    Ok(())
}

/// Client 1 was fenced; with a new instance it can write to `block`.
pub async fn check_reopened(trial: &mut Trial<'_>, block: u64) -> Result<()> {
    let (old, new) = (trial.client(1).gid, trial.client(1).reopen().await?);
    trial.cast.name(new, "client 1*");
    let write = BlockWrite { block, writer: 1, number: 1 };
    let result = write.send(trial.client(1)).await;
    if result.is_ok() {
        trial.model.acknowledged(block, write.content());
    }
    let found = format!("a new instance: {}, its write: {}", new != old, outcome(&result));
    trial.check("client 1 works again after Reopen", new != old && result.is_ok(), found);
    Ok(())
}

/// What came of a write, for people.
pub fn outcome(result: &Result<(), Failure>) -> String {
    result.as_ref().err().map_or("acknowledged".to_owned(), ToString::to_string)
}
