use anyhow::Result;
use system_tests::play::writers::{BlockWrite, numbered, send_all};

use crate::set::Set;

/// Writes of each client.
const WRITES: usize = 48;

pub(super) async fn act(set: &mut Set<'_>) -> Result<bool> {
    // Neighbouring blocks go to different clients: they race for the objects' copy-up as well as for the lock.
    let shares: Vec<Vec<BlockWrite>> = (0..3)
        .map(|client| numbered(client as u64 + 1, (0..WRITES).map(|index| set.block(index * 3 + client))))
        .collect();
    let sent = tokio::try_join!(
        send_all(set.client(1), &shares[0]),
        send_all(set.client(2), &shares[1]),
        send_all(set.client(3), &shares[2]),
    );
    let found = match &sent {
        Ok(_) => format!("3 clients, {WRITES} writes each"),
        Err(error) => format!("{error:#}"),
    };
    set.check("every write was acknowledged", sent.is_ok(), found);
    sent?;
    for write in shares.iter().flatten() {
        set.model.acknowledged(write.block, write.content());
    }
    check_the_lock_moved_by_request(set).await?;
    Ok(false)
}

async fn check_the_lock_moved_by_request(set: &mut Set<'_>) -> Result<()> {
    let story = set.story().await?;
    let owners = story.owners();
    let requests = story.messages("RequestLock");
    let granted = requests
        .iter()
        .filter(|(_, event)| story.answers(event.notify_id).iter().any(|answer| answer.1 == 0));
    let granted = granted.count();
    let released = story.messages("ReleasedLock").len();
    let acquired = story.messages("AcquiredLock").len();
    let broken = story.of_kind("lock_broken").len();
    let all_owned = set.players.iter().all(|client| owners.contains(&client.gid));

    let found = format!("{} owners in a row", owners.len());
    set.check("each client owned the lock at some time", all_owned, found);
    let found = format!("{granted} RequestLock acked 0, {released} ReleasedLock, {acquired} AcquiredLock");
    set.check("the lock moved by request", granted >= 2 && released >= 2 && acquired >= 3, found);
    set.check("nobody was fenced", broken == 0, format!("{broken} locks broken"));
    Ok(())
}
