//! Listings of a client of the OSD on their way through the doors at which faults are asked for. They keep no order, neither with each
//! other nor with ops.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osd::faults::{Crossing, Direction};
use osd::{OpError, Osd};
use store::Seq;

use super::daemons::Daemons;
use super::osd_client::no_pool;
use super::reply::{Letter, Page};
use super::request::{Asked, List};
use crate::daemon::{AnyStore, Passage};

/// A listing that was asked for.
pub(super) struct Listing {
    pub(super) asked: Asked,
    pub(super) list: List,
}

/// The listings of one client.
pub(super) struct Listings {
    daemons: Arc<Daemons>,
    gid: u64,
    late: FuturesUnordered<BoxFuture<'static, Late>>,
    answered: VecDeque<(Letter, Seq)>,
}

/// What a fault has delayed or held.
pub(super) enum Late {
    Asked(Box<Listing>),
    Answer(Letter, Seq),
}

impl Listings {
    pub(super) fn new(daemons: Arc<Daemons>, gid: u64) -> Self {
        Self { daemons, gid, late: FuturesUnordered::new(), answered: VecDeque::new() }
    }

    /// The next answer, and what it may have seen.
    pub(super) fn answered(&mut self) -> Option<(Letter, Seq)> {
        self.answered.pop_front()
    }

    /// One has come.
    pub(super) fn come(&mut self, listing: Listing) {
        match self.pass(Direction::Request, &listing.asked, size_of::<Listing>()) {
            // A copy would change nothing, and be answered by nobody.
            Passage::Goes | Passage::Twice(_) | Passage::Old => self.list(listing),
            Passage::Waits(word) => {
                let listing = Box::new(listing);
                self.late.push(word.map(|_word| Late::Asked(listing)).boxed());
            }
            Passage::Refused(error) => self.refuse(listing.asked, error),
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    /// What goes on next; `None` when nothing is late. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Option<Late> {
        self.late.next().await
    }

    /// What was late goes on.
    pub(super) fn go_on(&mut self, late: Late) {
        match late {
            Late::Asked(listing) => self.list(*listing),
            Late::Answer(message, seen) => self.answered.push_back((message, seen)),
        }
    }

    fn list(&mut self, Listing { asked, list }: Listing) {
        let daemons = self.daemons.clone();
        let pool = asked.pool();
        let (page, seen) =
            daemons.daemon.step_seeing(|osd, _| (page(osd, self.gid, pool, &list), Vec::new()));
        let bytes = size_of_val(page.as_ref().map_or(&[][..], |(places, _)| places));
        let passage = self.pass(Direction::Reply, &asked, bytes);
        let answer = |asked: Asked| asked.answer_page(page, daemons.epoch());
        match passage {
            Passage::Goes | Passage::Old => self.answered.push_back((answer(asked), seen)),
            Passage::Waits(word) => {
                let answer = answer(asked);
                self.late.push(word.map(move |_word| Late::Answer(answer, seen)).boxed());
            }
            Passage::Twice(after) => {
                let answer = answer(asked);
                self.answered.push_back((answer.clone(), seen));
                let word = daemons.daemon.later(after, bytes);
                self.late.push(word.map(move |_word| Late::Answer(answer, seen)).boxed());
            }
            Passage::Refused(error) => self.refuse(asked, error),
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    fn refuse(&mut self, asked: Asked, error: OpError) {
        self.answered.push_back((asked.answer_page(Err(error), self.daemons.epoch()), Seq(0)));
    }

    fn pass(&self, direction: Direction, asked: &Asked, bytes: usize) -> Passage {
        let (gid, daemon) = (self.gid, &self.daemons.daemon);
        if !daemon.has_rules() || daemon.look(|osd| osd.session_over(gid)).is_some() {
            return Passage::Goes;
        }
        let pool = daemon.look(|osd| osd.pool_name(asked.pool()).map(str::to_owned)).unwrap_or_default();
        let ops = ["list_objects".to_owned()];
        let crossing = Crossing {
            direction,
            gid,
            client: "",
            address: "",
            pool: &pool,
            object: "",
            ops: &ops,
            can_fail: true,
            payload: None,
        };
        daemon.pass(crossing, bytes)
    }
}

fn page(osd: &Osd<AnyStore>, gid: u64, pool: u64, list: &List) -> Page {
    if let Some(over) = osd.session_over(gid) {
        return Err(over);
    }
    let name = osd.pool_name(pool).ok_or_else(|| no_pool(pool))?;
    osd.list_by_hash(name, list.namespace.as_deref(), &list.from, list.max)
}
