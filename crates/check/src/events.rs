//! The OSD's event log as the checkers see it.

use std::io::BufRead;

use errno::Errno;
use serde::Deserialize;

/// Name of the exclusive lock on a header object.
const LOCK_NAME: &str = "rbd_lock";

/// The OSD's events from some point on, in order and without holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLog {
    events: Vec<Event>,
}

/// One thing that happened at the OSD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub sequence: u64,
    /// The instance that did it or that it concerns.
    pub gid: u64,
    /// Pool name, may be empty.
    pub pool: String,
    /// Object name, may be empty.
    pub object: String,
    /// What it was.
    pub fact: Fact,
    /// Of a change, for each op what it is about; empty when the log does not say.
    pub arguments: Vec<String>,
}

/// What the checkers need to know of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A vector with these ops changed the object.
    Applied(Vec<String>),
    /// The exclusive lock was taken or renewed under this cookie.
    Locked(String),
    /// It was given back.
    Unlocked(String),
    /// It was taken away from the event's instance.
    Broken {
        /// Under which it was held.
        cookie: String,
        /// The instance that did it.
        by: u64,
    },
    /// Its cookie changed.
    Renamed {
        /// The cookie before.
        old: String,
        /// The cookie afterwards.
        new: String,
    },
    /// The instance was fenced.
    Blocklisted,
    /// An address was fenced; whoever was connected from there has an event of his own.
    AddressBlocklisted,
    /// Its entry has gone; it stays fenced.
    BlocklistRemoved,
    /// The instance ended its session.
    SessionClosed,
    /// Its session ended otherwise.
    SessionLost,
    /// A request was refused on purpose, with this error.
    Injected(Errno),
    /// A snapshot id was given out.
    SnapIdGiven(u64),
    /// A snapshot id was given back.
    SnapIdTaken(u64),
    /// No checker's business.
    Other,
}

/// The event log cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("malformed event log, line {line}: {rule}: {input}")]
pub struct EventLogError {
    /// From 1.
    pub line: u64,
    /// The rule that is broken.
    pub rule: String,
    /// The event as it was read.
    pub input: String,
}

/// Fields of an event line that are used.
#[derive(Debug, Deserialize)]
struct Line {
    sequence: u64,
    kind: String,
    #[serde(default)]
    gid: u64,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    arguments: Vec<String>,
}

impl Event {
    /// What this op of a change is about, as far as the log says.
    pub(crate) fn argument(&self, op: &str) -> Option<&str> {
        let Fact::Applied(ops) = &self.fact else { return None };
        let place = ops.iter().position(|applied| applied == op)?;
        self.arguments.get(place).map(String::as_str).filter(|argument| !argument.is_empty())
    }
}

impl EventLog {
    /// Reads the file that `osd-sim --events` writes.
    pub fn read(input: impl BufRead) -> Result<Self, EventLogError> {
        let mut log = Self::default();
        for (line, text) in (1..).zip(input.lines()) {
            let text = text.map_err(|error| refuse(line, error.to_string(), String::new()))?;
            let parsed: Line =
                serde_json::from_str(&text).map_err(|error| refuse(line, error.to_string(), text.clone()))?;
            let fact = log.fact(&parsed).map_err(|rule| refuse(line, rule, text))?;
            log.push(parsed, fact);
        }
        Ok(log)
    }

    /// The log of events as `Osd.Events` streams them.
    pub fn from_wire(events: impl IntoIterator<Item = proto::osd::v1::Event>) -> Result<Self, EventLogError> {
        let mut log = Self::default();
        for (line, event) in (1..).zip(events) {
            let proto::osd::v1::Event { sequence, kind, gid, pool, object, error, detail, arguments, .. } =
                event;
            let parsed = Line { sequence, kind, gid, pool, object, error, detail, arguments };
            let fact = log.fact(&parsed).map_err(|rule| refuse(line, rule, format!("{parsed:?}")))?;
            log.push(parsed, fact);
        }
        Ok(log)
    }

    /// All events, by number.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The same without what came after this event.
    pub fn until(mut self, newest: u64) -> Self {
        self.events.retain(|event| event.sequence <= newest);
        self
    }

