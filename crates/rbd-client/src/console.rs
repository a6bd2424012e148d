//! Where output goes: reports to standard output, messages and progress to standard error.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
};

use crate::{
    failure::Failure,
    report::{Format, Object, Report, Value, written},
    visible::visible_message,
};

/// Where the output of one verb goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Of reports.
    pub(crate) format: Format,
    /// Whether JSON and XML are broken into lines.
    pub(crate) is_pretty: bool,
    /// Whether long work shows how far it is.
    pub(crate) progress: bool,
}

impl Console {
    /// Prints `report` on standard output.
    pub(crate) fn report<R: Report>(&self, report: &R) -> Result<(), Failure> {
        match written(report, self.format, self.is_pretty)? {
            Some(text) => print_line(&text).map(drop),
            None => Ok(()),
        }
    }

    /// Prints one of many reports, on one line; `Break` when nobody reads them any more.
    pub(crate) fn next<R: Report>(&self, report: &R) -> Result<ControlFlow<()>, Failure> {
        print_line(&written(report, self.format, false)?.unwrap_or_default())
    }

    /// Prints `fields` as one line of JSON on standard output, whatever the format.
    pub(crate) fn json(&self, fields: Object) -> Result<(), Failure> {
        print_line(&Value::from(fields).to_json(false)?).map(drop)
    }

    /// Whether progress can be drawn as a bar.
    pub(crate) fn draws_bars(&self) -> bool {
        self.progress && io::stderr().is_terminal()
    }
}

/// A message for people, of one line, on standard error. Nobody may listen: that ends no work.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{}", visible_message(&message.to_string()));
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
