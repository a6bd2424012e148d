use bytes::Bytes;
use errno::Errno;

use super::calls::{Call, Named, named};
use super::crossing::{Crossing, Direction};
use super::{pattern, payload};
use crate::vector::Subject;
use crate::{Millis, OpError, vector};

/// The only map of which there is an older one, by the name that subscribers have for it.
const OSD_MAP: &str = "osdmap";

/// The largest number that protobuf gives a field.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;
/// The longest delay: one day.
const DELAY_MAX: Millis = Millis(24 * 60 * 60 * 1000);

/// A fault, and what it befalls.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it befalls.
    pub when: Condition,
    /// The first so many matches pass unharmed.
    pub skip: u64,
    /// How many matches it befalls after that; `None` = every one. Above 0.
    pub times: Option<u64>,
    /// What is befallen is the so many-th thing after a match that goes the same way for the same client; 0 = the match itself.
    pub later: u64,
    /// How likely it befalls a match; above 0, at most 1.
    pub probability: f64,
    /// Of the draws for `probability`: the same matches with the same seed give the same faults.
    pub seed: u64,
    /// What is done.
    pub action: Action,
}

/// What a rule befalls: everything that fits every part. Patterns know `*` and `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which way it goes.
    pub direction: Direction,
    /// Of the client at the other end.
    pub gid: Option<u64>,
    /// Pattern of the client's name, or of its address (IP:PORT/NONCE).
    pub client: Option<String>,
    /// Pattern of the pool's name.
    pub pool: Option<String>,
    /// Pattern of the object's name.
    pub object: Option<String>,
    /// Requests, replies and maps only: pattern of an op ("write"), a class's method ("rbd.set_parent", "lock.*") or a call
    /// ("notify", "mon.osd_pool_create"), or of what a map shows ("osdmap"). A vector fits when one of its ops does.
    pub op: Option<String>,
    /// Notifies, acks and op "notify" only: how the payload begins; empty = any. An ack is judged by the payload of
    /// the notify that it answers.
    pub payload_prefix: Bytes,
    /// As `payload_prefix`: the field that is set in the payload's outermost oneof, e.g. 6 = AsyncComplete of
    /// rbd.v1.NotifyMessage. What librbd says on an image's header has the number of its kind + 1: that of the same field, also where
    /// rbd.v1 has no such message (19 = Quiesce).
    pub payload_field: Option<u32>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It comes later.
    Delay(Millis),
    /// It is lost.
    Drop,
    /// It comes twice, the second time so much later.
    Duplicate(Millis),
    /// Requests: refused, not applied. Replies: applied, but the client is told this.
    Error(Errno),
    /// It waits until the rule's held are released, or the rule is removed.
    Hold,
    /// It is lost with the connections of its client's session.
    Disconnect,
    /// The client's watches of the object expire; what crossed goes on.
    ExpireWatch,
    /// The client is fenced; what crossed goes on.
    Blocklist,
    /// The map before it goes instead.
    OldMap,
}

impl Rule {
    /// A rule for every match of `when`.
    pub const fn new(when: Condition, action: Action) -> Self {
        Self { when, skip: 0, times: None, later: 0, probability: 1.0, seed: 0, action }
    }

    /// EINVAL for a rule that can befall nothing; the text names the part and what it breaks.
    pub(super) fn check(&self, others: &[Call]) -> Result<(), OpError> {
        if self.skip == u64::MAX {
            return refuse(format!("skip {}: no match comes after so many", self.skip));
        }
        if self.times == Some(0) {
            return refuse("times 0: a rule fires at least once; without times there is no limit");
        }
        if !(self.probability > 0.0 && self.probability <= 1.0) {
            let probability = self.probability;
            return refuse(format!("probability {probability}: it is above 0 and at most 1"));
        }
        self.when.check(others)?;
        self.check_action(others)
    }

    /// Whether the fault can befall it. One that says an error passes over what has no place for it.
    pub(super) fn can_befall(&self, crossing: &Crossing<'_>) -> bool {
        crossing.can_fail || !matches!(self.action, Action::Error(_))
    }

