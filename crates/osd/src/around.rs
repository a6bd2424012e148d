//! Watches and notifies as ops of vectors, as Ceph's clients ask for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use store::{Change, ObjectId, Store};

use crate::error::{Outcome, refuse};
use crate::notify::{Answered, PendingMax};
use crate::op::{OpResult, Output};
use crate::operate::Request;
use crate::osd::Osd;
use crate::records::{self, Watching};
use crate::session::Session;
use crate::vector::Fact;
use crate::vector::target::Target;
use crate::watch::{End, Place, StreamId, Watch, WatchId, WatchTable, WatcherInfo};
use crate::{Config, Millis};

/// Ceph's clients ping their watches every 5 s by their own clock (`objecter_tick_interval`): silent for less than two of these
/// intervals, a watch lives, whatever timeout it asks for.
pub(crate) const PINGED_WATCH_TIMEOUT_MIN: Millis = Millis(10_000);

/// What goes on around an object when a vector begins, and whom of its caller it concerns.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub(crate) gid: u64,
    pub(crate) object: &'a ObjectId,
    pub(crate) table: &'a WatchTable,
    pub(crate) sessions: &'a BTreeMap<u64, Session>,
    pub(crate) config: &'a Config,
    pub(crate) now: Millis,
}

/// What an op asks of the watches around its object. It happens when the vector has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Watch, for as long as the client is not silent for longer.
    Register {
        /// Which of the client's.
        cookie: u64,
        /// How long it may be silent.
        timeout: Millis,
    },
    /// Go on watching on another connection.
    Reconnect {
        /// Which of the client's.
        cookie: u64,
    },
    /// The watch's client lives.
    Ping {
        /// Which of the client's.
        cookie: u64,
    },
    /// Watch no longer.
    Unwatch {
        /// Which of the client's.
        cookie: u64,
    },
    /// Tell everybody who watches.
    Notify {
        /// The client's name for what comes of it.
        cookie: u64,
        /// How long to wait for acks.
        timeout: Millis,
        /// What to tell.
        payload: Bytes,
    },
    /// Answer a notify.
    Ack {
        /// Which notify.
        notify_id: u64,
        /// For which watch.
        cookie: u64,
        /// What it answers.
        payload: Bytes,
    },
}

impl<'a> Around<'a> {
    fn watch(&self, cookie: u64) -> Option<&'a Watch> {
        self.table.objects.get(self.object)?.watches.get(&(self.gid, cookie))
    }

    /// The connection at which the caller is told what happens.
    fn stream(&self) -> Outcome<StreamId> {
        match self.sessions.get(&self.gid).and_then(|session| session.watch_stream) {
            Some(stream) => Ok(stream),
            None => refuse(Errno::ENOTCONN, format!("client {} cannot be told anything", self.gid)),
        }
    }
}

/// Every watch of an object, those included that wait for a reconnect.
pub(crate) fn watchers(
    table: &WatchTable,
    sessions: &BTreeMap<u64, Session>,
    object: &ObjectId,
    now: Millis,
) -> Vec<WatcherInfo> {
    let watches = table.objects.get(object).into_iter().flat_map(|watched| &watched.watches);
    watches
        .map(|(&(gid, cookie), watch)| {
            let session = sessions.get(&gid);
            WatcherInfo {
                gid,
                cookie,
                address: session.map_or_else(String::new, |session| session.address.clone()),
                name: session.map_or_else(String::new, |session| session.name.clone()),
                timeout: watch.timeout,
                is_connected: watch.stream.is_some(),
                expires_in: watch.expires.since(now),
            }
        })
        .collect()
}

/// The rules of the ops.
pub(crate) mod ops {
    use super::{
        Around, Bytes, Deed, Errno, Millis, OpResult, Outcome, Output, PINGED_WATCH_TIMEOUT_MIN, PendingMax,
        Target, refuse, watchers,
    };
    use crate::limits::{NOTIFY_TIMEOUT_MAX, WATCH_TIMEOUT_MAX, check_bytes_max, check_span};
    use crate::vector::Fact;

