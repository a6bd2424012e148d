//! Commands: what `ceph` and librados' `mon_command` ask of the monitor.

mod blocklist;
mod cluster;
mod maps;
mod osd;
mod pool;
mod request;
mod settings;
mod table;

use bytes::Bytes;
use errno::Errno;
use serde_json::Value;

pub(crate) use request::{Format, Request};
pub(crate) use settings::Settings;
pub(crate) use table::words;

use crate::cluster::{Cluster, Refusal};
use crate::{Monitor, json};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 0, or a negative error.
    pub(crate) result: i32,
    /// For people; `ceph` shows it on standard error.
    pub(crate) status: String,
    /// `ceph` shows it on standard output.
    pub(crate) output: Bytes,
}

/// What a command that succeeds says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    status: String,
    output: Bytes,
}

type Outcome = Result<Answer, Refusal>;

impl Answer {
    /// It is done.
    fn done(status: impl Into<String>) -> Self {
        Self { status: status.into(), output: Bytes::new() }
    }

    /// Output as it is.
    fn raw(output: impl Into<Bytes>) -> Self {
        Self { status: String::new(), output: output.into() }
    }

    /// Output for people, or as JSON where that is asked for.
    fn shown(format: Format, plain: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Self {
        Self::raw(match format {
            Format::Plain => Bytes::from(plain()),
            Format::Json => json::compact(&value()),
            Format::JsonPretty => json::pretty(&value()),
        })
    }

    /// Output that is JSON for people as well.
    fn json(format: Format, value: &Value) -> Self {
        Self::raw(if format == Format::Json { json::compact(value) } else { json::pretty(value) })
    }

    fn with_status(self, status: impl Into<String>) -> Self {
        Self { status: status.into(), ..self }
    }
}

/// Everything that a command may need.
pub(crate) struct Call<'a, C> {
    pub(crate) monitor: &'a mut Monitor,
    pub(crate) now_unix_ms: u64,
    pub(crate) cluster: &'a mut C,
    pub(crate) request: Request,
    /// What goes with it.
    pub(crate) input: &'a Bytes,
}

/// Runs a command: a JSON document, in pieces. EINVAL for what is not known: nobody waits for an answer that never comes.
pub(crate) fn run<C: Cluster>(
    monitor: &mut Monitor,
    now_unix_ms: u64,
    cluster: &mut C,
    command: &[Bytes],
    input: &Bytes,
) -> Reply {
    let outcome = Request::parse(&command.concat()).and_then(|request| {
        let run = table::find::<C>(&request.prefix)
            .ok_or_else(|| Refusal::new(Errno::EINVAL, "command not known"))?;
        run(&mut Call { monitor, now_unix_ms, cluster, request, input })
    });
    match outcome {
        Ok(Answer { status, output }) => Reply { result: 0, status, output },
        Err(Refusal { errno, text }) => Reply { result: errno.result(), status: text, output: Bytes::new() },
    }
}
