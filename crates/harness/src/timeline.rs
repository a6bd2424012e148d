//! The event log as a story: who said what to whom, when.

use std::collections::BTreeMap;

use proto::osd::v1::Event;
use serde::Serialize;

use crate::words::{answered, result_words, said};

/// Width of the drawn timeline in columns.
pub const WIDTH: usize = 110;

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Milliseconds since the story's begin.
    pub time_ms: u64,
    /// Who acts.
    pub who: String,
    /// On whom; may be empty.
    pub whom: String,
    /// What happens.
    pub what: String,
}

/// Names of client instances, and the image whose story is told.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    names: BTreeMap<u64, String>,
    header: String,
    data_prefix: String,
}

impl Cast {
    /// The story of the image with this id.
    pub fn new(image_id: &str) -> Self {
        Self {
            names: BTreeMap::new(),
            header: format!("rbd_header.{image_id}"),
            data_prefix: format!("rbd_data.{image_id}."),
        }
    }

    /// Names a client instance; a reopened client has several.
    pub fn name(&mut self, gid: u64, name: &str) {
        self.names.insert(gid, name.to_owned());
    }

    /// What the instance is called.
    pub fn of(&self, gid: u64) -> String {
        self.names.get(&gid).cloned().unwrap_or_else(|| match gid {
            0 => "osd".to_owned(),
            _ => format!("gid {gid}"),
        })
    }

    fn knows(&self, gid: u64) -> bool {
        self.names.contains_key(&gid)
    }
}

/// Lines that come in swarms: counted between two others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Swarm {
    Progress { who: u64, whom: u64 },
    Data { who: u64 },
    Fenced { who: u64 },
}

struct Counted {
    first_ms: u64,
    count: u64,
    /// The newest progress.
    last: String,
}

/// Tells the story of `events`, and between them what the teller did himself: times of `marks` are the OSD's, in milliseconds since
/// its start, ascending.
pub fn lines(events: &[Event], cast: &Cast, marks: &[Line]) -> Vec<Line> {
    let begin_ms = events.first().map_or(0, |event| event.time_ms);
    let mut teller =
        Teller { cast, begin_ms, notifiers: BTreeMap::new(), swarms: BTreeMap::new(), lines: Vec::new() };
    let mut marks = marks.iter().peekable();
    for event in events {
        while let Some(mark) = marks.next_if(|mark| mark.time_ms < event.time_ms) {
            teller.mark(mark);
        }
        teller.tell(event);
    }
    marks.for_each(|mark| teller.mark(mark));
    teller.end_swarms();
    teller.lines
}