    /// Number of the newest event, 0 = none.
    pub fn newest(&self) -> u64 {
        self.events.last().map_or(0, |event| event.sequence)
    }

    /// What a line says, if it can be the next.
    fn fact(&self, line: &Line) -> Result<Fact, String> {
        if let Some(last) = self.events.last()
            && line.sequence != last.sequence + 1
        {
            return Err(format!("sequence {} must follow {}", line.sequence, last.sequence));
        }
        fact(line)
    }

    fn push(&mut self, line: Line, fact: Fact) {
        let Line { sequence, gid, pool, object, arguments, .. } = line;
        self.events.push(Event { sequence, gid, pool, object, fact, arguments });
    }
}

fn refuse(line: u64, rule: String, input: String) -> EventLogError {
    EventLogError { line, rule, input }
}

fn fact(line: &Line) -> Result<Fact, String> {
    let kind = line.kind.as_str();
    match kind {
        "applied" => Ok(Fact::Applied(line.detail.split(", ").map(str::to_owned).collect())),
        "blocklisted" if line.gid == 0 => Ok(Fact::AddressBlocklisted),
        "blocklist_removed" if line.gid == 0 => Ok(Fact::Other),
        "blocklisted" => Ok(Fact::Blocklisted),
        "session_ended" if line.detail == "the client disconnected" => Ok(Fact::SessionClosed),
        "session_ended" => Ok(Fact::SessionLost),
        "blocklist_removed" => Ok(Fact::BlocklistRemoved),
        "fault" => Ok(Errno::from_name(&line.error).map_or(Fact::Other, Fact::Injected)),
        "snap_id" => snap_id(&line.detail).map(Fact::SnapIdGiven),
        "snap_trimmed" => snap_id(&line.detail).map(Fact::SnapIdTaken),
        "lock" | "unlock" | "lock_broken" | "lock_cookie" => lock_fact(kind, &line.detail),
        _ => Ok(Fact::Other),
    }
}

/// Details are "snap id ID" and "snap id ID, N objects".
fn snap_id(detail: &str) -> Result<u64, String> {
    let id = detail.strip_prefix("snap id ").and_then(|rest| rest.split(',').next()?.parse().ok());
    id.ok_or_else(|| format!("the detail names a snapshot id, not {detail:?}"))
}

/// Details are "NAME 'COOKIE'", "NAME 'COOKIE' by client GID" and "NAME 'OLD' became 'NEW'". Locks of another name are none
/// of ours.
fn lock_fact(kind: &str, detail: &str) -> Result<Fact, String> {
    let Some(rest) = detail.strip_prefix(LOCK_NAME).and_then(|rest| rest.strip_prefix(" '")) else {
        return if detail.contains(" '") { Ok(Fact::Other) } else { Err(unclear(kind, detail)) };
    };
    let fact = match kind {
        "lock_broken" => rest
            .rsplit_once("' by client ")
            .and_then(|(cookie, by)| Some(Fact::Broken { cookie: cookie.to_owned(), by: by.parse().ok()? })),
        "lock_cookie" => rest
            .strip_suffix('\'')
            .and_then(|rest| rest.split_once("' became '"))
            .map(|(old, new)| Fact::Renamed { old: old.to_owned(), new: new.to_owned() }),
        "unlock" => rest.strip_suffix('\'').map(|cookie| Fact::Unlocked(cookie.to_owned())),
        _ => rest.strip_suffix('\'').map(|cookie| Fact::Locked(cookie.to_owned())),
    };
    fact.ok_or_else(|| unclear(kind, detail))
}

