//! The events file. A thread of its own writes it: whatever the file does, only that thread waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use osd::Event;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Follower, line};
use crate::daemon::Daemon;

/// A file that takes nothing for so long when the server closes is not waited for.
const STALL_MAX: Duration = Duration::from_secs(1);

/// Where every event is written, as one JSON object a line.
pub(crate) struct EventsFile {
    path: PathBuf,
    batches: mpsc::Sender<Vec<Arc<Event>>>,
    /// The thread has written everything.
    complete: oneshot::Receiver<()>,
}

impl EventsFile {
    /// Creates the file, and the thread that writes it. The thread ends when everything that was given to it is written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // A pipe opens when it has a reader.
        let is_pipe = path.metadata().is_ok_and(|known| known.file_type().is_fifo());
        let file = if is_pipe { None } else { Some(File::create(path)?) };
        let (batches, to_write) = mpsc::channel(1);
        let (written, complete) = oneshot::channel();
        let path = path.to_owned();
        let of_thread = path.clone();
        let writing = move || {
            write_all(&of_thread, file, to_write);
            // The server may have closed without waiting.
            let _ = written.send(());
        };
        thread::Builder::new().name("events".to_owned()).spawn(writing)?;
        Ok(Self { path, batches, complete })
    }

    /// Hands every event to the thread until `stop`, what happened before it included.
    pub(crate) async fn follow(self, daemon: Arc<Daemon>, stop: CancellationToken) {
        let Self { path, batches, complete } = self;
        let mut follower = Follower::new(daemon, 0);
        let is_complete = loop {
            let events = follower.take();
            if events.is_empty() {
                if follower.wait(&stop).await {
                    continue;
                }
                drop(batches);
                break timeout(STALL_MAX, complete).await.is_ok();
            }
            let is_taken = tokio::select! {
                biased;
                sent = batches.send(events) => sent.is_ok(),
                () = stalled(&stop) => false,
            };
            if !is_taken {
                break false;
            }
        };
        if !is_complete {
            tracing::warn!("{} takes nothing: the newest events are not in it", path.display());
        }
    }
}

/// The server closes and has waited.
async fn stalled(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(STALL_MAX).await;
}

fn write_all(path: &Path, file: Option<File>, mut batches: mpsc::Receiver<Vec<Arc<Event>>>) {
    let opened = file.map_or_else(|| OpenOptions::new().write(true).open(path), Ok);
    let mut writer = match opened {
        Ok(file) => Writer::new(file),
        Err(error) => return tracing::warn!("{} cannot be opened: {error}", path.display()),
    };
    while let Some(events) = batches.blocking_recv() {
        let was_whole = writer.missing_after.is_none();
        match writer.write(&events) {
            Ok(()) if !was_whole => {
                tracing::warn!("{} can be written again; a gap marks what is missing", path.display());
            }
            Err(error) if was_whole => {
                tracing::warn!("{} cannot be written: {error}; events are missing in it", path.display());
            }
            _ => {}
        }
    }
}

/// A file that may refuse to be written, and later not.
struct Writer<W> {
    file: W,
    /// The last event that is in it.
    newest: u64,
    /// The events after this one could not be written.
    missing_after: Option<u64>,
    /// A line has begun and not ended.
    is_within_line: bool,
}

impl<W: Write> Writer<W> {
    fn new(file: W) -> Self {
        Self { file, newest: 0, missing_after: None, is_within_line: false }
    }

    /// Writes the events, behind a gap when earlier ones could not be written.
    fn write(&mut self, events: &[Arc<Event>]) -> io::Result<()> {
        let Some(first) = events.first() else { return Ok(()) };
        let mut lines = Vec::new();
        if self.is_within_line {
            lines.push(b'\n');
        }
        if let Some(after) = self.missing_after {
            line::append(&mut lines, &Event::gap(after, first.sequence.saturating_sub(1), first.time));
        }
        let before_events = lines_in(&lines);
        events.iter().for_each(|event| line::append(&mut lines, event));
        let (written, outcome) = self.put(&lines);
        let whole = lines_in(&lines[..written]).saturating_sub(before_events);
        if let Some(newest) = events[..whole].last() {
            self.newest = newest.sequence;
        }
        self.missing_after = outcome.is_err().then_some(self.newest);
        outcome
    }

    /// How many bytes the file took, and why no more.
    fn put(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < lines.len() {
            match self.file.write(&lines[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.is_within_line = lines[written - 1] != b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, self.file.flush())
    }
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use osd::Millis;

    use super::*;

    /// Takes so many bytes, then nothing.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events(sequences: std::ops::RangeInclusive<u64>) -> Vec<Arc<Event>> {
        sequences.map(|sequence| Arc::new(Event::gap(sequence - 1, sequence, Millis(0)))).collect()
    }

    #[test]
    fn what_a_full_file_did_not_take_is_marked_as_a_gap_once_it_takes_more() {
        let mut writer = Writer::new(Narrow { taken: Vec::new(), room: 10_000 });
        writer.write(&events(1..=2)).expect("there is room");
        writer.file.room = 150;
        writer.write(&events(3..=4)).expect_err("there is room for a line and a piece");
        writer.write(&events(5..=6)).expect_err("there is none");
        writer.file.room = 10_000;
        writer.write(&events(7..=7)).expect("there is room again");
        let lines = String::from_utf8(writer.file.taken).expect("it is text");
        let lines: Vec<_> = lines.lines().map(serde_json::from_str::<serde_json::Value>).collect();
        assert_eq!(lines.len(), 6, "three events, a piece, the gap, an event: {lines:?}");
        assert!(lines[3].is_err(), "a line that was cut");
        let gap = lines[4].as_ref().expect("a line");
        assert_eq!((&gap["sequence"], &gap["kind"]), (&6.into(), &"gap".into()));
        assert!(gap["detail"].as_str().is_some_and(|detail| detail.starts_with("events 4 to 6 ")), "{gap}");
    }
}
