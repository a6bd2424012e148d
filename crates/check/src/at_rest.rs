//! Nothing is left over at rest (I6).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::events::{EventLog, Fact};
use crate::violation::{At, Rule, Violation};

/// What the OSD still knows when everything has come to rest, and what the driver says is meant to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtRest {
    /// Images that the driver's live clients have open: the explanation for all that follows.
    pub opened: Vec<Opened>,
    /// Live sessions by gid.
    pub sessions: Vec<u64>,
    /// Registered watches.
    pub watches: Vec<Watch>,
    /// Held locks.
    pub locks: Vec<Lock>,
    /// done_ records in headers.
    pub done_records: Vec<HeaderRecord>,
    /// low_ records in headers.
    pub low_records: Vec<HeaderRecord>,
    /// reclaim_ records in headers.
    pub reclaim_records: Vec<HeaderRecord>,
    /// Blocklist entries in force, by gid.
    pub blocklist: Vec<u64>,
    /// Names of all objects of the pool.
    pub objects: Vec<String>,
    /// Names and ids of the images in its directory: every object and every snapshot id belongs to one of them.
    pub directory: Vec<Entry>,
    /// Ids of all snapshots of all images.
    pub snap_ids: Vec<u64>,
    /// Instances that were Ceph's own librbd.
    #[serde(default)]
    pub librbd: BTreeSet<u64>,
}

/// An image in the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// An image that a client has open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The client's instance.
    pub gid: u64,
    /// The image's header object.
    pub header: String,
}

/// A registered watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Object name.
    pub object: String,
    /// Whose.
    pub gid: u64,
    /// Its cookie.
    pub cookie: u64,
}

/// A held lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Object name.
    pub object: String,
    /// Who holds it.
    pub gid: u64,
    /// Under which cookie.
    pub cookie: String,
}

/// A record in a header's omap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderRecord {
    /// The header object.
    pub object: String,
    /// `done_<gid>.<open>_<number>`: the result of a request; `low_<gid>.<open>`: all requests with smaller numbers have ended;
    /// `reclaim_<snap id>`: what the removal of a snapshot has yet to do.
    pub key: String,
}

/// Everything at rest has its reason: a session an open image; a watch an open image of its client, one each; a lock a watch of
/// its holder on the same object; a done_ record a requester that has the image open; a blocklist entry an event that made it
/// and none that took it back; an object an image in the directory; a snapshot id a snapshot. Whoever takes the lock removes the
/// low_ and done_ records of sessions that have ended, does what the reclaim_ records say, and breaks the lock of the dead: in an image
/// that somebody has open there are none. Who leaves in order takes his done_ records with him. And nothing is missing: each entry that the log says is in force is there, and whoever has an
/// image open has a session and watches it.
pub fn nothing_left_over(log: &EventLog, rest: &AtRest) -> Vec<Violation> {
    let mut opened: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for open in &rest.opened {
        *opened.entry((open.gid, open.header.as_str())).or_default() += 1;
    }
    let mut found = sessions(rest);
    found.extend(missing(rest));
    found.extend(watches(rest, &opened));
    let in_use: BTreeSet<&str> = rest.opened.iter().map(|open| open.header.as_str()).collect();
    found.extend(done_records(log, rest, &opened, &in_use));
    found.extend(locks(rest, &in_use));
    found.extend(low_records(rest, &in_use));
    found.extend(reclaim_records(rest, &in_use));
    found.extend(blocklist(log, rest));
    found.extend(objects(rest));
    found.extend(snap_ids(log, rest));
    found
}

/// Objects of the pool itself.
const POOL_OBJECTS: [&str; 3] = ["rbd_directory", "rbd_children", "rbd_info"];

/// No id object and no header without an entry in the directory, no data object without an image, and nothing else.
fn objects(rest: &AtRest) -> Vec<Violation> {
    let has_name = |name: &str| rest.directory.iter().any(|entry| entry.name == name);
    let has_id = |id: &str| rest.directory.iter().any(|entry| entry.id == id);
    let judge = |object: &&String| {
        let why = if POOL_OBJECTS.contains(&object.as_str()) {
            return None;
        } else if let Some(name) = object.strip_prefix("rbd_id.") {
            (!has_name(name)).then_some("the directory has no image of that name")
        } else if let Some(id) = object.strip_prefix("rbd_header.") {
            (!has_id(id)).then_some("the directory has no image of that id")
        } else if let Some((id, _)) = object.strip_prefix("rbd_data.").and_then(|rest| rest.rsplit_once('.'))
        {
            (!has_id(id)).then_some("the directory has no image that it belongs to")
        } else {
            Some("nobody knows what it is")
        };
        let what = format!("it is there, but {}", why?);
        Some(Violation::new(Rule::Orphan, format!("object {object}"), [], what))
    };
    rest.objects.iter().filter_map(|object| judge(&object)).collect()
}

