//! The lock owner is killed in the middle of a forwarded flatten.

use anyhow::Result;
use harness::remote::no_limits;

use super::{
    BOUND, check_fenced_in_order, check_finished_by_client_2, check_forwarded, client_1_takes_the_lock,
};
use crate::play::trial::Trial;

/// `kill` returns when client 1 is dead. True: the clone was flattened.
pub async fn act(trial: &mut Trial<'_>, kill: impl AsyncFnOnce() -> Result<()>) -> Result<bool> {
    client_1_takes_the_lock(trial).await?;
    let call = trial.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    kill().await?;
    check_finished_by_client_2(trial, &call).await?;
    check_forwarded(trial).await?;
    check_died_in_the_middle(trial).await?;
    check_fenced_in_order(trial).await?;
    Ok(true)
}

/// The OSD lost client 1's connection before client 1 had answered anything.
async fn check_died_in_the_middle(trial: &mut Trial<'_>) -> Result<()> {
    let story = trial.story().await?;
    let (owner, requester) = (trial.client(1).gid, trial.client(2).gid);
    let lost = story.first("watch_lost", owner).map(|event| event.sequence);
    let completions = story.completions(requester);
    let found = match lost {
        Some(number) => {
            format!("event {number}: its watch lost its connection; AsyncComplete {completions:?}")
        }
        None => "its connection was never lost".to_owned(),
    };
    let is_in_the_middle = lost.is_some() && completions.is_empty();
    trial.check("client 1 died while it was flattening", is_in_the_middle, found);
    Ok(())
}
