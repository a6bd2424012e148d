use anyhow::Result;
use harness::remote::no_limits;

use super::{Set, check_forwarded, client_1_takes_the_lock, ending};
use crate::set::BOUND;

pub(super) async fn act(set: &mut Set<'_>) -> Result<bool> {
    client_1_takes_the_lock(set).await?;
    let call = set.client(2).flatten(no_limits());
    let end = call.ended(BOUND).await?;
    set.check("client 2's call succeeded in one attempt", end == Ok(1), ending(&end));

    check_forwarded(set).await?;
    let story = set.story().await?;
    let (owner, requester) = (set.client(1).gid, set.client(2).gid);
    let progress = story.messages("AsyncProgress");
    let progress =
        progress.iter().filter(|(said, event)| event.gid == owner && said.concerns == requester).count();
    set.check("client 1 reported progress", progress > 0, format!("{progress} AsyncProgress"));
    let completions: Vec<i32> =
        story.messages("AsyncComplete").iter().filter_map(|(said, _)| said.result).collect();
    let is_complete = !completions.is_empty() && completions.iter().all(|&result| result == 0);
    set.check("client 1 sent AsyncComplete(0)", is_complete, format!("AsyncComplete {completions:?}"));
    let owners = story.owners();
    let found = format!("the lock was taken by {}", set.named(&owners));
    set.check("client 2 never became owner", owners == [owner], found);
    Ok(true)
}
