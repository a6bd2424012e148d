//! What happened to one image: its part of the event log, with the questions that a judge asks.

use anyhow::Result;
use proto::osd::v1::Event;

use crate::{
    events::EventLog,
    words::{Said, answered, said},
};

/// A stretch of the event log, seen from one header object.
#[derive(Clone, Debug)]
pub struct Story {
    events: Vec<Event>,
    header: String,
}

impl Story {
    /// Everything that happened after event number `begin`, until now.
    pub async fn since(log: &EventLog, begin: u64, header: &str) -> Result<Self> {
        log.catch_up().await?;
        Ok(Self { events: log.after(begin), header: header.to_owned() })
    }

    /// All events of the stretch, those of other objects included.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Events of this kind on the header object.
    pub fn of_kind(&self, kind: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.kind == kind && event.object == self.header).collect()
    }

    /// The first event of this kind about this client instance, on the header object or on none.
    pub fn first(&self, kind: &str, gid: u64) -> Option<&Event> {
        let is_about_image = |event: &Event| event.object == self.header || event.object.is_empty();
        self.events.iter().find(|event| event.kind == kind && event.gid == gid && is_about_image(event))
    }

    /// Messages with this name, and the notify that carried each; its gid is the sender's.
    pub fn messages(&self, name: &str) -> Vec<(Said, &Event)> {
        self.of_kind("notify")
            .into_iter()
            .filter_map(|event| Some((said(&event.payload)?, event)))
            .filter(|(said, _)| said.name == name)
            .collect()
    }

    /// Results in the acks that lock owners gave to this notify: (who, result).
    pub fn answers(&self, notify_id: u64) -> Vec<(u64, i32)> {
        self.of_kind("ack")
            .into_iter()
            .filter(|event| event.notify_id == notify_id)
            .filter_map(|event| Some((event.gid, answered(&event.payload)?.0)))
            .collect()
    }

    /// Who took the lock, in order.
    pub fn owners(&self) -> Vec<u64> {
        self.of_kind("lock").iter().map(|event| event.gid).collect()
    }

    /// Results of all AsyncComplete messages to this requester, in order.
    pub fn completions(&self, requester: u64) -> Vec<i32> {
        let completions = self.messages("AsyncComplete").into_iter();
        completions
            .filter(|(said, _)| said.concerns == requester)
            .filter_map(|(said, _)| said.result)
            .collect()
    }
}
