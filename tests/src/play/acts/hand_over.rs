//! The lock changes hands in the middle of a forwarded flatten.

use anyhow::Result;
use harness::{call::Call, remote::no_limits};
use proto::rbd::v1::operation_event::Event;

use super::{BOUND, check_forwarded, client_1_takes_the_lock, ending, numbered, send_all};
use crate::play::trial::Trial;

const ERESTART: i32 = -85;

/// True: the clone was flattened.
pub async fn act(trial: &mut Trial<'_>) -> Result<bool> {
    client_1_takes_the_lock(trial).await?;
    let call = trial.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    let is_under_way = call.end().is_none();
    let found = format!("it was at {}", object_words(last_progress(&call, 1)));
    trial.check("the flatten was under way when client 3 wanted to write", is_under_way, found);
    let writes = numbered(3, [trial.block(1), trial.block(trial.block_count() - 1)]);
    send_all(trial.client(3), &writes).await?;
    for write in &writes {
        trial.model.acknowledged(write.block, write.content());
    }
    let end = call.ended(BOUND).await?;
    let found = ending(&end);
    trial.check("client 2's call succeeded after going round its loop", matches!(end, Ok(2..)), found);
    check_forwarded(trial).await?;
    check_interrupted(trial, &call).await?;
    Ok(true)
}

async fn check_interrupted(trial: &mut Trial<'_>, call: &Call) -> Result<()> {
    let story = trial.story().await?;
    let (owner, requester, writer) = (trial.client(1).gid, trial.client(2).gid, trial.client(3).gid);
    let completions = story.messages("AsyncComplete");
    let cancelled = completions.iter().find(|(said, event)| {
        event.gid == owner && said.concerns == requester && said.result == Some(ERESTART)
    });
    let results: Vec<i32> = completions.iter().filter_map(|(said, _)| said.result).collect();
    let found = format!("AsyncComplete {results:?}");
    trial.check("client 1 cancelled it: AsyncComplete(ERESTART)", cancelled.is_some(), found);
    let restarts = call.restarts();
    let is_restarted = restarts.first().is_some_and(|reason| reason.starts_with("ERESTART"));
    trial.check("client 2 was told to start over", is_restarted, restarts.join("; "));
    let owners = story.owners();
    let found = format!("it was taken by {}", trial.named(&owners));
    trial.check("the lock went to client 3", owners.starts_with(&[owner, writer]), found);
    let (last, first) = (last_progress(call, 1), first_progress(call));
    let found = format!("it had reached {}, then began at {}", object_words(last), object_words(first));
    trial.check("the flatten started over", first < last && first.is_some(), found);
    Ok(())
}

fn object_words(progress: Option<(u64, u64)>) -> String {
    progress.map_or("no object".to_owned(), |(offset, total)| format!("object {offset} of {total}"))
}

fn last_progress(call: &Call, attempt: u32) -> Option<(u64, u64)> {
    progress(call).into_iter().filter(|progress| progress.0 == attempt).map(|progress| progress.1).next_back()
}

/// The first progress of any attempt after the first one.
fn first_progress(call: &Call) -> Option<(u64, u64)> {
    progress(call).into_iter().find(|progress| progress.0 > 1).map(|progress| progress.1)
}

fn progress(call: &Call) -> Vec<(u32, (u64, u64))> {
    let progress = |event| match event {
        Event::Progress(progress) => Some((progress.attempt, (progress.offset, progress.total))),
        _ => None,
    };
    call.events().into_iter().filter_map(progress).collect()
}
