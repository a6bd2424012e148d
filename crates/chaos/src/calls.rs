//! One call of one client, taken down from its invocation to its answer.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use check::{Operation, Outcome};
use errno::Errno;
use harness::{
    call::{Call, Failure},
    osd::spec,
    program::Output,
    remote::no_limits,
};
use proto::rbd::v1::CallLimits;
use tokio::time::timeout;

use crate::{
    client::Remote, operator::Operator, recorder::tags, seat::Seat, setup::OBJECT_BYTES, stage::Stage,
};

/// Longest read of one call to a client.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Who fills images before the clients come.
pub const FILLER: &str = "filler";

/// A read of HEAD, write, discard, flush, a change of a snapshot's protection, or taking or giving back the lock. A call that is overdue stays open in
/// the history, for the checker of I5.
pub async fn io(stage: &Stage, seat: &Seat, operation: Operation) -> Result<Outcome> {
    let id = invoke(stage, seat, operation.clone(), None)?;
    let sending = async { send(&seat.remote().await, &operation).await };
    let Some(sent) = stage.unless_overdue(seat.name(), sending).await else {
        return Ok(Outcome::Unknown);
    };
    let outcome = ended(seat, sent).await?;
    // What caused an error has happened by now.
    let known = if matches!(outcome, Outcome::Error { .. }) {
        Some(stage.cluster.log.catch_up().await?)
    } else {
        None
    };
    stage.recorder.complete(id, outcome.clone(), known)?;
    Ok(outcome)
}

/// Before anything is sent, and before an empty seat is waited for: a client that is killed meanwhile is killed during the call.
fn invoke(stage: &Stage, seat: &Seat, operation: Operation, deadline_ms: Option<u64>) -> Result<u64> {
    let newest = stage.cluster.log.last();
    stage.recorder.invoke(seat.name(), &seat.image(), operation, deadline_ms, Some(newest))
}

async fn send(remote: &Remote, operation: &Operation) -> Result<Vec<Option<u64>>, Failure> {
    match operation {
        Operation::Read { offset, length, .. } => read(remote, *offset, *length).await,
        other => remote.send(other).await.map(|_| Vec::new()),
    }
}

/// Ends early where the image does.
async fn read(remote: &Remote, offset: u64, length: u64) -> Result<Vec<Option<u64>>, Failure> {
    let mut found = Vec::new();
    for begin in (offset..offset + length).step_by(READ_BYTES_MAX as usize) {
        let wanted = READ_BYTES_MAX.min(offset + length - begin);
        let data = remote.send(&Operation::Read { offset: begin, length: wanted, snap: None }).await?;
        found.extend(tags(&data));
        if (data.len() as u64) < wanted {
            break;
        }
    }
    Ok(found)
}

/// A flatten, resize, rollback, renaming, or the making or removal of a snapshot. `begun` is handed the call when it is under way. One that is overdue stays
/// open in the history.
pub async fn maintenance(
    stage: &Stage,
    seat: &Seat,
    operation: Operation,
    limits: CallLimits,
    begun: impl FnOnce(&Arc<Call>),
) -> Result<Outcome> {
    stage.named_by(&operation);
    let deadline_ms = Some(limits.deadline_ms).filter(|deadline_ms| *deadline_ms > 0);
    let id = invoke(stage, seat, operation.clone(), deadline_ms)?;
    let remote = seat.remote().await;
    let call = Arc::new(remote.begin(&operation, limits));
    seat.operates(&call);
    begun(&call);
    let Some(answer) = stage.unless_overdue(seat.name(), call.ended_at_last()).await else {
        return Ok(Outcome::Unknown);
    };
    let outcome = ended(seat, answer?.map(|_| Vec::new())).await?;
    stage.recorder.complete(id, outcome.clone(), Some(stage.cluster.log.catch_up().await?))?;
    Ok(outcome)
}

/// The same without bounds.
pub async fn unlimited(stage: &Stage, seat: &Seat, operation: Operation) -> Result<Outcome> {
    maintenance(stage, seat, operation, no_limits(), |_| ()).await
}

/// Opens the image anew when the client has been fenced or its session has ended.
async fn reopen(stage: &Stage, seat: &Seat) -> Result<Outcome> {
    let id = invoke(stage, seat, Operation::Reopen, None)?;
    let reopening = async { seat.remote().await.reopen().await };
    let Some(reopened) = stage.unless_overdue(seat.name(), reopening).await else {
        return Ok(Outcome::Unknown);
    };
    if let Ok(gid) = reopened {
        seat.seated(gid);
    }
    let outcome = ended(seat, reopened.map(|_| Vec::new())).await?;
    stage.recorder.complete(id, outcome.clone(), None)?;
    Ok(outcome)
}

/// Opens the image anew in place of the instance `lost`, unless somebody else has done so.
pub async fn revive(stage: &Stage, seat: &Seat, lost: u64) -> Result<()> {
    let _reviving = seat.reviving().await;
    if seat.gid() == lost {
        reopen(stage, seat).await?;
    }
    Ok(())
}

