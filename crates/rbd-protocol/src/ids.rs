//! Names of clients, requests, waiting callers and moments.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Add;

/// Milliseconds: a moment since the program started, or a length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The same moment when time 0 is moved to `origin`: what has passed is 0. A moment that never comes stays never.
    #[must_use]
    pub fn since_origin(self, origin: Self) -> Self {
        if self.0 == u64::MAX { self } else { Self(self.0.saturating_sub(origin.0)) }
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A client of the image as announcements and the lock's cookie name it (facts 4.1). Changes when the watch is
/// registered anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Global id of the client instance: what a blocklist entry names.
    pub gid: u64,
    /// Its watch handle; 0 = none.
    pub handle: u64,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} (watch {})", self.gid, self.handle)
    }
}

/// Identity of a forwarded request: the idempotency key. Independent of the watch handle, so that it survives a
/// re-registered watch (facts 9.3 item 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Global id of the requester's client instance.
    pub gid: u64,
    /// Counts the image opens of that instance, from 1, never reused.
    pub open: u64,
    /// Counts the requests of that open, from 1.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.gid, self.open, self.number)
    }
}

/// Names something that waits: a caller, the ack of a notify, a running operation, a notify under way. Whoever makes
/// the token keeps it unique among its kind; the machines only hand it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Told apart from numbers by the highest bit: a hasher may give names of its own to tokens, of which only equality and order count.
impl Hash for Token {
    fn hash<H: Hasher>(&self, into: &mut H) {
        into.write_u64(self.0 | 1 << 63);
    }
}

/// How many names were given. Hashed as nothing: what is named next differs from all that was, and how often is no state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter(u64);

impl Counter {
    /// The next name, which is given with [`Counter::count`].
    pub(crate) const fn next(self) -> u64 {
        self.0 + 1
    }

    /// Gives the next name.
    pub(crate) fn count(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Hash for Counter {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
