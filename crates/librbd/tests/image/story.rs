//! What the OSD has seen, told in one line an event.

use prost::Message;
use proto::osd::v1::Event;
use proto::rbd::v1::{self as wire, notify_message::Payload};

use crate::support::Cluster;

/// The OSD's event log from some moment on.
pub(crate) struct Story {
    events: Vec<Event>,
}

impl Cluster {
    /// What has happened after event number `after`.
    pub(crate) async fn story(&self, after: u64) -> Story {
        Story { events: self.osd().events(after).await }
    }
}

impl Story {
    /// What one client did.
    pub(crate) fn of(&self, gid: u64) -> Vec<String> {
        self.events.iter().filter(|event| event.gid == gid).filter_map(line).collect()
    }

    /// What everybody did.
    pub(crate) fn all(&self) -> Vec<String> {
        self.events.iter().filter_map(line).collect()
    }

    /// The same without the announcement of a lock that was taken before: nobody waits for it, so it may come late.
    pub(crate) fn under_lock(&self) -> Vec<String> {
        let told = self.all().into_iter();
        told.filter(|line| line != "header: notify acquired_lock").collect()
    }
}

/// "header: applied ...", "data: applied ...", "header: lock", "header: notify acquired_lock", "snap id 3".
fn line(event: &Event) -> Option<String> {
    let object = match event.object.as_str() {
        name if name.starts_with("rbd_header.") => "header".to_owned(),
        name if name.starts_with("rbd_data.") => {
            let number = u64::from_str_radix(name.rsplit('.').next().unwrap(), 16).unwrap();
            format!("data {number}")
        }
        _ => "pool".to_owned(),
    };
    let what = match event.kind.as_str() {
        "applied" => event.detail.clone(),
        "lock" | "unlock" | "lock_broken" => event.kind.clone(),
        "refused" => {
            format!("{} {}", event.error, event.detail.split_whitespace().next().unwrap_or_default())
        }
        "notify" => format!("notify {}", message(&event.payload)),
        "snap_id" => event.detail.clone(),
        "snap_trimmed" => format!("trimmed {}", event.detail.split(',').next().unwrap_or_default()),
        _ => return None,
    };
    Some(format!("{object}: {what}"))
}

fn message(payload: &[u8]) -> &'static str {
    match wire::NotifyMessage::decode(payload).unwrap().payload.unwrap() {
        Payload::AcquiredLock(_) => "acquired_lock",
        Payload::ReleasedLock(_) => "released_lock",
        Payload::RequestLock(_) => "request_lock",
        Payload::HeaderUpdate(_) => "header_update",
        Payload::AsyncProgress(_) => "async_progress",
        Payload::AsyncComplete(_) => "async_complete",
        Payload::Flatten(_) => "flatten",
        Payload::Resize(_) => "resize",
        Payload::SnapCreate(_) => "snap_create",
        Payload::SnapRemove(_) => "snap_remove",
        Payload::Rename(_) => "rename",
    }
}

/// Lines that begin like these are in the story in this order, with whatever else between them.
pub(crate) fn assert_in_order(story: &[String], expected: &[&str]) {
    let mut rest = story.iter();
    for beginning in expected {
        let found = rest.any(|line| line.starts_with(beginning));
        assert!(found, "'{beginning}' is not told, or too early, in {story:#?}");
    }
}

/// Where the only line is that begins like this.
pub(crate) fn position(story: &[String], beginning: &str) -> usize {
    let is_it = |line: &&String| line.starts_with(beginning);
    assert_eq!(story.iter().filter(is_it).count(), 1, "'{beginning}' in {story:#?}");
    story.iter().position(|line| is_it(&line)).expect("counted")
}
