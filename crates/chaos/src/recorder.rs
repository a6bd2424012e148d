//! The history of a run, written as it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use check::{History, HistoryWriter, Operation, Outcome, Record, What};
use tokio::time::Instant;

/// Every image is seen as blocks of this many bytes; a write fills whole blocks.
pub const BLOCK_BYTES: u64 = 4096;

/// Takes down every call and every answer, in the order in which they are handed in.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    writer: HistoryWriter<File>,
    records: Vec<Record>,
    newest_call: u64,
    newest_tag: u64,
    /// Calls without an answer.
    open: BTreeMap<u64, Open>,
    /// How many succeeded, by operation.
    succeeded: BTreeMap<&'static str, usize>,
    /// Nothing is taken down any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Open {
    client: String,
    operation: Operation,
    since_ms: u64,
}

impl Recorder {
    /// Begins a history in a file that must not exist yet.
    pub fn create(file: &Path) -> Result<Self> {
        let out = File::create_new(file).with_context(|| format!("creating {}", file.display()))?;
        let book = Book {
            writer: HistoryWriter::new(out, BLOCK_BYTES)?,
            records: Vec::new(),
            newest_call: 0,
            newest_tag: 0,
            open: BTreeMap::new(),
            succeeded: BTreeMap::new(),
            is_closed: false,
        };
        Ok(Self { began: Instant::now(), book: Mutex::new(book) })
    }

    /// Milliseconds since the history began.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A tag that no other write has.
    pub fn fresh_tag(&self) -> u64 {
        let mut book = self.lock();
        book.newest_tag += 1;
        book.newest_tag
    }

    /// A call is about to be made; its number. `deadline_ms`: its caller waits so long; `osd_sequence`: an event that has happened.
    pub fn invoke(
        &self,
        client: &str,
        image: &str,
        operation: Operation,
        deadline_ms: Option<u64>,
        osd_sequence: Option<u64>,
    ) -> Result<u64> {
        let mut book = self.lock();
        book.newest_call += 1;
        let id = book.newest_call;
        let since_ms = self.now_ms();
        book.open.insert(id, Open { client: client.to_owned(), operation: operation.clone(), since_ms });
        let what = What::Invoke { image: image.to_owned(), operation, deadline_ms };
        self.take_down(&mut book, id, osd_sequence, what)?;
        Ok(id)
    }

    /// Its answer has come. `osd_sequence` is an event not older than the newest that belongs to the call.
    pub fn complete(&self, id: u64, outcome: Outcome, osd_sequence: Option<u64>) -> Result<()> {
        let mut book = self.lock();
        let is_success = matches!(outcome, Outcome::Ok { .. });
        self.take_down(&mut book, id, osd_sequence, What::Complete(outcome))?;
        if let Some(ended) = book.open.remove(&id).filter(|_| is_success) {
            *book.succeeded.entry(ended.operation.entry().name).or_default() += 1;
        }
        Ok(())
    }

    /// How many calls have succeeded until now, by operation.
    pub fn succeeded(&self) -> BTreeMap<&'static str, usize> {
        self.lock().succeeded.clone()
    }

    /// Who has had a call without an answer for so long.
    pub fn waiting_for(&self, long: Duration) -> BTreeSet<String> {
        let now_ms = self.now_ms();
        let is_long = |open: &&Open| Duration::from_millis(now_ms.saturating_sub(open.since_ms)) >= long;
        self.lock().open.values().filter(is_long).map(|open| open.client.clone()).collect()
    }

    /// What is done from here on belongs to no history.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// The history until now.
    pub fn history(&self) -> Result<History> {
        let records = self.lock().records.clone();
        History::from_records(BLOCK_BYTES, records).context("the history of this run")
    }

    fn take_down(&self, book: &mut Book, id: u64, osd_sequence: Option<u64>, what: What) -> Result<()> {
        let client = book.open.get(&id).with_context(|| format!("call {id} is not open"))?.client.clone();
        if book.is_closed {
            return Ok(());
        }
        // Read under the lock: time never runs backwards from line to line.
        let record = Record { id, client, time_ms: self.now_ms(), osd_sequence, what };
        book.writer.write(&record).context("writing the history")?;
        book.records.push(record);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a write of this tag puts into `blocks` blocks.
pub fn filled(tag: u64, blocks: u64) -> Vec<u8> {
    tag.to_le_bytes().repeat((blocks * BLOCK_BYTES) as usize / size_of::<u64>())
}

/// The tag of each whole block, `None` for one that is not one tag repeated.
pub fn tags(data: &[u8]) -> Vec<Option<u64>> {
    data.chunks(BLOCK_BYTES as usize).map(tag).collect()
}

fn tag(block: &[u8]) -> Option<u64> {
    let (words, rest) = block.as_chunks::<8>();
    let first = words.first()?;
    let is_one =
        rest.is_empty() && block.len() as u64 == BLOCK_BYTES && words.iter().all(|word| word == first);
    is_one.then(|| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_two_writes_has_no_tag() {
        let mut data = filled(7, 2);
        assert_eq!(tags(&data), [Some(7), Some(7)]);
        data[BLOCK_BYTES as usize + 8] = 8;
        assert_eq!(tags(&data), [Some(7), None]);
        assert_eq!(tags(&data[..100]), [None]);
    }

    #[test]
    fn what_was_taken_down_is_a_history() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("history.jsonl");
        let recorder = Recorder::create(&file).unwrap();
        let tag = recorder.fresh_tag();
        let write = Operation::Write { offset: 0, length: BLOCK_BYTES, tag };
        let id = recorder.invoke("client 1", "rbd/x", write, None, Some(3)).unwrap();
        assert_eq!(recorder.history().unwrap().calls[0].completed, None);
        recorder.complete(id, Outcome::Unknown, None).unwrap();
        let read = History::read(std::io::BufReader::new(File::open(&file).unwrap())).unwrap();
        assert_eq!(read, recorder.history().unwrap());
        assert!(Recorder::create(&file).is_err(), "a history is not written over another");
    }
}