/// Clones a snapshot of `parent` through a client, whose caller waits for the answer so long and then drops the call.
pub async fn clone_through(
    stage: &Stage,
    seat: &Seat,
    (parent, snap): (&str, &str),
    clone: &str,
    patience: Duration,
) -> Result<Outcome> {
    stage.image_made(clone);
    let operation = Operation::Clone { parent: spec(parent), snap: snap.to_owned() };
    let deadline_ms = Some(u64::try_from(patience.as_millis())?);
    let newest = stage.cluster.log.last();
    let id = stage.recorder.invoke(seat.name(), &spec(clone), operation, deadline_ms, Some(newest))?;
    let cloning = async {
        match seat.remote().await {
            Remote::Grpc(remote) => remote.clone_image(parent, snap, clone, OBJECT_BYTES).await,
            Remote::Librbd(_) => unreachable!("librbd makes no clones here"),
        }
    };
    let outcome = match timeout(patience, cloning).await {
        Ok(cloned) => ended(seat, cloned.map(|()| Vec::new())).await?,
        Err(_) => Outcome::Error { errno: Errno::ETIMEDOUT },
    };
    stage.recorder.complete(id, outcome.clone(), Some(stage.cluster.log.catch_up().await?))?;
    Ok(outcome)
}

/// Runs a verb of `rbd-client` as a call of the history: by a client of its own, which may be killed.
pub async fn verb(stage: &Stage, image: &str, operation: Operation, arguments: &[&str]) -> Result<Outcome> {
    if operation.makes_an_image() {
        stage.image_made(image);
    }
    stage.named_by(&operation);
    let operator = stage.operators.next();
    let log = &stage.cluster.log;
    let id = stage.recorder.invoke(&operator.client, &spec(image), operation, None, Some(log.last()))?;
    let outcome = match run(stage, &operator, arguments).await? {
        None => Outcome::Unknown,
        Some(output) if output.status == 0 => Outcome::Ok { tags: Vec::new() },
        Some(output) => refused(arguments, &output)?,
    };
    stage.recorder.complete(id, outcome.clone(), Some(log.catch_up().await?))?;
    Ok(outcome)
}

/// `None`: it was killed.
async fn run(stage: &Stage, operator: &Operator, arguments: &[&str]) -> Result<Option<Output>> {
    let begun = |killer| stage.operators.begun(operator, killer);
    let ended = stage.cluster.rbd_killable(&operator.name, arguments, begun).await;
    stage.operators.ended(operator);
    ended
}

/// Reads `length` bytes of an image or of one of its snapshots through a process of its own.
pub async fn export(stage: &Stage, image: &str, snap: Option<&str>, length: u64) -> Result<Outcome> {
    let snap = snap.map(str::to_owned);
    let operation = Operation::Read { offset: 0, length, snap: snap.clone() };
    let (operator, log) = (stage.operators.next(), &stage.cluster.log);
    let id = stage.recorder.invoke(&operator.client, &spec(image), operation, None, Some(log.last()))?;
    let file = stage.cluster.directory().join(format!("export-{id}"));
    let source = snap.map_or_else(|| spec(image), |snap| format!("{}@{snap}", spec(image)));
    let arguments = ["export", "--no-progress", &source, &file.to_string_lossy()];
    let outcome = match run(stage, &operator, &arguments).await? {
        None => Outcome::Unknown,
        Some(output) if output.status == 0 => {
            let data = std::fs::read(&file)?;
            Outcome::Ok { tags: tags(&data[..data.len().min(length as usize)]) }
        }
        Some(output) => refused(&arguments, &output)?,
    };
    // Whoever was killed may have left a part of it.
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    stage.recorder.complete(id, outcome.clone(), Some(log.catch_up().await?))?;
    Ok(outcome)
}

/// An answer without an errno comes from the transport: the client was killed on the way. An error if it died by itself.
async fn ended(seat: &Seat, result: Result<Vec<Option<u64>>, Failure>) -> Result<Outcome> {
    Ok(match result {
        Ok(tags) => Outcome::Ok { tags },
        Err(failure) => match Errno::from_name(&failure.name) {
            Some(errno) => Outcome::Error { errno },
            None => {
                seat.check_alive().await.with_context(|| failure.to_string())?;
                Outcome::Unknown
            }
        },
    })
}

/// How a verb failed, by the errno that it names; an error of its own if it names none.
fn refused(arguments: &[&str], output: &Output) -> Result<Outcome> {
    match errno_in(&output.stderr) {
        Some(errno) => Ok(Outcome::Error { errno }),
        None => bail!("rbd-client {}: {}", arguments.join(" "), output.stderr.trim()),
    }
}

/// The first errno that the program's own message names.
fn errno_in(stderr: &str) -> Option<Errno> {
    let message = stderr.lines().find_map(|line| line.strip_prefix("rbd-client: "))?;
    message.split([':', ' ', ';', ',']).find_map(|word| Errno::from_name(word.trim()))
}

/// Whether the image must be opened anew before the client is of any use.
pub fn needs_reopen(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Error { errno: Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ESHUTDOWN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_of_a_verb_is_the_one_that_it_names() {
        let message = "WARN EINVAL\nrbd-client: snap rm rbd/x@s: EBUSY: snapshot s is protected\nrbd-client: what next: EIO";
        assert_eq!(errno_in(message), Some(Errno::EBUSY));
        assert_eq!(errno_in("killed"), None);
    }
}
