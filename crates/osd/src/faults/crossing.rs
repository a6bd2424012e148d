/// Which way something goes, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// An op vector or a call, on its way to the OSD: not applied yet.
    Request,
    /// The answer to one, on its way to the client: what it answers has been applied.
    Reply,
    /// A notify on its way to one watch.
    Notify,
    /// A watch's answer to a notify, on its way to the OSD.
    Ack,
    /// A map, the configuration or the log, on its way to a client of the monitor that subscribes to it.
    Map,
}

impl Direction {
    /// As people write it, e.g. "request".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Notify => "notify",
            Self::Ack => "ack",
            Self::Map => "map",
        }
    }
}

/// Something that passes a door of the OSD.
#[derive(Clone, Copy, Debug)]
pub struct Crossing<'a> {
    /// Which way.
    pub direction: Direction,
    /// The client at the other end: who asks, is answered, is notified or acks. 0 = nobody in particular.
    pub gid: u64,
    /// The name it gave at connect.
    pub client: &'a str,
    /// Where it is, as Ceph shows it: IP:PORT/NONCE.
    pub address: &'a str,
    /// Pool name; empty when the call is not about a pool.
    pub pool: &'a str,
    /// Object name; empty when the call is not about an object.
    pub object: &'a str,
    /// Of a vector its ops, of a call its names, of a map what it shows; empty for notifies and acks.
    pub ops: &'a [String],
    /// Whether its answer, or it as an answer, can say an error.
    pub can_fail: bool,
    /// Of a notify; of an ack that of the notify which it answers.
    pub payload: Option<&'a [u8]>,
}
