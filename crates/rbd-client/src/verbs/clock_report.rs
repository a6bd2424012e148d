use proto::clock::v1 as wire;
use rpc::Address;
use serde::Serialize;

use crate::console::{Report, table};

/// What time it is where.
#[derive(Serialize)]
pub(super) struct Clocks(Vec<Clock>);

#[derive(Serialize)]
struct Clock {
    at: String,
    clock: &'static str,
    now_ms: u64,
    step_ms: u64,
}

/// Time has passed.
#[derive(Default, Serialize)]
pub(super) struct Advanced {
    clocks: Vec<Now>,
    silent: Vec<Silent>,
}

#[derive(Serialize)]
struct Now {
    at: String,
    now_ms: u64,
}

/// A watch without a sign of life.
#[derive(Serialize)]
struct Silent {
    client: u64,
    cookie: u64,
    name: String,
    pool: String,
    object: String,
}

impl Clocks {
    pub(super) fn of(shown: Vec<(Address, wire::GetClockReply)>) -> Self {
        let clock = |(at, clock): (Address, wire::GetClockReply)| Clock {
            at: at.to_string(),
            clock: if clock.manual { "manual" } else { "real" },
            now_ms: clock.now_ms,
            step_ms: clock.step_ms,
        };
        Self(shown.into_iter().map(clock).collect())
    }
}

impl Advanced {
    pub(super) fn of(replies: Vec<(Address, wire::AdvanceClockReply)>) -> Self {
        let mut advanced = Self::default();
        for (at, reply) in replies {
            advanced.clocks.push(Now { at: at.to_string(), now_ms: reply.now_ms });
            advanced.silent.extend(reply.silent.into_iter().map(|watch| Silent {
                client: watch.gid,
                cookie: watch.cookie,
                name: watch.name,
                pool: watch.pool,
                object: watch.object,
            }));
        }
        advanced
    }
}

impl Report for Clocks {
    fn plain(&self) -> String {
        let row = |clock: &Clock| {
            [clock.at.clone(), clock.clock.to_owned(), seconds(clock.now_ms), seconds(clock.step_ms)]
        };
        table(["AT", "CLOCK", "NOW", "STEP"], self.0.iter().map(row))
    }
}

impl Report for Advanced {
    fn plain(&self) -> String {
        let clocks =
            table(["AT", "NOW"], self.clocks.iter().map(|now| [now.at.clone(), seconds(now.now_ms)]));
        let silent = self.silent.iter().map(|watch| {
            let Silent { client, cookie, name, pool, object } = watch;
            format!("\nsilent: client.{client} \"{name}\", watch {cookie} of {pool}/{object}")
        });
        clocks + &silent.collect::<String>()
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
