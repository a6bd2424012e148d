//! What a verb prints: a report on standard output, as a table or as JSON. Messages and progress go to standard error.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
};

use clap::ValueEnum;
use serde::Serialize;
use tabled::{
    builder::Builder,
    settings::{Padding, Style},
};

use crate::failure::Failure;

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and lines, for people.
    Plain,
    /// One JSON value, for programs; the keys are documented in docs/rbd-client.md.
    Json,
}

/// What a verb has to say. The fields are the JSON output; `plain` is the same for people.
pub(crate) trait Report: Serialize {
    /// Lines without the last newline; empty = nothing to show.
    fn plain(&self) -> String;
}

/// Where the output of one verb goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Of reports.
    pub(crate) format: Format,
    /// Whether long work shows how far it is.
    pub(crate) progress: bool,
}

impl Console {
    /// Prints `report` on standard output.
    pub(crate) fn report(&self, report: &impl Report) -> Result<(), Failure> {
        match self.format {
            Format::Plain => match report.plain() {
                text if text.is_empty() => Ok(()),
                text => print_line(&text).map(drop),
            },
            Format::Json => self.json(report),
        }
    }

    /// Prints one of many reports; `Break` when nobody reads them any more.
    pub(crate) fn next(&self, report: &impl Report) -> Result<ControlFlow<()>, Failure> {
        match self.format {
            Format::Plain => print_line(&report.plain()),
            Format::Json => print_line(&json(report)?),
        }
    }

    /// Prints `value` as one line of JSON on standard output, whatever the format.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        print_line(&json(value)?).map(drop)
    }

    /// Whether progress can be drawn as a bar.
    pub(crate) fn draws_bars(&self) -> bool {
        self.progress && io::stderr().is_terminal()
    }
}

/// A message for people, on standard error. Nobody may listen: that ends no work.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{message}");
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::io("standard output", &error.into()))
}

/// `Break`: the reader has seen enough, e.g. `rbd-client ls | head -1`.
fn print_line(text: &str) -> Result<ControlFlow<()>, Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::io("standard output", &error)),
    }
}

/// Rows under a header, as `rbd` prints them: columns two spaces apart, no lines. Empty without rows.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut builder = Builder::default();
    builder.push_record(header);
    for row in rows {
        builder.push_record(row);
    }
    if builder.count_records() == 1 {
        return String::new();
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_aligned_columns_and_no_lines() {
        let rows = [["4".to_owned(), "first".to_owned()], ["12".to_owned(), "x".to_owned()]];
        assert_eq!(table(["SNAPID", "NAME"], rows), "SNAPID  NAME\n4       first\n12      x");
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(table(["NAME"], []), "");
    }
}