struct Teller<'a> {
    cast: &'a Cast,
    begin_ms: u64,
    /// Who sent a notify, and what it is called.
    notifiers: BTreeMap<u64, (u64, &'static str)>,
    swarms: BTreeMap<Swarm, Counted>,
    lines: Vec<Line>,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) {
        let is_header = event.object == self.cast.header;
        match event.kind.as_str() {
            "notify" if is_header => self.notify(event),
            "ack" if is_header => self.ack(event),
            "notify_done" if is_header => self.notify_done(event),
            "applied" if event.object.starts_with(&self.cast.data_prefix) => {
                self.count(Swarm::Data { who: event.gid }, event, String::new());
            }
            "refused" if is_header || event.object.starts_with(&self.cast.data_prefix) => self.refused(event),
            "lock" | "unlock" | "lock_broken" | "watch" | "unwatch" | "watch_lost" | "watch_expired"
            | "reconnected"
                if is_header && self.cast.knows(event.gid) =>
            {
                self.line(event, String::new(), state_words(event));
            }
            "blocklisted" | "session_ended" if self.cast.knows(event.gid) => {
                self.line(event, String::new(), state_words(event));
            }
            _ => {}
        }
    }

    fn mark(&mut self, mark: &Line) {
        self.end_swarms();
        self.push(mark.time_ms, mark.who.clone(), mark.whom.clone(), mark.what.clone());
    }

    fn notify(&mut self, event: &Event) {
        let Some(said) = said(&event.payload) else {
            return self.line(event, "all".to_owned(), "a message that is not known here".to_owned());
        };
        self.notifiers.insert(event.notify_id, (event.gid, said.name));
        if said.progress.is_some() {
            return self.count(Swarm::Progress { who: event.gid, whom: said.concerns }, event, said.detail);
        }
        let whom = if said.concerns == 0 { "all".to_owned() } else { self.cast.of(said.concerns) };
        let what = format!("{} {}", said.name, said.detail);
        self.line(event, whom, what.trim_end().to_owned());
    }

    /// Only a lock owner answers with a payload.
    fn ack(&mut self, event: &Event) {
        let Some((result, _)) = answered(&event.payload) else { return };
        let Some(&(notifier, name)) = self.notifiers.get(&event.notify_id) else { return };
        if matches!(name, "HeaderUpdate" | "AsyncProgress" | "AsyncComplete") {
            return;
        }
        let whom = self.cast.of(notifier);
        self.line(event, whom, format!("ack {name}: {}", result_words(result)));
    }

    fn notify_done(&mut self, event: &Event) {
        let is_late = event.error == "ETIMEDOUT";
        let Some(&(notifier, name)) = self.notifiers.get(&event.notify_id) else { return };
        if is_late && name != "AsyncProgress" {
            let whom = self.cast.of(notifier);
            self.push(event.time_ms, "osd".to_owned(), whom, format!("{name} timed out: {}", event.detail));
        }
    }

    fn refused(&mut self, event: &Event) {
        // Comparisons that fail and objects that do not exist yet are the protocol's daily bread.
        if self.cast.knows(event.gid) && event.error == "EBLOCKLISTED" {
            self.count(Swarm::Fenced { who: event.gid }, event, String::new());
        }
    }

    fn count(&mut self, swarm: Swarm, event: &Event, last: String) {
        let counted = self.swarms.entry(swarm).or_insert(Counted {
            first_ms: event.time_ms,
            count: 0,
            last: String::new(),
        });
        counted.count += 1;
        counted.last = last;
    }

    fn end_swarms(&mut self) {
        let mut swarms: Vec<_> = std::mem::take(&mut self.swarms).into_iter().collect();
        swarms.sort_by_key(|(_, counted)| counted.first_ms);
        for (swarm, counted) in swarms {
            let (who, whom, what) = match swarm {
                Swarm::Progress { who, whom } => {
                    let what = format!("AsyncProgress x {}, up to {}", counted.count, counted.last);
                    (who, self.cast.of(whom), what)
                }
                Swarm::Data { who } => {
                    (who, "osd".to_owned(), format!("op vectors on data objects x {}", counted.count))
                }
                Swarm::Fenced { who } => (
                    who,
                    "osd".to_owned(),
                    format!("op vectors refused with EBLOCKLISTED x {}", counted.count),
                ),
            };
            let who = self.cast.of(who);
            self.push(counted.first_ms, who, whom, what);
        }
    }

    fn line(&mut self, event: &Event, whom: String, what: String) {
        self.end_swarms();
        let who = self.cast.of(event.gid);
        self.push(event.time_ms, who, whom, what);
    }

    fn push(&mut self, time_ms: u64, who: String, whom: String, what: String) {
        self.lines.push(Line { time_ms: time_ms.saturating_sub(self.begin_ms), who, whom, what });
    }
}

fn state_words(event: &Event) -> String {
    let words = match event.kind.as_str() {
        "lock" => "owns the exclusive lock",
        "unlock" => "gave the exclusive lock back",
        "lock_broken" => "its exclusive lock is broken",
        "watch" => "watches the header",
        "unwatch" => "ended its watch",
        "watch_lost" => "its watch lost its connection",
        "watch_expired" => "its watch expired",
        "reconnected" => "its watch is connected again",
        "blocklisted" => "is blocklisted",
        "session_ended" => "its session ended",
        other => other,
    };
    words.to_owned()
}

