//! Writes a history as it happens.

use std::io::{self, Write};

use serde::Serialize;

use super::Record;
use super::line::{Head, Line};

/// Appends records as lines. It does not judge them: the reader does.
#[derive(Debug)]
pub struct HistoryWriter<W> {
    out: W,
}

impl<W: Write> HistoryWriter<W> {
    /// Begins a history of images that are seen as blocks of `block_bytes`.
    pub fn new(out: W, block_bytes: u64) -> io::Result<Self> {
        let mut writer = Self { out };
        writer.line(&Head { history: 1, block_bytes })?;
        Ok(writer)
    }

    /// Appends a record, in one write. Order is meaning: an invocation before it is sent, a completion after it came.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.line(&Line::of(record))
    }

    /// The output, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(io::Error::from)?;
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }
}