/// Those that were given out and not given back are those of the snapshots. librbd writes down nowhere what it has yet to do: an id that it
/// was given, or whose snapshot it took out of a header, is lost when it dies before the snapshot is there, or before the id is back.
fn snap_ids(log: &EventLog, rest: &AtRest) -> Vec<Violation> {
    let mut given: BTreeMap<u64, u64> = BTreeMap::new();
    for event in log.events() {
        match event.fact {
            Fact::SnapIdGiven(id) => drop(given.insert(id, event.sequence)),
            Fact::SnapIdTaken(id) => drop(given.remove(&id)),
            _ => {}
        }
    }
    let is_dead = |gid: u64| rest.librbd.contains(&gid) && rest.opened.iter().all(|open| open.gid != gid);
    for event in log.events().iter().filter(|event| is_dead(event.gid)) {
        if let Fact::SnapIdGiven(id) = event.fact {
            given.remove(&id);
        }
        if let Some(id) = event.argument("rbd.snapshot_remove").and_then(|id| id.parse().ok()) {
            given.remove(&id);
        }
    }
    let mut known: BTreeSet<u64> = rest.snap_ids.iter().copied().collect();
    // It stands in the header that somebody has to give it back; whether somebody should have is judged by the record.
    known.extend(rest.reclaim_records.iter().filter_map(|record| reclaimed(&record.key)));
    let orphan = |(id, sequence): (&u64, &u64)| {
        let what = "it was given out and not given back, and no snapshot has it";
        Violation::new(Rule::Orphan, format!("snapshot id {id}"), [At::Event(*sequence)], what)
    };
    given.iter().filter(|(id, _)| !known.contains(id)).map(orphan).collect()
}

fn left(gid: u64, what: String) -> Violation {
    Violation::new(Rule::LeftOver, format!("client {gid}"), [], what)
}

fn sessions(rest: &AtRest) -> Vec<Violation> {
    let live: BTreeSet<u64> = rest.opened.iter().map(|open| open.gid).collect();
    let stray = rest.sessions.iter().filter(|gid| !live.contains(gid));
    stray.map(|gid| left(*gid, "its session is there, but it has no image open".to_owned())).collect()
}

fn missing(rest: &AtRest) -> Vec<Violation> {
    let mut found = Vec::new();
    for Opened { gid, header } in &rest.opened {
        let mut missing = |what: String| {
            found.push(Violation::new(Rule::Missing, format!("client {gid}"), [], what));
        };
        if !rest.sessions.contains(gid) {
            missing(format!("it has {header} open, but no session"));
        }
        let opens = rest.opened.iter().filter(|open| open.gid == *gid && open.header == *header).count();
        let watches =
            rest.watches.iter().filter(|watch| watch.gid == *gid && watch.object == *header).count();
        if watches < opens {
            missing(format!("it has {header} open, but does not watch it"));
        }
    }
    found
}

/// One for each open.
fn watches(rest: &AtRest, opened: &BTreeMap<(u64, &str), usize>) -> Vec<Violation> {
    let mut seen: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    let mut found = Vec::new();
    for Watch { object, gid, cookie } in &rest.watches {
        let opens = opened.get(&(*gid, object.as_str())).copied().unwrap_or(0);
        let count = seen.entry((*gid, object.as_str())).or_default();
        *count += 1;
        let why = match opens {
            0 => "it does not have the image open",
            opens if *count > opens => "it has another one there for each open",
            _ => continue,
        };
        found.push(left(*gid, format!("its watch {cookie} on {object} is there, but {why}")));
    }
    found
}

