//! Resident memory of the real program beside the bytes that it stores: at most 1.3 times the bytes, and 64 MiB.

mod common;

use std::time::Duration;

use common::program::{BOUND, Program};
use common::{Osd, connect_to, session, slow_to, vector};
use futures_util::StreamExt;
use proto::osd::v1::{self as wire, op::Op as W};
use tokio::time::{sleep, timeout};

const OBJECT_BYTES: usize = 64 << 10;
const OBJECTS: u64 = 2048;
/// What one write may fill.
const PIECE_BYTES: usize = 16 << 10;

/// Between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A client of a program that stores 128 MiB.
struct Client {
    program: Program,
    osd: Osd,
    gid: u64,
    tid: u64,
}

impl Client {
    async fn of_a_full_osd(command: &str) -> Self {
        let program = Program::start(command).await;
        let mut osd = connect_to(&program.address).await;
        let gid = session(&mut osd).await;
        let mut client = Self { program, osd, gid, tid: 0 };
        client.change((0..OBJECTS).map(|number| (number, write(0, OBJECT_BYTES)))).await;
        client
    }

    /// Changes of objects by number, one after the other.
    async fn change(&mut self, changes: impl Iterator<Item = (u64, W)>) {
        let requests: Vec<_> = changes
            .map(|(number, op)| {
                self.tid += 1;
                let watermark = self.tid.saturating_sub(1000);
                wire::OperateRequest { watermark, ..vector(self.gid, self.tid, &name(number), vec![op]) }
            })
            .collect();
        let count = requests.len();
        let replies =
            self.osd.operate_stream(tokio_stream::iter(requests)).await.expect("it opens").into_inner();
        let ended = replies.map(|reply| assert_eq!(reply.expect("it goes on").error, None)).count().await;
        assert_eq!(ended, count);
    }

    /// Waits until the bound holds.
    async fn fits(&mut self, what: &str) {
        let pools =
            self.osd.list_pools(wire::ListPoolsRequest {}).await.expect("there is one").into_inner().pools;
        let stored: u64 = pools.iter().map(|pool| pool.bytes).sum();
        let bound = stored * 13 / 10 + (64 << 20);
        let fitting = async {
            while self.program.resident_bytes() > bound {
                sleep(LOOK_EVERY).await;
            }
        };
        let fits = timeout(BOUND, fitting).await;
        let resident = self.program.resident_bytes();
        fits.unwrap_or_else(|_| {
            panic!("{what}: {resident} bytes for {stored} that are stored; the bound: {bound}")
        });
    }
}

fn name(number: u64) -> String {
    format!("object {number}")
}

fn write(offset: u64, length: usize) -> W {
    W::Write(wire::Write { offset, data: vec![7; length].into() })
}

fn zero(offset: u64, length: u64) -> W {
    W::Zero(wire::Zero { offset, length })
}

/// One piece in eight stays where it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_discarded_goes_back_to_the_machine() {
    let mut client = Client::of_a_full_osd("exec \"$0\"").await;
    client.fits("full").await;
    let pieces = (OBJECT_BYTES / PIECE_BYTES) as u64;
    let discards = (0..OBJECTS * pieces).filter(|piece| piece % 8 != 0);
    let piece = PIECE_BYTES as u64;
    client.change(discards.map(|number| (number / pieces, zero(number % pieces * piece, piece)))).await;
    client.fits("after discards").await;
    client.change((0..OBJECTS).map(|number| (number, write(0, OBJECT_BYTES)))).await;
    client.fits("full again").await;
    let remove = || W::Remove(wire::Remove {});
    client.change((0..OBJECTS).filter(|number| number % 8 != 0).map(|number| (number, remove()))).await;
    client.fits("after objects were removed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_overwrites_and_small_holes_do_not_add_up() {
    const BLOCK: u64 = 4 << 10;
    let mut client = Client::of_a_full_osd("exec \"$0\"").await;
    let blocks = OBJECT_BYTES as u64 / BLOCK;
    // Every block once, in an order that does not follow the memory: 10,007 is a prime number.
    let scattered = |number: u64| number * 10_007 % (OBJECTS * blocks);
    let place = |number| (scattered(number) / blocks, scattered(number) % blocks * BLOCK);
    let of = |number, op: fn(u64) -> W| (place(number).0, op(place(number).1));
    let half = OBJECTS * blocks / 2;
    client.change((0..half).map(|number| of(number, |offset| write(offset, BLOCK as usize)))).await;
    client.fits("after overwrites").await;
    client.change((half..2 * half).map(|number| of(number, |offset| zero(offset, BLOCK)))).await;
    client.fits("after small discards").await;
}

/// Clients that ask for much and read nothing: each gets its turn and loses its connection for the next one's sake.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_are_few() {
    const CLIENTS: usize = 24;
    const LARGE_BYTES: usize = 12 << 20;
    /// Those that nobody waits for any more keep what they have.
    const LAST: usize = 2;
    let mut client = Client::of_a_full_osd("exec \"$0\" --reply-stall-time-max 500ms").await;
    client.change([(OBJECTS, write(0, LARGE_BYTES))].into_iter()).await;
    client.fits("full").await;
    let mut unread = Vec::new();
    for _ in 0..CLIENTS {
        let mut osd = slow_to(&client.program.address).await;
        let gid = session(&mut osd).await;
        let read = move |tid| vector(gid, tid, &name(OBJECTS), vec![W::Read(wire::Read::default())]);
        unread.push(osd.operate_stream(tokio_stream::iter((1..=4).map(read))).await.expect("it opens"));
    }
    let turns = async {
        loop {
            let sessions =
                client.osd.list_sessions(wire::ListSessionsRequest {}).await.expect("they are listed");
            let sessions = sessions.into_inner().sessions;
            if sessions.iter().filter(|session| session.connected).count() <= LAST {
                return;
            }
            client.fits("while replies wait").await;
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(3 * BOUND, turns).await.expect("each has its turn");
    client.fits("in the end").await;
}

/// The streams go on, and the OSD with them.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_were_read_leave_nothing_behind() {
    const CLIENTS: u64 = 24;
    const LARGE_BYTES: usize = 12 << 20;
    let mut client = Client::of_a_full_osd("exec \"$0\"").await;
    client.change([(OBJECTS, write(0, LARGE_BYTES))].into_iter()).await;
    let mut open = Vec::new();
    for _ in 0..CLIENTS {
        let mut osd = connect_to(&client.program.address).await;
        let read = vector(0, 0, &name(OBJECTS), vec![W::Read(wire::Read::default())]);
        let requests = tokio_stream::iter([read]).chain(futures_util::stream::pending());
        let mut replies = osd.operate_stream(requests).await.expect("it opens").into_inner();
        replies.message().await.expect("it is read").expect("it is answered");
        open.push(replies);
    }
    client.fits("after large replies").await;
}
