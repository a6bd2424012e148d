use anyhow::{Context, Result};
use errno::Errno;
use system_tests::play::{
    acts::{check_fenced_in_order, check_reopened},
    writers::{Sent, Writing, numbered, send_all},
};

use crate::set::Set;

/// Acknowledged writes of client 1 before it freezes.
const WRITES_BEFORE: usize = 32;
/// Blocks that client 1 writes late, over what client 2 has written there meanwhile.
const LATE: usize = 6;
/// So that a late write differs from an early one.
const LATE_NUMBERS: u64 = 9000;
/// Where client 1 writes before it freezes; far from the others' blocks.
const BEFORE: std::ops::Range<usize> = 100..1000;
/// Writes that it has in flight at any moment.
const IN_FLIGHT: usize = 8;

pub(super) async fn act(set: &mut Set<'_>) -> Result<bool> {
    let blocks = BEFORE.map(|index| set.block(index));
    let mut writing = Writing::begin(set.client(1), &numbered(1, blocks), IN_FLIGHT);
    for _ in 0..WRITES_BEFORE {
        let (write, result) = writing.next().await?.context("client 1 had nothing left to write")?;
        result?;
        set.model.acknowledged(write.block, write.content());
    }
    set.process(1).freeze().await?;
    writing.stop();

    // Client 2 takes over: watch expiry, fence, break. Then it writes where client 1 will write late.
    let blocks: Vec<u64> = (0..LATE).map(|index| set.block(index)).collect();
    let taken = numbered(2, blocks.clone());
    send_all(set.client(2), &taken).await?;
    for write in &taken {
        set.model.acknowledged(write.block, write.content());
    }

    let mut late = numbered(1, blocks);
    late.iter_mut().for_each(|write| write.number += LATE_NUMBERS);
    // Half of them are begun before it wakes up, half afterwards.
    let (asleep, awake) = late.split_at(LATE / 2);
    let client = set.client(1);
    let asleep = Writing::begin(client, asleep, LATE);
    set.process(1).wake()?;
    let mut results = asleep.rest().await?;
    results.extend(Writing::begin(client, awake, LATE).rest().await?);
    let in_flight = writing.rest().await?;
    settle_in_flight(set, &in_flight)?;
    check_late(set, &results);
    check_fenced_in_order(set).await?;
    let block = set.block(BEFORE.start - 1);
    check_reopened(set, block).await?;
    Ok(false)
}

/// What was in flight when the client froze may have landed before the fence, or not at all.
fn settle_in_flight(set: &mut Set<'_>, in_flight: &[Sent]) -> Result<()> {
    let mut landed = 0;
    for (write, result) in in_flight {
        match result {
            Ok(()) => {
                landed += 1;
                set.model.acknowledged(write.block, write.content());
            }
            Err(_) => set.model.maybe(write.block, write.content())?,
        }
    }
    let found = format!("{} writes, {landed} of them acknowledged", in_flight.len());
    set.check("writes were in flight when client 1 froze", !in_flight.is_empty(), found);
    Ok(())
}

fn check_late(set: &mut Set<'_>, late: &[Sent]) {
    let fenced = late
        .iter()
        .filter(|(_, result)| result.as_ref().is_err_and(|failure| failure.is(Errno::EBLOCKLISTED)));
    let fenced = fenced.count();
    let other = late.iter().find_map(|(_, result)| match result {
        Err(failure) if !failure.is(Errno::EBLOCKLISTED) => Some(failure.to_string()),
        Err(_) => None,
        Ok(()) => Some("acknowledged".to_owned()),
    });
    let found = format!(
        "{fenced} of {}{}",
        late.len(),
        other.map(|other| format!(", one: {other}")).unwrap_or_default()
    );
    set.check("writes of client 1 after it was fenced fail with EBLOCKLISTED", fenced == LATE, found);
}
