//! Blocks that say who wrote them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use harness::{call::Failure, remote::Remote};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

use super::trial::Player;
use crate::model::{BLOCK_BYTES, marked_block};

/// Writes of one client in [`send_all`] that are under way at the same time.
const IN_FLIGHT: usize = 4;
/// Bound of the wait for one result.
const BOUND: Duration = Duration::from_secs(30);

/// One block to write: which, and as which of the writer's writes.
#[derive(Clone, Copy, Debug)]
pub struct BlockWrite {
    /// Where, in blocks.
    pub block: u64,
    /// Number of the client.
    pub writer: u64,
    /// Number among the writer's writes.
    pub number: u64,
}

impl BlockWrite {
    /// What it writes.
    pub fn content(self) -> Vec<u8> {
        marked_block(self.writer, self.number)
    }

    /// Sends it; answered when it is acknowledged.
    pub async fn send(self, client: &Remote) -> Result<(), Failure> {
        client.write(self.block * BLOCK_BYTES, self.content()).await
    }
}

/// Numbers the writes of `writer` to `blocks`.
pub fn numbered(writer: u64, blocks: impl IntoIterator<Item = u64>) -> Vec<BlockWrite> {
    (1..).zip(blocks).map(|(number, block)| BlockWrite { block, writer, number }).collect()
}

/// Sends all of them, several at a time; each must be acknowledged.
pub async fn send_all(client: &Player, writes: &[BlockWrite]) -> Result<()> {
    let mut sending = stream::iter(writes).map(|write| write.send(client)).buffer_unordered(IN_FLIGHT);
    while let Some(sent) = sending.next().await {
        sent.with_context(|| format!("a write of {}", client.name))?;
    }
    Ok(())
}

/// A write and what came of it.
pub type Sent = (BlockWrite, Result<(), Failure>);

/// Writes of one client under way, in order, several at a time.
pub struct Writing {
    queue: Arc<Mutex<VecDeque<BlockWrite>>>,
    /// Ends when nothing is queued and nothing is in flight.
    results: UnboundedReceiver<Sent>,
}

impl Writing {
    /// Begins `writes`, `in_flight` at a time.
    pub fn begin(client: &Remote, writes: &[BlockWrite], in_flight: usize) -> Self {
        let queue = Arc::new(Mutex::new(writes.iter().copied().collect::<VecDeque<_>>()));
        let (announce, results) = mpsc::unbounded_channel();
        for _ in 0..in_flight {
            let (announce, queue, client) = (announce.clone(), queue.clone(), client.clone());
            tokio::spawn(async move {
                while let Some(write) = next_of(&queue) {
                    let result = write.send(&client).await;
                    if announce.send((write, result)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { queue, results }
    }

    /// The next result; `None` when everything has ended.
    pub async fn next(&mut self) -> Result<Option<Sent>> {
        timeout(BOUND, self.results.recv())
            .await
            .with_context(|| format!("a write did not end within {BOUND:?}"))
    }

    /// Begins no further write.
    pub fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All other results.
    pub async fn rest(mut self) -> Result<Vec<Sent>> {
        let mut rest = Vec::new();
        while let Some(sent) = self.next().await? {
            rest.push(sent);
        }
        Ok(rest)
    }
}

fn next_of(queue: &Mutex<VecDeque<BlockWrite>>) -> Option<BlockWrite> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
