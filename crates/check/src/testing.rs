//! What the unit tests share.

use crate::events::EventLog;
use crate::history::{History, Operation, Outcome, Record, What};
use crate::image::ImageObjects;

/// Bytes in a block of test histories.
pub(crate) const BLOCK: u64 = 512;

pub(crate) fn image() -> ImageObjects {
    ImageObjects { pool: "rbd".into(), header: "rbd_header.1".into(), object_prefix: "rbd_data.1".into() }
}

/// Events (kind, gid, object, detail) from sequence 1 on.
pub(crate) fn log(lines: &[(&str, u64, &str, &str)]) -> EventLog {
    let event =
        |(sequence, (kind, gid, object, detail)): (u64, &(&str, u64, &str, &str))| proto::osd::v1::Event {
            sequence,
            kind: (*kind).to_owned(),
            gid: *gid,
            pool: "rbd".to_owned(),
            object: (*object).to_owned(),
            detail: (*detail).to_owned(),
            ..proto::osd::v1::Event::default()
        };
    EventLog::from_wire((1..).zip(lines).map(event)).expect("the test's log is well formed")
}

/// Changes of the test image's header (op, what it is about) from sequence 1 on.
pub(crate) fn log_with_arguments(commits: &[(&str, &str)]) -> EventLog {
    let event = |(sequence, (op, argument)): (u64, &(&str, &str))| proto::osd::v1::Event {
        sequence,
        kind: if *op == "snap_id" { op } else { "applied" }.to_owned(),
        gid: 5,
        pool: "rbd".to_owned(),
        object: image().header,
        detail: if *op == "snap_id" { argument } else { op }.to_string(),
        arguments: vec![(*argument).to_owned()],
        ..proto::osd::v1::Event::default()
    };
    EventLog::from_wire((1..).zip(commits).map(event)).expect("the test's log is well formed")
}

/// Events (kind, error) from sequence 1 on.
pub(crate) fn log_with_errors(lines: &[(&str, &str)]) -> EventLog {
    let event = |(sequence, (kind, error)): (u64, &(&str, &str))| proto::osd::v1::Event {
        sequence,
        kind: (*kind).to_owned(),
        error: (*error).to_owned(),
        ..proto::osd::v1::Event::default()
    };
    EventLog::from_wire((1..).zip(lines).map(event)).expect("the test's log is well formed")
}

/// A history as a script: each step is one record, one millisecond after the one before.
#[derive(Default)]
pub(crate) struct Script {
    records: Vec<Record>,
    calls: u64,
    osd_sequence: Option<u64>,
    client: Option<String>,
    deadline_ms: Option<u64>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The newest event at all further records.
    pub(crate) fn at_event(&mut self, sequence: u64) {
        self.osd_sequence = Some(sequence);
    }

    /// All further records are this client's; at first they are client a's.
    pub(crate) fn of(&mut self, client: &str) {
        self.client = Some(client.to_owned());
    }

    /// The deadline of all further calls.
    pub(crate) fn deadline(&mut self, deadline_ms: u64) {
        self.deadline_ms = Some(deadline_ms);
    }

    pub(crate) fn invoke(&mut self, image: &str, operation: Operation) -> u64 {
        self.calls += 1;
        let deadline_ms = self.deadline_ms;
        self.push(self.calls, What::Invoke { image: image.to_owned(), operation, deadline_ms });
        self.calls
    }

    pub(crate) fn complete(&mut self, id: u64, outcome: Outcome) {
        self.push(id, What::Complete(outcome));
    }

    /// A call that ends at once.
    pub(crate) fn call(&mut self, image: &str, operation: Operation, outcome: Outcome) -> u64 {
        let id = self.invoke(image, operation);
        self.complete(id, outcome);
        id
    }

    pub(crate) fn ok(&mut self, image: &str, operation: Operation) -> u64 {
        self.call(image, operation, done())
    }

    /// A read of block 0 that gives this tag.
    pub(crate) fn read(&mut self, image: &str, snap: Option<&str>, tag: u64) -> u64 {
        self.call(image, read(snap), seen(&[tag]))
    }

    pub(crate) fn history(&self) -> History {
        History::from_records(BLOCK, self.records.clone()).expect("the test's history is well formed")
    }

    fn push(&mut self, id: u64, what: What) {
        let time_ms = self.records.len() as u64;
        let client = self.client.clone().unwrap_or_else(|| "a".to_owned());
        self.records.push(Record { id, client, time_ms, osd_sequence: self.osd_sequence, what });
    }
}

pub(crate) fn done() -> Outcome {
    Outcome::Ok { tags: Vec::new() }
}

pub(crate) fn seen(tags: &[u64]) -> Outcome {
    Outcome::Ok { tags: tags.iter().copied().map(Some).collect() }
}

pub(crate) fn refused(errno: errno::Errno) -> Outcome {
    Outcome::Error { errno }
}

/// Reads block 0.
pub(crate) fn read(snap: Option<&str>) -> Operation {
    Operation::Read { offset: 0, length: BLOCK, snap: snap.map(str::to_owned) }
}

/// Writes block 0.
pub(crate) fn write(tag: u64) -> Operation {
    Operation::Write { offset: 0, length: BLOCK, tag }
}

/// Discards block 0.
pub(crate) fn discard() -> Operation {
    Operation::Discard { offset: 0, length: BLOCK }
}

pub(crate) fn snap_create(snap: &str) -> Operation {
    Operation::SnapCreate { snap: snap.to_owned() }
}

pub(crate) fn snap_remove(snap: &str) -> Operation {
    Operation::SnapRemove { snap: snap.to_owned() }
}

pub(crate) fn clone(parent: &str, snap: &str) -> Operation {
    Operation::Clone { parent: parent.to_owned(), snap: snap.to_owned() }
}