/// One of the dead, on an image that nobody has open, is broken by the next who wants it.
fn locks(rest: &AtRest, in_use: &BTreeSet<&str>) -> Vec<Violation> {
    let has_watch =
        |lock: &&Lock| rest.watches.iter().any(|watch| watch.gid == lock.gid && watch.object == lock.object);
    let matters = |lock: &&Lock| in_use.contains(lock.object.as_str()) || rest.sessions.contains(&lock.gid);
    let stray = rest.locks.iter().filter(|lock| !has_watch(lock) && matters(lock));
    stray
        .map(|Lock { object, gid, cookie }| {
            left(*gid, format!("its lock '{cookie}' on {object} is there, but no watch of its"))
        })
        .collect()
}

fn done_records(
    log: &EventLog,
    rest: &AtRest,
    opened: &BTreeMap<(u64, &str), usize>,
    in_use: &BTreeSet<&str>,
) -> Vec<Violation> {
    let lost = log.events().iter().filter(|event| event.fact == Fact::SessionLost);
    let lost: BTreeSet<u64> = lost.map(|event| event.gid).collect();
    let mut found = Vec::new();
    for HeaderRecord { object, key } in &rest.done_records {
        match requester(key) {
            Some(gid) if opened.contains_key(&(gid, object.as_str())) => {}
            Some(gid) if lost.contains(&gid) && !in_use.contains(object.as_str()) => {}
            Some(gid) => {
                let what =
                    format!("its record {key} in {object} is there, but it does not have the image open");
                found.push(left(gid, what));
            }
            None => found.push(left(0, format!("{key} in {object} names no request"))),
        }
    }
    found
}

fn low_records(rest: &AtRest, in_use: &BTreeSet<&str>) -> Vec<Violation> {
    let mut found = Vec::new();
    for HeaderRecord { object, key } in &rest.low_records {
        match marked(key) {
            Some(gid) if rest.sessions.contains(&gid) || !in_use.contains(object.as_str()) => {}
            Some(gid) => {
                found.push(left(gid, format!("its mark {key} in {object} is there, but no session of its")));
            }
            None => found.push(left(0, format!("{key} in {object} names no requester"))),
        }
    }
    found
}

fn marked(key: &str) -> Option<u64> {
    let (gid, open) = key.strip_prefix("low_")?.split_once('.')?;
    open.parse::<u64>().ok()?;
    gid.parse().ok()
}

fn reclaim_records(rest: &AtRest, in_use: &BTreeSet<&str>) -> Vec<Violation> {
    let unfinished = |HeaderRecord { object, key }: &HeaderRecord| {
        let what = format!("{key} is there: nobody finished the removal of the snapshot");
        Violation::new(Rule::LeftOver, object.clone(), [], what)
    };
    let in_use = |record: &&HeaderRecord| in_use.contains(record.object.as_str());
    rest.reclaim_records.iter().filter(in_use).map(unfinished).collect()
}

/// The snapshot id that an intent is about.
fn reclaimed(key: &str) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix("reclaim_")?, 16).ok()
}

fn requester(key: &str) -> Option<u64> {
    let (gid, request) = key.strip_prefix("done_")?.split_once('.')?;
    let (open, number) = request.split_once('_')?;
    open.parse::<u64>().ok()?;
    u64::from_str_radix(number, 16).ok()?;
    gid.parse().ok()
}

