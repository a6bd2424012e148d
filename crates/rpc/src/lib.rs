//! Generated service stubs, and the one place that sets up gRPC channels and servers.
//!
//! Every default of the transport is wrong for an object store: 16 KiB frames, a 4 MiB message limit that a 4 MiB object
//! exceeds, no keep-alive, and delayed small packets on accepted sockets. Servers and clients of this workspace are
//! made here and nowhere else.

mod channel;
mod server;
pub mod status;

pub use channel::{Address, AddressError, BoxIo, Dial, Io, Network, socket_address};
pub use server::{incoming, server, stdin_ended};

/// Stubs of service `clock.v1.Clock`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod clock {
    include!(concat!(env!("OUT_DIR"), "/clock.v1.rs"));
}

/// Stubs of the services of package `osd.v1`: `Osd` and `Faults`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod osd {
    include!(concat!(env!("OUT_DIR"), "/osd.v1.rs"));
}

/// Stubs of service `osd.v1.Faults`.
pub mod faults {
    pub use super::osd::{faults_client, faults_server};
}

/// Stubs of service `rbd.v1.RbdClient`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod rbd {
    include!(concat!(env!("OUT_DIR"), "/rbd.v1.rs"));
}

/// Largest message either side accepts: a 16 MiB payload and its envelope.
pub const MESSAGE_BYTES_MAX: usize = 17 << 20;

/// Metadata key by which a client names its session when it opens an op stream: the gid in decimal.
pub const GID_METADATA: &str = "rbd-sim-gid";

/// HTTP/2 frame size on both sides. The default of 16 KiB costs half of the throughput of 4 MiB objects.
pub(crate) const FRAME_BYTES: u32 = 1 << 20;
/// HTTP/2 flow-control window of one stream.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// HTTP/2 flow-control window of one connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
