//! What a verb has to say, in three ways of writing it: lines for people, JSON and XML for programs, as `rbd` has them.

mod lines;
mod value;
mod xml;

pub(crate) use lines::{Column, Lines, table};
pub(crate) use value::{Object, Value, list};

use clap::ValueEnum;

use crate::failure::Failure;

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and lines, for people.
    Plain,
    /// One JSON value, for programs; the keys are documented in docs/rbd-client.md.
    Json,
    /// The same as one XML element.
    Xml,
}

/// What a verb has to say.
pub(crate) trait Report {
    /// Name of the XML element.
    const ELEMENT: &'static str;

    /// For programs.
    fn value(&self) -> Value;

    /// The same for people; no lines = nothing to show.
    fn plain(&self) -> Lines;
}

/// A report without its last line end; `None` = nothing to print.
pub(crate) fn written<R: Report>(
    report: &R,
    format: Format,
    is_pretty: bool,
) -> Result<Option<String>, Failure> {
    match format {
        Format::Plain => Ok(Some(report.plain().to_string()).filter(|text| !text.is_empty())),
        Format::Json => report.value().to_json(is_pretty).map(Some),
        Format::Xml => Ok(Some(xml::element(R::ELEMENT, &report.value(), is_pretty))),
    }
}
