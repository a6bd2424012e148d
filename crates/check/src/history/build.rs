//! Reads a history and refuses one that cannot be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use super::line::{Head, Line};
use super::{Call, History, Moment, Operation, Outcome, Record, What};

/// The history cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("malformed history, line {line}: {rule}: {input}")]
pub struct HistoryError {
    /// From 1; the first line is the head.
    pub line: u64,
    /// The rule that is broken.
    pub rule: String,
    /// The line as it was read.
    pub input: String,
}

impl History {
    /// Reads JSON lines as the README describes them.
    pub fn read(input: impl BufRead) -> Result<Self, HistoryError> {
        let mut builder: Option<HistoryBuilder> = None;
        for (line, text) in (1..).zip(input.lines()) {
            let text = text.map_err(|error| refuse(line, error.to_string(), String::new()))?;
            let broken = |rule| refuse(line, rule, text.clone());
            match &mut builder {
                None => builder = Some(HistoryBuilder::new(head(&text).map_err(broken)?)),
                Some(builder) => {
                    let parsed: Line = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
                    builder.push(parsed.record().map_err(broken)?).map_err(broken)?;
                }
            }
        }
        let no_head = || refuse(1, "a history begins with its head".to_owned(), String::new());
        builder.map(|builder| builder.history).ok_or_else(no_head)
    }

    /// The history of these records; an error counts them as lines from 2 on.
    pub fn from_records(
        block_bytes: u64,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Self, HistoryError> {
        let block_bytes = check_block_bytes(block_bytes)
            .map_err(|rule| refuse(1, rule, format!("block_bytes {block_bytes}")))?;
        let mut builder = HistoryBuilder::new(block_bytes);
        for (line, record) in (2..).zip(records) {
            let input = format!("{record:?}");
            builder.push(record).map_err(|rule| refuse(line, rule, input))?;
        }
        Ok(builder.history)
    }
}

fn refuse(line: u64, rule: String, input: String) -> HistoryError {
    HistoryError { line, rule, input }
}

fn head(text: &str) -> Result<u64, String> {
    let head: Head = serde_json::from_str(text)
        .map_err(|error| format!("a history begins with {{\"history\":1,\"block_bytes\":N}}: {error}"))?;
    if head.history != 1 {
        return Err(format!("version {} of the format is not known", head.history));
    }
    check_block_bytes(head.block_bytes)
}

fn check_block_bytes(block_bytes: u64) -> Result<u64, String> {
    if block_bytes == 0 { Err("block_bytes is above 0".to_owned()) } else { Ok(block_bytes) }
}

/// Builds a history record by record.
#[derive(Clone, Debug)]
pub struct HistoryBuilder {
    history: History,
    /// Place of each call that was invoked.
    places: BTreeMap<u64, usize>,
    tags: BTreeSet<u64>,
    /// (image, snapshot) of all names that snapshots were to have.
    snapshots: BTreeSet<(String, String)>,
    /// Those that they were to lose.
    lost: BTreeSet<(String, String)>,
    /// Images that somebody tried to make, and how.
    made: BTreeMap<String, Operation>,
    /// Names that images were to lose.
    gone: BTreeSet<String>,
    /// Images that were cloned.
    parents: BTreeSet<String>,
    position: u64,
    time_ms: u64,
}

impl HistoryBuilder {
    /// A history of nothing, of images that are seen as blocks of `block_bytes`.
    pub fn new(block_bytes: u64) -> Self {
        Self {
            history: History {
                block_bytes,
                calls: Vec::new(),
                first_names: BTreeMap::new(),
                first_snapshot_names: BTreeMap::new(),
                later_names: BTreeMap::new(),
            },
            places: BTreeMap::new(),
            tags: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            lost: BTreeSet::new(),
            made: BTreeMap::new(),
            gone: BTreeSet::new(),
            parents: BTreeSet::new(),
            position: 0,
            time_ms: 0,
        }
    }

    /// What was built.
    pub fn history(self) -> History {
        self.history
    }

    /// Appends a record. An error is the rule that it breaks, and then the history does not have it.
    pub fn push(&mut self, record: Record) -> Result<(), String> {
        let Record { id, client, time_ms, osd_sequence, what } = record;
        if time_ms < self.time_ms {
            return Err(format!("time runs backwards, from {} to {time_ms}", self.time_ms));
        }
        self.time_ms = time_ms;
        self.position += 1;
        let moment = Moment { position: self.position, time_ms, osd_sequence };
        match what {
            What::Invoke { image, operation, deadline_ms } => self.invoke(Call {
                id,
                client,
                image,
                operation,
                deadline_ms,
                invoked: moment,
                completed: None,
            }),
            What::Complete(outcome) => self.complete(id, &client, outcome, moment),
        }
    }

    fn invoke(&mut self, mut call: Call) -> Result<(), String> {
        if self.places.contains_key(&call.id) {
            return Err(format!("call {} was invoked before", call.id));
        }
        self.check_range(&call.operation)?;
        self.check_made(&call.image, &call.operation)?;
        call.image = self.history.first_name(&call.image).to_owned();
        if let Operation::Clone { parent, .. } = &mut call.operation {
            *parent = self.history.first_name(parent).to_owned();
        }
        self.check_names(&call.image, &call.operation)?;
        self.call_by_first_name(call.id, &call.image, &mut call.operation);
        self.places.insert(call.id, self.history.calls.len());
        self.history.calls.push(call);
        Ok(())
    }