    fn check_action(&self, others: &[Call]) -> Result<(), OpError> {
        let direction = self.when.direction;
        match self.action {
            Action::Delay(Millis(0)) => refuse("delay 0 ms: it would change nothing"),
            Action::Delay(span) | Action::Duplicate(span) if span > DELAY_MAX => refuse(format!(
                "{} {} ms: it is at most DELAY_MAX = {} ms, one day; what is to wait longer is held",
                self.action.name(),
                span.0,
                DELAY_MAX.0
            )),
            Action::ExpireWatch if self.when.subject(others) < Some(Subject::Object) => {
                refuse("expire-watch with an op that is about no object: there is no watch to expire")
            }
            Action::Error(errno)
                if matches!(direction, Direction::Notify | Direction::Ack | Direction::Map) =>
            {
                refuse(format!(
                    "error {errno} with direction {}: only a request or a reply can be an error",
                    direction.name()
                ))
            }
            Action::Error(errno) if !self.when.fitting(others).any(|named| named.can_fail) => {
                let op = self.when.op.as_deref().unwrap_or_default();
                refuse(format!("error {errno} with op '{op}', whose answer has no place for an error"))
            }
            Action::OldMap if direction != Direction::Map || self.when.op.as_deref() != Some(OSD_MAP) => {
                refuse(format!(
                    "old-map: only of the {OSD_MAP} there is an older one: direction map, op {OSD_MAP}"
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Condition {
    /// Everything that goes one way.
    pub const fn all(direction: Direction) -> Self {
        Self {
            direction,
            gid: None,
            client: None,
            pool: None,
            object: None,
            op: None,
            payload_prefix: Bytes::new(),
            payload_field: None,
        }
    }

    fn check(&self, others: &[Call]) -> Result<(), OpError> {
        let patterns =
            [("client", &self.client), ("pool", &self.pool), ("object", &self.object), ("op", &self.op)];
        for (part, text) in patterns {
            if let Some(text) = text {
                pattern::check(text).or_else(|rule| refuse(format!("{part} '{text}': {rule}")))?;
            }
        }
        if self.gid == Some(0) {
            return refuse("gid 0: no client instance has it");
        }
        self.check_op(others)?;
        self.check_subject(others)?;
        self.check_payload()
    }

    fn check_op(&self, others: &[Call]) -> Result<(), OpError> {
        let Some(op) = &self.op else { return Ok(()) };
        let direction = self.direction.name();
        if matches!(self.direction, Direction::Notify | Direction::Ack) {
            return refuse(format!(
                "op '{op}' with direction {direction}: only requests, replies and maps have ops"
            ));
        }
        if self.subject(others).is_none() {
            let known = if pattern::has_wildcard(op) { "fits no op" } else { "is no op" };
            let rule = if self.direction == Direction::Map {
                "expected osdmap, monmap, mgrmap, config or log"
            } else {
                "expected e.g. write, omap_set, rbd.set_parent, lock.* or the call notify"
            };
            return refuse(format!("op '{op}': it {known} of a {direction}; {rule}"));
        }
        Ok(())
    }

    fn check_subject(&self, others: &[Call]) -> Result<(), OpError> {
        let subject = self.subject(others).unwrap_or(Subject::Object);
        let about = match &self.op {
            Some(op) => format!("op '{op}'"),
            None => format!("direction {}", self.direction.name()),
        };
        let parts = [("object", &self.object, Subject::Object), ("pool", &self.pool, Subject::Pool)];
        for (part, wanted, least) in parts {
            if let Some(text) = wanted.as_ref().filter(|text| subject < least && !pattern::matches(text, ""))
            {
                return refuse(format!("{part} '{text}' with {about}, which is about no {part}"));
            }
        }
        Ok(())
    }

    /// The most that an op which fits is about; `None` = no op fits. Notifies and acks are about objects, maps about the cluster.
    fn subject(&self, others: &[Call]) -> Option<Subject> {
        match (self.direction, &self.op) {
            (Direction::Notify | Direction::Ack, _) => Some(Subject::Object),
            (Direction::Map, None) => Some(Subject::Osd),
            _ => self.fitting(others).map(|named| named.subject).max(),
        }
    }

    /// What it fits of all that has a name.
    fn fitting(&self, others: &[Call]) -> impl Iterator<Item = Named> {
        let is_wanted = |name: &str| self.op.as_ref().is_none_or(|op| pattern::matches(op, name));
        named(self.direction, others).filter(move |named| is_wanted(&named.name))
    }

    fn check_payload(&self) -> Result<(), OpError> {
        if self.payload_prefix.is_empty() && self.payload_field.is_none() {
            return Ok(());
        }
        if let Some(field) = self.payload_field.filter(|&field| field == 0 || field > FIELD_NUMBER_MAX) {
            return refuse(format!("payload field {field}: fields are numbered 1 to {FIELD_NUMBER_MAX}"));
        }
        let is_notify = self.op.as_ref().is_some_and(|op| pattern::matches(op, vector::CALL_NOTIFY));
        if !matches!(self.direction, Direction::Notify | Direction::Ack) && !is_notify {
            let direction = self.direction.name();
            return refuse(format!(
                "payload with direction {direction}: beside notifies and acks only requests and replies of op notify have one"
            ));
        }
        if let Some(field) = self.payload_field.filter(|_| !self.payload_prefix.is_empty())
            && payload::first_field(&self.payload_prefix).is_some_and(|begins| begins != field)
        {
            return refuse(format!("payload field {field}: the payload prefix begins another field"));
        }
        Ok(())
    }

    /// Whether it fits every part.
    pub(super) fn fits(&self, crossing: &Crossing<'_>) -> bool {
        let fits = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| pattern::matches(wanted, text))
        };
        self.direction == crossing.direction
            && self.gid.is_none_or(|gid| gid == crossing.gid)
            && (fits(&self.client, crossing.client) || fits(&self.client, crossing.address))
            && fits(&self.pool, crossing.pool)
            && fits(&self.object, crossing.object)
            && (self.op.is_none() || crossing.ops.iter().any(|op| fits(&self.op, op)))
            && self.fits_payload(crossing)
    }

    fn fits_payload(&self, &Crossing { object, payload, .. }: &Crossing<'_>) -> bool {
        if self.payload_prefix.is_empty() && self.payload_field.is_none() {
            return true;
        }
        payload.is_some_and(|payload| {
            payload.starts_with(&self.payload_prefix)
                && self.payload_field.is_none_or(|field| payload::kind(object, payload) == Some(field))
        })
    }
}

impl Action {
    /// As people write it, e.g. "expire-watch".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Drop => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Error(_) => "error",
            Self::Hold => "hold",
            Self::Disconnect => "disconnect",
            Self::ExpireWatch => "expire-watch",
            Self::Blocklist => "blocklist",
            Self::OldMap => "old-map",
        }
    }
}

fn refuse(text: impl Into<String>) -> Result<(), OpError> {
    Err(OpError { errno: Errno::EINVAL, failed_op: None, text: format!("fault rule: {}", text.into()) })
}
