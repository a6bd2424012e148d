//! A flatten is forwarded to the lock owner.

use anyhow::Result;
use harness::remote::no_limits;

use super::{BOUND, check_forwarded, client_1_takes_the_lock, ending};
use crate::play::trial::Trial;

/// True: the clone was flattened.
pub async fn act(trial: &mut Trial<'_>) -> Result<bool> {
    client_1_takes_the_lock(trial).await?;
    let call = trial.client(2).flatten(no_limits());
    let end = call.ended(BOUND).await?;
    trial.check("client 2's call succeeded in one attempt", end == Ok(1), ending(&end));

    check_forwarded(trial).await?;
    let story = trial.story().await?;
    let (owner, requester) = (trial.client(1).gid, trial.client(2).gid);
    let progress = story.messages("AsyncProgress");
    let progress =
        progress.iter().filter(|(said, event)| event.gid == owner && said.concerns == requester).count();
    trial.check("client 1 reported progress", progress > 0, format!("{progress} AsyncProgress"));
    let completions: Vec<i32> =
        story.messages("AsyncComplete").iter().filter_map(|(said, _)| said.result).collect();
    let is_complete = !completions.is_empty() && completions.iter().all(|&result| result == 0);
    trial.check("client 1 sent AsyncComplete(0)", is_complete, format!("AsyncComplete {completions:?}"));
    let owners = story.owners();
    let found = format!("the lock was taken by {}", trial.named(&owners));
    trial.check("client 2 never became owner", owners == [owner], found);
    Ok(true)
}