    fn check_range(&mut self, operation: &Operation) -> Result<(), String> {
        let block_bytes = self.history.block_bytes;
        if let Some((offset, length)) = operation.range() {
            if length == 0 || offset % block_bytes != 0 || length % block_bytes != 0 {
                return Err(format!(
                    "offset and length are whole blocks of {block_bytes} bytes, at least one"
                ));
            }
            if offset.checked_add(length).is_none() {
                return Err("a range ends below 2^64".to_owned());
            }
        }
        match operation {
            Operation::Write { tag: 0, .. } => Err("tag 0 means zeros: a write has another".to_owned()),
            Operation::Write { tag: u64::MAX, .. } => Err(format!("tag {} is reserved", u64::MAX)),
            Operation::Write { tag, .. } if !self.tags.insert(*tag) => {
                Err(format!("tag {tag} belongs to another write"))
            }
            Operation::Resize { size } | Operation::Create { size } if size % block_bytes != 0 => {
                Err(format!("a size is in whole blocks of {block_bytes} bytes"))
            }
            _ => Ok(()),
        }
    }

    /// Names are not used again: otherwise nobody could say which of two a later call is about.
    fn check_names(&mut self, image: &str, operation: &Operation) -> Result<(), String> {
        let of = |snap: &str| (image.to_owned(), snap.to_owned());
        match operation {
            Operation::SnapCreate { snap } => {
                let is_renamed = self.history.first_snapshot_names.contains_key(&of(snap));
                if is_renamed || self.lost.contains(&of(snap)) {
                    return Err(format!(
                        "the name {image}@{snap}, which a snapshot had or lost, is not used again"
                    ));
                }
                self.snapshots.insert(of(snap));
            }
            Operation::SnapRemove { snap } => drop(self.lost.insert(of(snap))),
            Operation::SnapPurge => {
                let is_of_image = |snapshot: &&(String, String)| snapshot.0 == image;
                self.lost.extend(self.snapshots.iter().filter(is_of_image).cloned());
            }
            Operation::SnapRename { snap, to } => {
                let is_new = self.snapshots.insert(of(to)) && !self.lost.contains(&of(to));
                if !is_new || snap == to {
                    return Err(format!("no other snapshot had the name {image}@{to}"));
                }
                let first = self.history.first_snapshot_name(image, snap).to_owned();
                self.history.first_snapshot_names.insert(of(to), first);
                self.lost.insert(of(snap));
            }
            _ => {}
        }
        if let Operation::Clone { parent, .. } = operation {
            self.parents.insert(parent.clone());
        }
        Ok(())
    }

    fn call_by_first_name(&mut self, id: u64, image: &str, operation: &mut Operation) {
        let image = match operation {
            Operation::Clone { parent, .. } => parent.clone(),
            _ => image.to_owned(),
        };
        if let Some(snap) = operation.snapshot_mut() {
            let first = self.history.first_snapshot_name(&image, snap).to_owned();
            if first != *snap {
                self.history.later_names.insert(id, std::mem::replace(snap, first));
            }
        }
    }

    /// Of several who try to make an image any can have been the one.
    fn check_made(&mut self, image: &str, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Create { .. } | Operation::Clone { .. } => {
                if self.gone.contains(image) {
                    return Err(format!(
                        "the name of image {image}, which it was to lose, is not used again"
                    ));
                }
                let is_own_parent = matches!(operation, Operation::Clone { parent, .. } if parent == image);
                if is_own_parent || (self.parents.contains(image) && !self.made.contains_key(image)) {
                    return Err(format!("image {image} is made before it is cloned"));
                }
                let first = self.made.entry(image.to_owned()).or_insert_with(|| operation.clone());
                if first != operation {
                    return Err(format!("whoever makes image {image} asks for the same"));
                }
            }
            Operation::Remove => drop(self.gone.insert(image.to_owned())),
            Operation::Rename { to } => {
                if self.made.contains_key(to) || self.gone.contains(to) || to == image {
                    return Err(format!("no other image had the name {to}"));
                }
                let first = self.history.first_name(image).to_owned();
                if self
                    .history
                    .first_names
                    .insert(to.clone(), first.clone())
                    .is_some_and(|other| other != first)
                {
                    return Err(format!("no other image had the name {to}"));
                }
                self.gone.insert(image.to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn complete(&mut self, id: u64, client: &str, outcome: Outcome, at: Moment) -> Result<(), String> {
        let place = self.places.get(&id).ok_or_else(|| format!("call {id} was not invoked"))?;
        let call = &self.history.calls[*place];
        if call.client != client {
            return Err(format!("call {id} belongs to client {}", call.client));
        }
        if call.completed.is_some() {
            return Err(format!("call {id} has ended before"));
        }
        if let Outcome::Ok { tags } = &outcome {
            let is_read = matches!(call.operation, Operation::Read { .. });
            let blocks = self.history.blocks(&call.operation);
            if !is_read && !tags.is_empty() {
                return Err("only a read has tags".to_owned());
            }
            if is_read && tags.len() as u64 > blocks.end - blocks.start {
                return Err(format!("a read of {} blocks has no more tags", blocks.end - blocks.start));
            }
        }
        self.history.calls[*place].completed = Some((at, outcome));
        Ok(())
    }
}