    /// A span of 0 asks for the usual one.
    fn span(asked_for: Millis, usual: Millis) -> Millis {
        if asked_for == Millis(0) { usual } else { asked_for }
    }

    fn around<'a>(target: &Target<'a>) -> Outcome<Around<'a>> {
        target.stat()?;
        match target.around() {
            Some(around) => Ok(around),
            None => refuse(Errno::EOPNOTSUPP, "nobody watches here"),
        }
    }

    fn done(target: &mut Target<'_>, deed: Deed) -> Outcome<OpResult> {
        target.tell(Fact::Watching(deed));
        Ok(Output::Done.into())
    }

    pub(crate) fn watch(target: &mut Target<'_>, &cookie: &u64, &timeout: &Millis) -> Outcome<OpResult> {
        let around = around(target)?;
        around.stream()?;
        check_span("a watch timeout", timeout, ("WATCH_TIMEOUT_MAX", WATCH_TIMEOUT_MAX))?;
        let timeout = span(timeout, around.config.osd_client_watch_timeout).max(PINGED_WATCH_TIMEOUT_MIN);
        around.table.check_register(around.object, (around.gid, cookie), &around.config.limits)?;
        done(target, Deed::Register { cookie, timeout })
    }

    pub(crate) fn reconnect(target: &mut Target<'_>, &cookie: &u64) -> Outcome<OpResult> {
        let around = around(target)?;
        around.stream()?;
        match around.watch(cookie) {
            Some(_) => done(target, Deed::Reconnect { cookie }),
            None => gone(&around, cookie),
        }
    }

    pub(crate) fn ping(target: &mut Target<'_>, &cookie: &u64) -> Outcome<OpResult> {
        let around = around(target)?;
        match around.watch(cookie) {
            Some(watch) if watch.stream.is_some() => done(target, Deed::Ping { cookie }),
            Some(_) => {
                let rule =
                    format!("the watch of client {} with cookie {cookie} has no connection", around.gid);
                refuse(Errno::ETIMEDOUT, rule)
            }
            None => gone(&around, cookie),
        }
    }

    fn gone<T>(around: &Around<'_>, cookie: u64) -> Outcome<T> {
        refuse(Errno::ENOTCONN, format!("the watch of client {} with cookie {cookie} is gone", around.gid))
    }

    /// One that is gone is fine.
    pub(crate) fn unwatch(target: &mut Target<'_>, &cookie: &u64) -> Outcome<OpResult> {
        around(target)?;
        done(target, Deed::Unwatch { cookie })
    }

    pub(crate) fn notify(
        target: &mut Target<'_>,
        &cookie: &u64,
        &timeout: &Millis,
        payload: &Bytes,
    ) -> Outcome<OpResult> {
        let around = around(target)?;
        around.stream()?;
        check_bytes_max("a notify", payload.len() as u64, around.config.limits.payload_bytes_max)?;
        check_span("a notify timeout", timeout, ("NOTIFY_TIMEOUT_MAX", NOTIFY_TIMEOUT_MAX))?;
        let timeout = span(timeout, around.config.osd_default_notify_timeout);
        around.table.check_notify(around.object, payload.len(), PendingMax::of(around.config))?;
        // Those before it in this vector come first.
        let before = target.facts().iter().filter(|fact| matches!(fact, Fact::Watching(Deed::Notify { .. })));
        let notify_id = around.table.newest_notify + 1 + before.count() as u64;
        target.tell(Fact::Watching(Deed::Notify { cookie, timeout, payload: payload.clone() }));
        Ok(Output::Notified { notify_id }.into())
    }

    /// One that nobody waits for is fine.
    pub(crate) fn notify_ack(
        target: &mut Target<'_>,
        &notify_id: &u64,
        &cookie: &u64,
        payload: &Bytes,
    ) -> Outcome<OpResult> {
        around(target)?;
        done(target, Deed::Ack { notify_id, cookie, payload: payload.clone() })
    }

    pub(crate) fn list_watchers(target: &Target<'_>) -> Outcome<OpResult> {
        let around = around(target)?;
        let watchers = watchers(around.table, around.sessions, around.object, around.now);
        Ok(Output::Watchers { watchers }.into())
    }
}