/// Draws the lines as a table of at most [`WIDTH`] columns.
pub fn draw(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let arrow = if line.whom.is_empty() { "  " } else { "->" };
        let seconds = format!("{}.{:03}", line.time_ms / 1000, line.time_ms % 1000);
        let row = format!("  {seconds:>8}  {:<9} {arrow} {:<9} {}", line.who, line.whom, line.what);
        text.extend(row.trim_end().chars().take(WIDTH));
        text.push('\n');
    }
    text
}

/// The same with at most `lines_max` lines: of a longer story the middle is left out.
pub fn draw_ends(lines: &[Line], lines_max: usize) -> String {
    if lines.len() <= lines_max {
        return draw(lines);
    }
    let (head, tail) = (lines_max / 2, lines.len() - lines_max.div_ceil(2));
    let gap = format!("            ... {} lines more, all of them with --format json ...\n", tail - head);
    [draw(&lines[..head]), gap, draw(&lines[tail..])].concat()
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::rbd::v1::{
        AsyncProgressPayload, AsyncRequestId, ClientId, NotifyMessage, RequestLockPayload,
        notify_message::Payload,
    };

    use super::*;

    fn notify(time_ms: u64, gid: u64, payload: Payload) -> Event {
        Event {
            time_ms,
            kind: "notify".to_owned(),
            gid,
            object: "rbd_header.x".to_owned(),
            notify_id: time_ms,
            payload: NotifyMessage { payload: Some(payload) }.encode_to_vec().into(),
            ..Event::default()
        }
    }

    fn progress(time_ms: u64, offset: u64) -> Event {
        let id = Some(AsyncRequestId { gid: 2, open_number: 1, request_number: 1 });
        notify(time_ms, 1, Payload::AsyncProgress(AsyncProgressPayload { id, offset, total: 9 }))
    }

    fn cast() -> Cast {
        let mut cast = Cast::new("x");
        cast.name(1, "client 1");
        cast.name(2, "client 2");
        cast
    }

    #[test]
    fn progress_is_counted_until_something_else_happens() {
        let client_id = Some(ClientId { gid: 2, handle: 1 });
        let request = notify(130, 2, Payload::RequestLock(RequestLockPayload { client_id, force: false }));
        let told = lines(&[progress(100, 1), progress(110, 2), progress(120, 3), request], &cast(), &[]);
        let whats: Vec<_> = told.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(whats, ["AsyncProgress x 3, up to 3/9", "RequestLock"]);
        assert_eq!((told[0].time_ms, told[1].time_ms), (0, 30));
        assert_eq!((told[0].who.as_str(), told[0].whom.as_str()), ("client 1", "client 2"));
    }

    #[test]
    fn what_the_teller_did_stands_where_it_happened() {
        let kill =
            Line { time_ms: 115, who: "chaos".into(), whom: "client 1".into(), what: "SIGKILL".into() };
        let told = lines(&[progress(100, 1), progress(110, 2), progress(120, 3)], &cast(), &[kill]);
        let whats: Vec<_> = told.iter().map(|line| (line.time_ms, line.what.as_str())).collect();
        let expected =
            [(0, "AsyncProgress x 2, up to 2/9"), (15, "SIGKILL"), (20, "AsyncProgress x 1, up to 3/9")];
        assert_eq!(whats, expected);
    }

    #[test]
    fn other_images_are_no_part_of_the_story() {
        let mut foreign = progress(100, 1);
        foreign.object = "rbd_header.y".to_owned();
        assert_eq!(lines(&[foreign], &cast(), &[]), []);
    }

    #[test]
    fn no_drawn_line_is_wider_than_promised() {
        let line = Line { time_ms: 1, who: "client 1".into(), whom: "all".into(), what: "x".repeat(300) };
        assert!(draw(&[line]).lines().all(|line| line.chars().count() <= WIDTH));
    }
}