fn unclear(kind: &str, detail: &str) -> String {
    format!("the detail of {kind} names a lock and its cookie, not {detail:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<EventLog, EventLogError> {
        EventLog::read(text.as_bytes())
    }

    #[test]
    fn lines_of_the_osd_become_facts() {
        let log = read(concat!(
            r#"{"sequence":4,"time_ms":1,"kind":"lock","gid":7,"object":"h","detail":"rbd_lock 'auto 3'"}"#,
            "\n",
            r#"{"sequence":5,"time_ms":1,"kind":"lock_cookie","gid":7,"detail":"rbd_lock 'auto 3' became 'auto 4'"}"#,
            "\n",
            r#"{"sequence":6,"time_ms":2,"kind":"lock_broken","gid":7,"detail":"rbd_lock 'auto 4' by client 9"}"#,
            "\n",
            r#"{"sequence":7,"time_ms":2,"kind":"applied","gid":9,"tid":2,"detail":"assert_exists, write"}"#,
            "\n",
            r#"{"sequence":8,"time_ms":2,"kind":"lock","gid":9,"detail":"other 'x'"}"#,
        ))
        .unwrap();
        let facts: Vec<_> = log.events().iter().map(|event| event.fact.clone()).collect();
        let words = |words: [&str; 2]| Fact::Applied(words.map(str::to_owned).to_vec());
        assert_eq!(facts[0], Fact::Locked("auto 3".into()));
        assert_eq!(facts[1], Fact::Renamed { old: "auto 3".into(), new: "auto 4".into() });
        assert_eq!(facts[2], Fact::Broken { cookie: "auto 4".into(), by: 9 });
        assert_eq!(facts[3], words(["assert_exists", "write"]));
        assert_eq!(facts[4], Fact::Other);
        assert_eq!(log.newest(), 8);
    }

    #[test]
    fn an_event_says_what_a_commit_is_about_and_what_was_done_on_purpose() {
        let log = read(concat!(
            r#"{"sequence":1,"kind":"applied","detail":"lock.assert_locked, rbd.snapshot_add","arguments":["auto 1","5 s"]}"#,
            "\n",
            r#"{"sequence":2,"kind":"fault","error":"EIO","detail":"rule 1: error request write"}"#,
            "\n",
            r#"{"sequence":3,"kind":"snap_id","detail":"snap id 5"}"#,
            "\n",
            r#"{"sequence":4,"kind":"snap_trimmed","detail":"snap id 5, 3 objects"}"#,
        ))
        .unwrap();
        assert_eq!(log.events()[0].argument("rbd.snapshot_add"), Some("5 s"));
        assert_eq!(log.events()[0].argument("rbd.set_size"), None);
        let facts: Vec<_> = log.events()[1..].iter().map(|event| event.fact.clone()).collect();
        assert_eq!(facts, [Fact::Injected(Errno::EIO), Fact::SnapIdGiven(5), Fact::SnapIdTaken(5)]);
    }

    #[test]
    fn a_fence_by_address_is_that_of_whoever_it_hits() {
        let log = read(concat!(
            r#"{"sequence":1,"kind":"blocklisted","detail":"127.0.0.1:0/7"}"#,
            "\n",
            r#"{"sequence":2,"kind":"blocklisted","gid":5,"detail":"by its address 127.0.0.1:0/7"}"#,
            "\n",
            r#"{"sequence":3,"kind":"blocklist_removed","detail":"127.0.0.1:0/7"}"#,
        ))
        .unwrap();
        let facts: Vec<_> = log.events().iter().map(|event| event.fact.clone()).collect();
        assert_eq!(facts, [Fact::AddressBlocklisted, Fact::Blocklisted, Fact::Other]);
    }

    #[test]
    fn a_hole_in_the_log_is_refused_by_its_line() {
        let text = "{\"sequence\":1,\"kind\":\"ack\"}\n{\"sequence\":3,\"kind\":\"ack\"}";
        let error = read(text).unwrap_err();
        assert_eq!((error.line, error.rule.as_str()), (2, "sequence 3 must follow 1"));
    }

    #[test]
    fn a_lock_event_that_cannot_be_understood_is_refused() {
        for detail in ["", "rbd_lock", "rbd_lock 'auto 3", "rbd_lock 'a' by client x"] {
            let kind = if detail.contains("by") { "lock_broken" } else { "lock" };
            let line = serde_json::json!({"sequence": 1, "kind": kind, "detail": detail}).to_string();
            assert!(read(&line).is_err(), "{detail:?}");
        }
    }
}