impl<S: Store> Osd<S> {
    /// What goes on around the object of a vector.
    pub(crate) fn around<'a>(&'a self, gid: u64, object: &'a ObjectId) -> Around<'a> {
        let Self { watches: table, sessions, config, step, .. } = self;
        Around { gid, object, table, sessions, config, now: step.now }
    }

    /// What the store is to know of the watches that a vector makes and ends.
    pub(crate) fn watch_records(&self, gid: u64, object: &ObjectId, facts: &[Fact]) -> Vec<Change> {
        let gone = |cookie| records::gone(records::watching_key(object, (gid, cookie)));
        let mut changes = Vec::new();
        for (index, fact) in facts.iter().enumerate() {
            match fact {
                Fact::ObjectRemoved => {
                    changes.extend(self.watches.all_gone(object));
                    let before = facts[..index].iter();
                    changes.extend(before.filter_map(Fact::registered).map(gone));
                }
                &Fact::Watching(Deed::Register { cookie, timeout }) => {
                    changes.push(records::kept(&Watching::new(object, (gid, cookie), timeout)));
                }
                &Fact::Watching(Deed::Unwatch { cookie }) => changes.push(gone(cookie)),
                _ => {}
            }
        }
        changes
    }

    /// Does what a vector asked for that has happened. `version` is the object's.
    pub(crate) fn carry_out(&mut self, request: &Request, version: u64, id: &ObjectId, deed: Deed) {
        let gid = request.gid;
        let place = Place { id: id.clone(), pool: request.vector.pool.clone() };
        let stream = self.sessions.get(&gid).and_then(|session| session.watch_stream);
        let (watches, step) = (&mut self.watches, &mut self.step);
        match (deed, stream) {
            (Deed::Register { cookie, timeout }, Some(stream)) => {
                watches.register(step, &place, ((gid, cookie), stream, timeout));
            }
            (Deed::Reconnect { cookie }, Some(stream)) => {
                let is_there = watches.reconnect(step, &place, (gid, cookie), stream);
                debug_assert!(is_there.is_ok(), "the op's rule has looked");
            }
            (Deed::Ping { cookie }, Some(stream)) => watches.renew(step, id, (gid, cookie), stream),
            (Deed::Unwatch { cookie }, _) => watches.remove(step, id, (gid, cookie), End::GIVEN_UP),
            (Deed::Notify { cookie, timeout, payload }, Some(stream)) => {
                let answered = Answered::At { stream, cookie };
                watches.notify(step, &place, (gid, answered), (payload, timeout, version));
                if let Some(session) = self.sessions.get_mut(&gid) {
                    session.notifies += 1;
                }
            }
            (Deed::Ack { notify_id, cookie, payload }, _) => {
                let bytes_max = self.config.pending_notify_bytes_max;
                let ack = (notify_id, request.vector.terms.door, payload);
                watches.ack(step, id, (gid, cookie), ack, bytes_max);
            }
            (
                Deed::Register { .. } | Deed::Reconnect { .. } | Deed::Ping { .. } | Deed::Notify { .. },
                None,
            ) => {
                debug_assert!(false, "the op's rule has looked for a connection");
            }
        }
    }
}

/// The watch of one client.
impl WatchTable {
    /// Its client lives; only on the connection that it is attached to.
    fn renew(&mut self, step: &crate::effect::Step, object: &ObjectId, id: WatchId, stream: StreamId) {
        let watched = self.objects.get_mut(object);
        let watch = watched.and_then(|watched| watched.watches.get_mut(&id));
        if let Some(watch) = watch.filter(|watch| watch.stream == Some(stream)) {
            watch.expires = step.now.after(watch.timeout);
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.owes_ping = false;
        }
    }
}
