//! What is on its way between clients and the OSD: lanes that keep their order, beside each other in any order.

use std::collections::{BTreeMap, VecDeque};

use proto::osd::v1 as wire;
use rados::{Call, CallAnswer, Failure};

/// A call or a stream on a connection; unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) connection: u64,
    pub(crate) stream: u64,
}

/// One direction of a call or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) place: Place,
    pub(crate) is_up: bool,
}

/// A message.
#[derive(Debug)]
pub(crate) enum Parcel {
    Up(Up),
    Down(Down),
}

/// To the OSD.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Connect,
    Call(Box<Call>),
    OpenOps {
        gid: u64,
    },
    Operate(Box<wire::OperateRequest>),
    OpenWatch,
    Watch(Box<wire::WatchRequest>),
    /// The client has ended the stream.
    Closed,
    /// The connection is gone.
    Gone,
}

/// To a client.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Connected,
    Answer(Box<Result<CallAnswer, Failure>>),
    Opened(Result<(), Failure>),
    Reply(Box<wire::OperateReply>),
    Event(Box<wire::WatchEvent>),
    /// The OSD has ended the stream.
    Ended(Option<Failure>),
}

/// Everything that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// With the earliest time at which it may arrive, in ms.
    lanes: BTreeMap<Lane, VecDeque<(u64, Parcel)>>,
}

impl Mail {
    /// It arrives at `time` at the earliest, and behind what is on its lane.
    pub(crate) fn post(&mut self, lane: Lane, time: u64, parcel: Parcel) {
        let queue = self.lanes.entry(lane).or_default();
        let time = queue.back().map_or(time, |(last, _)| time.max(*last));
        queue.push_back((time, parcel));
    }

    /// Adds to `found` the lanes with something that may arrive now. `opens` says from when on anything of a connection may.
    pub(crate) fn due(&self, now: u64, opens: impl Fn(u64) -> u64, found: &mut Vec<Lane>) {
        let is_due = |(lane, time): &(&Lane, u64)| *time <= now && opens(lane.place.connection) <= now;
        found.extend(self.heads().filter(is_due).map(|(lane, _)| *lane));
    }

    /// When the next one may arrive.
    pub(crate) fn next(&self, opens: impl Fn(u64) -> u64) -> Option<u64> {
        self.heads().map(|(lane, time)| time.max(opens(lane.place.connection))).min()
    }

    pub(crate) fn take(&mut self, lane: Lane) -> Option<Parcel> {
        let queue = self.lanes.get_mut(&lane)?;
        let taken = queue.pop_front().map(|(_, parcel)| parcel);
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        taken
    }

    /// What goes down a connection is lost; of each lane up so much arrives as `keep` says of its length.
    pub(crate) fn cut(&mut self, connection: u64, mut keep: impl FnMut(usize) -> usize) {
        for (lane, queue) in &mut self.lanes {
            if lane.place.connection == connection {
                let kept = if lane.is_up { keep(queue.len()) } else { 0 };
                queue.truncate(kept);
            }
        }
        self.lanes.retain(|_, queue| !queue.is_empty());
    }

    /// All of it is lost.
    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
    }

    /// That a connection is gone is noticed behind all that came on it.
    fn heads(&self) -> impl Iterator<Item = (&Lane, u64)> {
        let heads = self.lanes.iter().filter_map(|(lane, queue)| Some((lane, queue.front()?)));
        let is_next = |lane: &Lane, parcel: &Parcel| {
            !matches!(parcel, Parcel::Up(Up::Gone)) || !self.is_coming_up(lane)
        };
        heads.filter(move |(lane, (_, parcel))| is_next(lane, parcel)).map(|(lane, (time, _))| (lane, *time))
    }

    /// Whether something comes up its connection on another lane.
    fn is_coming_up(&self, lane: &Lane) -> bool {
        let connection = lane.place.connection;
        let from = Lane { place: Place { connection, stream: 0 }, is_up: false };
        let of_connection =
            self.lanes.range(from..).take_while(|(other, _)| other.place.connection == connection);
        of_connection.into_iter().any(|(other, _)| other.is_up && other != lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(connection: u64, is_up: bool) -> Lane {
        Lane { place: Place { connection, stream: 1 }, is_up }
    }

    fn post(mail: &mut Mail, lane: Lane, time: u64) {
        mail.post(lane, time, Parcel::Up(Up::Connect));
    }

    fn due(mail: &Mail, now: u64, opens: impl Fn(u64) -> u64) -> Vec<Lane> {
        let mut found = Vec::new();
        mail.due(now, opens, &mut found);
        found
    }

    #[test]
    fn a_lane_keeps_its_order_whatever_the_times_are() {
        let mut mail = Mail::default();
        post(&mut mail, lane(1, true), 9);
        post(&mut mail, lane(1, true), 2);
        assert_eq!(due(&mail, 8, |_| 0), []);
        mail.take(lane(1, true)).expect("the first");
        assert_eq!(due(&mail, 8, |_| 0), [], "the second is behind the first");
        assert_eq!(due(&mail, 9, |_| 0), [lane(1, true)]);
    }

    #[test]
    fn what_is_held_up_arrives_when_its_connection_opens() {
        let mut mail = Mail::default();
        post(&mut mail, lane(1, true), 2);
        post(&mut mail, lane(2, true), 3);
        let opens = |connection| if connection == 1 { 100 } else { 0 };
        assert_eq!(due(&mail, 50, opens), [lane(2, true)]);
        assert_eq!(mail.next(opens), Some(3));
        mail.take(lane(2, true));
        assert_eq!(mail.next(opens), Some(100));
    }

    #[test]
    fn that_a_connection_is_gone_is_noticed_last() {
        let mut mail = Mail::default();
        post(&mut mail, lane(1, true), 5);
        let gone = Lane { place: Place { connection: 1, stream: 0 }, is_up: true };
        mail.post(gone, 2, Parcel::Up(Up::Gone));
        assert_eq!(due(&mail, 9, |_| 0), [lane(1, true)]);
        assert_eq!(mail.next(|_| 0), Some(5));
        mail.take(lane(1, true));
        assert_eq!(due(&mail, 9, |_| 0), [gone]);
    }

    #[test]
    fn a_cut_loses_what_comes_down_and_the_end_of_what_goes_up() {
        let mut mail = Mail::default();
        for _ in 0..3 {
            post(&mut mail, lane(1, true), 1);
            post(&mut mail, lane(1, false), 1);
            post(&mut mail, lane(2, false), 1);
        }
        mail.cut(1, |length| length - 1);
        let mut left = 0;
        while mail.take(lane(1, true)).is_some() {
            left += 1;
        }
        assert_eq!(left, 2);
        assert_eq!(due(&mail, 1, |_| 0), [lane(2, false)]);
    }
}
