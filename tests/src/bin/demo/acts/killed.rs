use anyhow::Result;
use harness::remote::no_limits;

use super::{Set, check_forwarded, client_1_takes_the_lock, ending};
use crate::set::BOUND;

pub(super) async fn act(set: &mut Set<'_>) -> Result<bool> {
    client_1_takes_the_lock(set).await?;
    let call = set.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    let is_under_way = call.end().is_none();
    set.client(1).process.kill()?;
    set.check(
        "the flatten was under way when client 1 was killed",
        is_under_way,
        if is_under_way { "no end was reported" } else { "it had ended" },
    );
    let ended = set.clients[0].process.ended(BOUND).await?;
    set.check("client 1 is dead", !ended.success(), ended.to_string());

    let end = call.ended(BOUND).await?;
    set.check("client 2's call succeeded after going round its loop", matches!(end, Ok(2..)), ending(&end));
    let restarts = call.restarts();
    let is_restarted = restarts.first().is_some_and(|reason| reason.starts_with("ERESTART"));
    set.check("client 2 started over for want of progress", is_restarted, restarts.join("; "));
    let placements = call.placements();
    let is_local = placements.first() == Some(&true) && placements.last() == Some(&false);
    set.check("client 2 finished it itself", is_local, attempts_words(&placements));
    check_forwarded(set).await?;
    check_fenced_in_order(set).await?;
    Ok(true)
}

fn attempts_words(placements: &[bool]) -> String {
    let words = placements.iter().map(|&forwarded| if forwarded { "forwarded" } else { "run by client 2" });
    words.collect::<Vec<_>>().join(", then ")
}

/// Watch gone, instance fenced, lock broken, lock taken: in this order.
pub(super) async fn check_fenced_in_order(set: &mut Set<'_>) -> Result<()> {
    let story = set.story().await?;
    let (old, new) = (set.client(1).gid, set.client(2).gid);
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
    set.check("watch expired, blocklisted, lock broken, lock taken: in this order", is_ordered, found);
    Ok(())
}