fn blocklist(log: &EventLog, rest: &AtRest) -> Vec<Violation> {
    let mut in_force = std::collections::BTreeMap::new();
    for event in log.events() {
        match event.fact {
            Fact::Blocklisted => drop(in_force.insert(event.gid, event.sequence)),
            Fact::BlocklistRemoved => drop(in_force.remove(&event.gid)),
            _ => {}
        }
    }
    let stray = rest.blocklist.iter().filter(|gid| !in_force.contains_key(gid));
    let mut found: Vec<_> =
        stray.map(|gid| left(*gid, "it is blocklisted, but no event says why".to_owned())).collect();
    for (gid, sequence) in in_force.iter().filter(|(gid, _)| !rest.blocklist.contains(gid)) {
        let what = "its blocklist entry is missing, but no event took it back";
        found.push(Violation::new(Rule::FenceLost, format!("client {gid}"), [At::Event(*sequence)], what));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::log;

    const H: &str = "rbd_header.1";

    /// Client 5 has the image open, holds the lock and had a request; client 4 was fenced.
    fn explained() -> AtRest {
        AtRest {
            opened: vec![Opened { gid: 5, header: H.into() }],
            sessions: vec![5],
            watches: vec![Watch { object: H.into(), gid: 5, cookie: 1 }],
            locks: vec![Lock { object: H.into(), gid: 5, cookie: "auto 1".into() }],
            done_records: vec![HeaderRecord { object: H.into(), key: "done_5.1_000000000000000a".into() }],
            low_records: vec![HeaderRecord { object: H.into(), key: "low_5.1".into() }],
            reclaim_records: vec![],
            blocklist: vec![4],
            objects: ["rbd_directory", "rbd_id.i", "rbd_header.1", "rbd_data.1.000000000000000a"]
                .map(str::to_owned)
                .into(),
            directory: vec![Entry { name: "i".into(), id: "1".into() }],
            snap_ids: vec![2],
            librbd: BTreeSet::new(),
        }
    }

    fn judged(rest: &AtRest) -> Vec<Rule> {
        let log = log(&[
            ("session_ended", 2, "", "neither a stream nor a call for osd_client_session_timeout"),
            ("session_ended", 6, "", "the client disconnected"),
            ("blocklisted", 3, "", "by client 5"),
            ("blocklisted", 4, "", "by client 5"),
            ("blocklist_removed", 3, "", "expired"),
            ("snap_id", 5, "", "snap id 1"),
            ("snap_id", 5, "", "snap id 2"),
            ("snap_trimmed", 5, "", "snap id 1, 0 objects"),
        ]);
        nothing_left_over(&log, rest).into_iter().map(|violation| violation.rule).collect()
    }

    fn finds_one(change: impl FnOnce(&mut AtRest)) -> bool {
        let mut rest = explained();
        change(&mut rest);
        judged(&rest) == [Rule::LeftOver]
    }

    /// It dies between asking for an id and writing it down, or between taking a snapshot out of the header and giving its id back.
    #[test]
    fn what_a_dead_librbd_had_yet_to_do_is_lost() {
        let events = [
            (7, "snap_id", "snap id 8", vec![]),
            (5, "snap_id", "snap id 9", vec![]),
            (7, "applied", "rbd.snapshot_remove", vec!["9".to_owned()]),
        ];
        let event = |(sequence, (gid, kind, detail, arguments)): (u64, (u64, &str, &str, Vec<String>))| {
            let (kind, detail, object) = (kind.to_owned(), detail.to_owned(), H.to_owned());
            proto::osd::v1::Event { sequence, gid, kind, detail, object, arguments, ..Default::default() }
        };
        let log = EventLog::from_wire((1..).zip(events).map(event)).unwrap();
        let judged = |librbd: &[u64], opened: u64| {
            let open = Opened { gid: opened, header: H.into() };
            let rest =
                AtRest { librbd: librbd.iter().copied().collect(), opened: vec![open], ..AtRest::default() };
            snap_ids(&log, &rest).into_iter().map(|violation| violation.who).collect::<Vec<_>>()
        };
        assert_eq!(judged(&[7], 6), [""; 0]);
        assert_eq!(judged(&[7], 7), ["snapshot id 8", "snapshot id 9"], "it lives");
        assert_eq!(judged(&[], 6), ["snapshot id 8", "snapshot id 9"]);
    }

    #[test]
    fn what_is_explained_is_fine() {
        assert_eq!(judged(&explained()), []);
        assert_eq!(judged(&AtRest { blocklist: vec![4], snap_ids: vec![2], ..AtRest::default() }), []);
    }

    #[test]
    fn a_session_without_an_open_image_is_found() {
        assert!(finds_one(|rest| rest.sessions.push(6)));
    }

    #[test]
    fn a_watch_of_a_closed_image_is_found() {
        assert!(finds_one(|rest| rest.watches.push(Watch {
            object: "rbd_header.2".into(),
            gid: 5,
            cookie: 2
        })));
    }

    #[test]
    fn a_second_watch_is_found() {
        assert!(finds_one(|rest| rest.watches.push(Watch { object: H.into(), gid: 5, cookie: 2 })));
    }

    /// Of one session.
    #[test]
    fn two_opens_have_a_watch_each() {
        let mut rest = explained();
        rest.opened.push(Opened { gid: 5, header: H.into() });
        assert_eq!(judged(&rest), [Rule::Missing, Rule::Missing]);
        rest.watches.push(Watch { object: H.into(), gid: 5, cookie: 2 });
        assert_eq!(judged(&rest), []);
    }

    #[test]
    fn a_lock_without_a_watch_is_found() {
        assert!(finds_one(|rest| rest.locks[0].gid = 6));
    }

    #[test]
    fn a_record_of_a_requester_that_is_gone_is_found() {
        assert!(finds_one(|rest| rest.done_records[0].key = "done_6.1_0000000000000001".into()));
        assert!(finds_one(|rest| rest.done_records[0].key = "done_2.1_0000000000000001".into()));
        assert!(finds_one(|rest| rest.done_records[0].object = "rbd_header.2".into()));
        let of_6 = || HeaderRecord { object: "rbd_header.2".into(), key: "done_6.1_0000000000000001".into() };
        assert!(finds_one(|rest| rest.done_records[0] = of_6()), "it left in order");
        assert!(finds_one(|rest| rest.done_records[0].key = "done_what".into()));
    }

    #[test]
    fn a_mark_of_a_session_that_is_gone_is_found() {
        assert!(finds_one(|rest| rest.low_records[0].key = "low_6.1".into()));
        assert!(finds_one(|rest| rest.low_records[0].key = "low_5".into()));
    }

    /// The requester closed the image: the mark refuses late copies of its requests until its session ends.
    #[test]
    fn a_mark_of_a_live_session_that_closed_the_image_is_fine() {
        let mut rest = explained();
        rest.low_records[0].object = "rbd_header.2".into();
        assert_eq!(judged(&rest), []);
    }

    #[test]
    fn a_removal_of_a_snapshot_that_nobody_finished_is_found() {
        let unfinished = HeaderRecord { object: H.into(), key: "reclaim_0000000000000007".into() };
        assert!(finds_one(|rest| rest.reclaim_records.push(unfinished)));
    }

    /// The next who takes its lock looks after them.
    #[test]
    fn what_is_left_in_an_image_that_nobody_has_open_is_fine() {
        let record = |key: &str| HeaderRecord { object: "rbd_header.2".into(), key: key.into() };
        let mut rest = explained();
        rest.locks.push(Lock { object: "rbd_header.2".into(), gid: 6, cookie: "auto 1".into() });
        rest.low_records.push(record("low_6.1"));
        rest.done_records.push(record("done_2.1_0000000000000001"));
        rest.reclaim_records.push(record("reclaim_0000000000000007"));
        assert_eq!(judged(&rest), []);
    }

    #[test]
    fn a_blocklist_entry_that_no_event_explains_is_found() {
        assert!(finds_one(|rest| rest.blocklist.push(9)));
        assert!(finds_one(|rest| rest.blocklist.push(3)));
    }

    #[test]
    fn an_object_that_belongs_to_no_image_is_found() {
        for object in
            ["rbd_id.j", "rbd_header.2", "rbd_data.2.0000000000000000", "rbd_data.10.0000000000000000", "x"]
        {
            let mut rest = explained();
            rest.objects.push(object.to_owned());
            assert_eq!(judged(&rest), [Rule::Orphan], "{object}");
        }
    }

    #[test]
    fn a_snapshot_id_without_a_snapshot_is_found_unless_an_intent_is_about_it() {
        assert_eq!(judged(&AtRest { snap_ids: vec![], ..explained() }), [Rule::Orphan]);
        let about = |id: u64| {
            let key = format!("reclaim_{id:016x}");
            let intent = HeaderRecord { object: "rbd_header.2".into(), key };
            judged(&AtRest { snap_ids: vec![], reclaim_records: vec![intent], ..explained() })
        };
        assert_eq!(about(2), []);
        assert_eq!(about(3), [Rule::Orphan]);
    }

    #[test]
    fn an_open_image_without_a_session_or_a_watch_is_found() {
        assert_eq!(judged(&AtRest { sessions: vec![], low_records: vec![], ..explained() }), [Rule::Missing]);
        let unwatched = AtRest { watches: vec![], locks: vec![], ..explained() };
        assert_eq!(judged(&unwatched), [Rule::Missing]);
    }

    #[test]
    fn a_blocklist_entry_that_vanished_is_found() {
        assert_eq!(judged(&AtRest { blocklist: vec![], ..explained() }), [Rule::FenceLost]);
    }
}
