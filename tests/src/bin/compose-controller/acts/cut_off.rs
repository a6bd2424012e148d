use std::time::Duration;

use anyhow::Result;
use errno::Errno;
use harness::remote::no_limits;
use system_tests::play::{
    acts::{
        BOUND, check_fenced_in_order, check_finished_by_client_2, check_forwarded, check_reopened,
        client_1_takes_the_lock, outcome,
    },
    trial::Trial,
    writers::{BlockWrite, numbered, send_all},
};

use crate::{fleet, host};

/// A watch whose connection is known to be gone is over after 0.3 s, a silent one 3 s after its last ping (preset ci). Pings come
/// every 0.5 s and are not in the log: between the last entry of a silent client and the end of its watch lies more than this.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// So that a late write differs from an early one.
const LATE_NUMBER: u64 = 9000;

pub(super) async fn act(trial: &mut Trial<'_>) -> Result<bool> {
    client_1_takes_the_lock(trial).await?;
    let call = trial.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    host::cut(fleet::service(1));
    check_finished_by_client_2(trial, &call).await?;
    let taken = numbered(2, [trial.block(1)]);
    send_all(trial.client(2), &taken).await?;
    trial.model.acknowledged(taken[0].block, taken[0].content());
    check_forwarded(trial).await?;
    check_silent(trial).await?;
    check_fenced_in_order(trial).await?;

    host::join(fleet::service(1));
    // The controller's connection to it is as dead as the others.
    trial.players[0].remote = fleet::reconnect(fleet::service(1)).await?;
    check_fenced(trial).await?;
    check_reopened(trial, trial.block(2)).await?;
    Ok(true)
}

/// The OSD never saw the connection of client 1 go: its watch ran out.
async fn check_silent(trial: &mut Trial<'_>) -> Result<()> {
    let story = trial.story().await?;
    let gid = trial.client(1).gid;
    let Some(expired) = story.first("watch_expired", gid) else {
        trial.check(
            "client 1's watch expired in silence, in the middle of the flatten",
            false,
            "it did not expire",
        );
        return Ok(());
    };
    let before = |sequence: u64| sequence < expired.sequence;
    let was_lost = story.first("watch_lost", gid).is_some_and(|lost| before(lost.sequence));
    let last_ms = story.events().iter().filter(|event| event.gid == gid && before(event.sequence));
    let last_ms = last_ms.map(|event| event.time_ms).max().unwrap_or_default();
    let silence = Duration::from_millis(expired.time_ms - last_ms);
    let completions = story.completions(trial.client(2).gid);
    let found = format!(
        "connection seen lost: {was_lost}, last heard of {silence:?} before, AsyncComplete {completions:?}"
    );
    let is_silent = !was_lost && silence > SILENCE_MIN && completions.is_empty();
    trial.check("client 1's watch expired in silence, in the middle of the flatten", is_silent, found);
    Ok(())
}

/// Client 1 is back and does not know what happened meanwhile: its write must not land on client 2's.
async fn check_fenced(trial: &mut Trial<'_>) -> Result<()> {
    let late = BlockWrite { block: trial.block(1), writer: 1, number: LATE_NUMBER };
    let result = late.send(trial.client(1)).await;
    let is_fenced = result.as_ref().is_err_and(|failure| failure.is(Errno::EBLOCKLISTED));
    trial.check("client 1's write fails with EBLOCKLISTED when it is back", is_fenced, outcome(&result));

    let story = trial.story().await?;
    let (old, new) = (trial.client(1).gid, trial.client(2).gid);
    let taken = story.first("lock", new).map(|event| event.sequence);
    let applied = story.events().iter().filter(|event| event.kind == "applied" && event.gid == old);
    let landed = applied.filter(|event| Some(event.sequence) > taken).count();
    let found = format!("{landed} op vectors of it were applied after that");
    trial.check(
        "nothing of client 1 landed once client 2 had the lock",
        taken.is_some() && landed == 0,
        found,
    );
    Ok(())
}
