//! A client of either kind: `rbd-client serve`, or Ceph's own librbd.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

use anyhow::{Result, ensure};
use check::Operation;
use harness::{
    call::{Call, Failure},
    client,
    librbd::{Librbd, LibrbdRemote},
    process::Process,
    remote::Remote as Grpc,
};
use proto::rbd::v1::CallLimits;
use serde_json::{Value, json};

use crate::recorder::{BLOCK_BYTES, filled};

/// A watcher that does not answer makes a forwarded snapshot begin anew for ever: librbd is not to ask before it takes one.
const SKIP_QUIESCE: u32 = 1;

/// What a client is, and how it is started.
#[derive(Clone, Debug)]
pub enum Kind {
    /// An `rbd-client serve`, with further options.
    Grpc(Vec<String>),
    /// A real librbd, by a configuration of Ceph's and further settings.
    Librbd(PathBuf, Vec<(String, String)>),
}

/// A client's process.
pub enum Client {
    /// An `rbd-client serve`.
    Grpc(client::Client),
    /// A real librbd.
    Librbd(Librbd),
}

/// Its calls. Cheap to clone.
#[derive(Clone)]
pub enum Remote {
    /// To an `rbd-client serve`.
    Grpc(Grpc),
    /// To a real librbd.
    Librbd(LibrbdRemote),
}

impl Client {
    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        match self {
            Self::Grpc(client) => &mut client.process,
            Self::Librbd(client) => &mut client.process,
        }
    }

    /// The instance that it was when it started.
    pub fn gid(&self) -> u64 {
        match self {
            Self::Grpc(client) => client.gid,
            Self::Librbd(client) => client.gid,
        }
    }

    /// Its calls.
    pub fn remote(&self) -> Remote {
        match self {
            Self::Grpc(client) => Remote::Grpc(client.remote()),
            Self::Librbd(client) => Remote::Librbd(client.remote()),
        }
    }

    /// Ends it in an orderly way.
    pub async fn close(mut self, bound: Duration) -> Result<()> {
        match &mut self {
            Self::Grpc(client) => client.process.terminate()?,
            Self::Librbd(client) => client.hang_up(),
        }
        let status: ExitStatus = self.process().ended(bound).await?;
        ensure!(status.success(), "it ended with {status}: {}", self.process().said());
        Ok(())
    }
}

impl Remote {
    /// A read of HEAD, write, discard, flush, a change of a snapshot's protection, or taking or giving back the lock; the bytes of a
    /// read, which ends early where the image does.
    pub async fn send(&self, operation: &Operation) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Grpc(remote) => send(remote, operation).await,
            Self::Librbd(remote) => send_librbd(remote, operation).await,
        }
    }

    /// Begins a flatten, resize, rollback, renaming, or the making or removal of a snapshot. librbd knows no limits.
    pub fn begin(&self, operation: &Operation, limits: CallLimits) -> Call {
        match self {
            Self::Grpc(remote) => remote.begin(operation, limits),
            Self::Librbd(remote) => {
                let (verb, arguments) = verb(operation);
                let remote = remote.clone();
                Call::of(async move { remote.call(verb, arguments).await.map(drop) })
            }
        }
    }

    /// Opens the image again with a new session; its new instance.
    pub async fn reopen(&self) -> Result<u64, Failure> {
        match self {
            Self::Grpc(remote) => remote.reopen().await,
            Self::Librbd(remote) => {
                let gid = remote.call("reopen", Vec::new()).await?;
                gid.as_u64().ok_or_else(|| nonsense(&gid))
            }
        }
    }
}

async fn send(remote: &Grpc, operation: &Operation) -> Result<Vec<u8>, Failure> {
    match operation {
        Operation::Read { offset, length, .. } => {
            return Ok(remote.read(*offset, *length).await?.into());
        }
        Operation::Write { offset, length, tag } => {
            remote.write(*offset, filled(*tag, length / BLOCK_BYTES)).await?;
        }
        Operation::Discard { offset, length } => remote.discard(*offset, *length).await?,
        Operation::Flush => remote.flush().await?,
        Operation::SnapProtect { snap } => remote.snap_protect(snap).await?,
        Operation::SnapUnprotect { snap } => remote.snap_unprotect(snap).await?,
        Operation::Acquire => remote.acquire_lock().await?,
        Operation::Release => remote.release_lock().await?,
        other => unreachable!("{other:?} is no plain call"),
    }
    Ok(Vec::new())
}

async fn send_librbd(remote: &LibrbdRemote, operation: &Operation) -> Result<Vec<u8>, Failure> {
    let (verb, arguments) = verb(operation);
    let answer = remote.call(verb, arguments).await?;
    match operation {
        Operation::Read { .. } => answer.as_str().and_then(bytes).ok_or_else(|| nonsense(&answer)),
        _ => Ok(Vec::new()),
    }
}

/// What librbd's program calls it.
fn verb(operation: &Operation) -> (&'static str, Vec<Value>) {
    let arguments = match operation {
        Operation::Read { offset, length, .. } | Operation::Discard { offset, length } => {
            vec![json!(offset), json!(length)]
        }
        Operation::Write { offset, length, tag } => {
            vec![json!(offset), json!(hexadecimal(&filled(*tag, length / BLOCK_BYTES)))]
        }
        Operation::Resize { size } => vec![json!(size)],
        Operation::SnapCreate { snap } => vec![json!(snap), json!(SKIP_QUIESCE)],
        other => other.snapshot().map(|snap| json!(snap)).into_iter().collect(),
    };
    (operation.entry().name, arguments)
}

fn nonsense(answer: &Value) -> Failure {
    Failure { name: String::new(), errno: 0, text: format!("it answered {answer}") }
}

fn hexadecimal(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hexadecimal.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let data = filled(0x00ff_10a5, 1);
        assert_eq!(bytes(&hexadecimal(&data)), Some(data));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
    }
}
