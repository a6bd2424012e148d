//! A record as JSON.

use errno::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Operation, Outcome, Record, What};

/// First line of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Version of the format: 1.
    pub(super) history: u32,
    pub(super) block_bytes: u64,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    id: u64,
    client: String,
    time_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    osd_sequence: Option<u64>,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Ended>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Option<u64>>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Invoke,
    Complete,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ended {
    Ok,
    Error,
    Unknown,
}

impl Line {
    pub(super) fn of(record: &Record) -> Self {
        let mut line = Self {
            id: record.id,
            client: record.client.clone(),
            time_ms: record.time_ms,
            osd_sequence: record.osd_sequence,
            kind: Kind::Complete,
            op: None,
            image: None,
            args: None,
            deadline_ms: None,
            outcome: None,
            errno: None,
            tags: None,
        };
        match &record.what {
            What::Invoke { image, operation, deadline_ms } => {
                let (op, args) = named(operation);
                line.kind = Kind::Invoke;
                line.deadline_ms = *deadline_ms;
                (line.op, line.args, line.image) = (Some(op), args, Some(image.clone()));
            }
            What::Complete(Outcome::Ok { tags }) => {
                line.outcome = Some(Ended::Ok);
                line.tags = Some(tags.clone()).filter(|tags| !tags.is_empty());
            }
            What::Complete(Outcome::Error { errno }) => {
                (line.outcome, line.errno) = (Some(Ended::Error), Some(errno.name().to_owned()));
            }
            What::Complete(Outcome::Unknown) => line.outcome = Some(Ended::Unknown),
        }
        line
    }

    /// The record, or the rule that the line breaks.
    pub(super) fn record(self) -> Result<Record, String> {
        let (id, client, time_ms, osd_sequence) =
            (self.id, self.client.clone(), self.time_ms, self.osd_sequence);
        let what = match self.kind {
            Kind::Invoke => self.invocation()?,
            Kind::Complete => What::Complete(self.completion()?),
        };
        Ok(Record { id, client, time_ms, osd_sequence, what })
    }

    fn invocation(self) -> Result<What, String> {
        if self.outcome.is_some() || self.errno.is_some() || self.tags.is_some() {
            return Err("outcome, errno and tags belong to a completion".to_owned());
        }
        let image = self.image.ok_or("an invocation names its image")?;
        let op = self.op.ok_or("an invocation names its op")?;
        let args = self.args.filter(|args| args.as_object().is_none_or(|args| !args.is_empty()));
        let value = Value::Object(Map::from_iter([(op, args.unwrap_or(Value::Null))]));
        let operation = serde_json::from_value(value).map_err(|error| error.to_string())?;
        Ok(What::Invoke { image, operation, deadline_ms: self.deadline_ms })
    }

    fn completion(self) -> Result<Outcome, String> {
        if self.op.is_some() || self.image.is_some() || self.args.is_some() || self.deadline_ms.is_some() {
            return Err("op, image, args and deadline_ms belong to an invocation".to_owned());
        }
        let outcome = self.outcome.ok_or("a completion has an outcome")?;
        match (outcome, self.errno, self.tags) {
            (Ended::Ok, None, tags) => Ok(Outcome::Ok { tags: tags.unwrap_or_default() }),
            (Ended::Error, Some(name), None) => Errno::from_name(&name)
                .map(|errno| Outcome::Error { errno })
                .ok_or_else(|| format!("{name:?} is no errno's name")),
            (Ended::Error, None, None) => Err("outcome error names its errno".to_owned()),
            (Ended::Unknown, None, None) => Ok(Outcome::Unknown),
            (_, Some(_), _) => Err("errno belongs to outcome error".to_owned()),
            (_, _, Some(_)) => Err("tags belong to outcome ok".to_owned()),
        }
    }
}

/// Name and arguments of an operation.
pub(super) fn named(operation: &Operation) -> (String, Option<Value>) {
    let value = serde_json::to_value(operation).expect("its keys are strings");
    match value {
        Value::Object(map) => {
            let (name, args) = map.into_iter().next().expect("one key names the variant");
            (name, Some(args))
        }
        Value::String(name) => (name, None),
        other => unreachable!("serde writes a variant as a string or as an object, not as {other}"),
    }
}
