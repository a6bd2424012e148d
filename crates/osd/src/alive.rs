//! Who has to show that he lives when time is made to pass faster than clients ping by themselves.

use std::collections::BTreeSet;

use store::Store;

use crate::Millis;
use crate::effect::{Effect, WatchEvent};
use crate::osd::Osd;
use crate::watch::{StreamId, Watch, WatchId, WatchTable, Watched};

/// A watch whose client was asked for a ping and has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentWatch {
    /// Whose it is.
    pub gid: u64,
    /// Which of his.
    pub cookie: u64,
    /// Of the session.
    pub name: String,
    /// Pool name.
    pub pool: String,
    /// Object name.
    pub object: String,
}

impl<S: Store> Osd<S> {
    /// Asks every stream that carries a watch for a ping, and says which. A stream that owes one already is not asked again:
    /// it is silent, and nobody waits for it until it answers.
    pub fn ask_watches(&mut self, now: Millis) -> (Vec<StreamId>, Vec<Effect>) {
        self.begin(now);
        let carrying: BTreeSet<StreamId> =
            self.watches.connected().map(|connected| connected.stream).collect();
        let mut asked = Vec::new();
        for id in carrying {
            let Some(stream) = self.watches.streams.get_mut(&id) else { continue };
            if !std::mem::replace(&mut stream.owes_ping, true) {
                self.step.send(id, WatchEvent::Ask);
                asked.push(id);
            }
        }
        self.done(asked)
    }

    /// Whether one of these streams is there and has still to answer.
    pub fn is_waiting_for(&self, asked: &[StreamId]) -> bool {
        asked.iter().any(|&stream| self.watches.owes_ping(stream))
    }

    /// The watches whose stream is there and owes a ping, by gid and cookie.
    pub fn silent_watches(&self) -> Vec<SilentWatch> {
        let silent = self.watches.connected().filter(|connected| self.watches.owes_ping(connected.stream));
        let silent = silent.map(|Connected { id: (gid, cookie), watched, .. }| SilentWatch {
            gid,
            cookie,
            name: self.client_name(gid).to_owned(),
            pool: watched.place.pool.clone(),
            object: watched.place.id.name.to_string(),
        });
        let mut silent: Vec<_> = silent.collect();
        silent.sort_by_key(|watch| (watch.gid, watch.cookie));
        silent
    }

    /// The shortest timeout of the watches whose stream is there, and `osd_client_watch_timeout`: in a longer step of time
    /// a client that lives could not keep its watch.
    pub fn shortest_watch_timeout(&self) -> Millis {
        let timeouts = self.watches.connected().map(|connected| connected.watch.timeout);
        timeouts.fold(self.config.osd_client_watch_timeout, Millis::min)
    }
}

/// A watch whose stream is there.
struct Connected<'a> {
    id: WatchId,
    watched: &'a Watched,
    watch: &'a Watch,
    stream: StreamId,
}

impl WatchTable {
    fn connected(&self) -> impl Iterator<Item = Connected<'_>> {
        self.objects.values().flat_map(|watched| {
            let watches = watched.watches.iter();
            watches.filter_map(move |(&id, watch)| {
                watch.stream.map(|stream| Connected { id, watched, watch, stream })
            })
        })
    }

    fn owes_ping(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.owes_ping)
    }
}
