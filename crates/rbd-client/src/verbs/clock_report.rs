use proto::clock::v1 as wire;
use rpc::Address;

use crate::report::{Column, Lines, Object, Report, Value, list, table};

/// What time it is where.
pub(super) struct Clocks(Vec<Clock>);

struct Clock {
    at: String,
    clock: &'static str,
    now_ms: u64,
    step_ms: u64,
}

/// Time has passed.
#[derive(Default)]
pub(super) struct Advanced {
    clocks: Vec<Now>,
    silent: Vec<Silent>,
}

struct Now {
    at: String,
    now_ms: u64,
}

/// A watch without a sign of life.
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
    const ELEMENT: &'static str = "clocks";

    fn value(&self) -> Value {
        let fields = |clock: &Clock| {
            Object::default()
                .with("at", &clock.at)
                .with("clock", clock.clock)
                .with("now_ms", clock.now_ms)
                .with("step_ms", clock.step_ms)
        };
        list("clock", self.0.iter().map(fields))
    }

    fn plain(&self) -> Lines {
        let row = |clock: &Clock| {
            [clock.at.clone(), clock.clock.to_owned(), seconds(clock.now_ms), seconds(clock.step_ms)]
        };
        table(["AT", "CLOCK", "NOW", "STEP"].map(Column::Left), self.0.iter().map(row))
    }
}

impl Report for Advanced {
    const ELEMENT: &'static str = "advanced";

    fn value(&self) -> Value {
        let now = |now: &Now| Object::default().with("at", &now.at).with("now_ms", now.now_ms);
        let watch = |watch: &Silent| {
            Object::default()
                .with("client", watch.client)
                .with("cookie", watch.cookie)
                .with("name", &watch.name)
                .with("pool", &watch.pool)
                .with("object", &watch.object)
        };
        Object::default()
            .with("clocks", list("clock", self.clocks.iter().map(now)))
            .with("silent", list("watch", self.silent.iter().map(watch)))
            .into()
    }

    fn plain(&self) -> Lines {
        let row = |now: &Now| [now.at.clone(), seconds(now.now_ms)];
        let silent = self.silent.iter().map(|watch| {
            let Silent { client, cookie, name, pool, object } = watch;
            format!("silent: client.{client} \"{name}\", watch {cookie} of {pool}/{object}")
        });
        table(["AT", "NOW"].map(Column::Left), self.clocks.iter().map(row)).then(silent.collect())
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
