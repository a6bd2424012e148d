//! What is searched: who wants what, and what may break how often.

/// What a user of a client may want, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// One byte at the start of an object.
    Write {
        /// Which object.
        object: u64,
        /// Not 0.
        value: u8,
    },
    /// All of object 0, for which the parent has data.
    Discard,
    /// Flatten of the image.
    Flatten,
    /// A snapshot under the client's own name: unlike a flatten it shows when it happens twice.
    Snapshot,
}

impl Deed {
    /// Of a write or discard.
    pub fn object(self) -> u64 {
        match self {
            Self::Write { object, .. } => object,
            _ => 0,
        }
    }
}

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A client dies.
    pub crashes: u8,
    /// A watch of a client that lives expires.
    pub expiries: u8,
    /// All connections of a client break.
    pub cuts: u8,
    /// A notify does not reach one watch.
    pub losses: u8,
    /// A notify reaches one watch twice.
    pub duplicates: u8,
    /// Timers of each client that go off while something else moves. Where nothing moves they go off without end.
    pub timers: u8,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// In tables and on the command line.
    pub name: &'static str,
    /// What it is about.
    pub what: &'static str,
    /// Of each client.
    pub deeds: Vec<Vec<Deed>>,
    /// `rbd_blocklist_on_break_lock`.
    pub blocklist: bool,
    /// What may break.
    pub budget: Budget,
    /// It takes minutes.
    pub is_long: bool,
}

const fn write(object: u64, value: u8) -> Deed {
    Deed::Write { object, value }
}

/// All of them, for 2 or 3 clients.
pub fn all(clients: usize) -> Vec<Scenario> {
    let none = Budget::default();
    let scenario = |name, what, deeds: &[&[Deed]], budget, is_long| {
        let mut deeds: Vec<Vec<Deed>> = deeds.iter().map(|deeds| deeds.to_vec()).collect();
        // Everybody further wants to write.
        deeds.extend((deeds.len()..clients).map(|client| vec![write(0, b'A' + client as u8)]));
        Scenario { name, what, deeds, blocklist: true, budget, is_long }
    };
    let (write_a, write_b) = (&[write(0, b'A')][..], &[write(0, b'B')][..]);
    let writes = &[write_a, write_b][..];
    let forward = &[write_a, &[Deed::Snapshot][..]][..];
    let flatten = &[&[Deed::Flatten][..], &[Deed::Discard][..]][..];
    let beside = &[&[Deed::Flatten, Deed::Discard][..], &[Deed::Flatten][..]][..];
    let crash = Budget { crashes: 1, ..none };
    let expiry = Budget { expiries: 1, ..none };
    let cut = Budget { cuts: 1, ..none };
    let lost = Budget { losses: 1, ..none };
    let twice = Budget { duplicates: 1, ..none };
    let early = Budget { timers: 1, ..none };
    vec![
        scenario("hand-over", "two write, nothing breaks", writes, none, false),
        scenario("crash", "two write, one dies", writes, crash, false),
        scenario("expiry", "two write, the watch of one that lives expires", writes, expiry, true),
        scenario("cut", "two write, the connections of one break", writes, cut, true),
        scenario("lost", "two write, a notify is lost", writes, lost, false),
        scenario("twice", "two write, a notify comes twice", writes, twice, false),
        scenario("early", "two write, a timer of each goes off at any moment", writes, early, true),
        scenario("forward", "one writes, one takes a snapshot", forward, none, false),
        scenario("forward-crash", "the same, one dies", forward, crash, true),
        scenario("forward-expiry", "the same, the watch of one expires", forward, expiry, true),
        scenario("forward-lost", "the same, a notify is lost", forward, lost, true),
        scenario("forward-twice", "the same, a notify comes twice", forward, twice, true),
        scenario("flatten", "one flattens, one discards", flatten, none, false),
        scenario("flatten-crash", "the same, one dies", flatten, crash, true),
        scenario("flatten-beside", "one flattens and discards at once, one flattens", beside, none, true),
    ]
}
