//! Messages: a header, a front that is the message's own struct, and bytes that go with it.

use bytes::Bytes;

use crate::error::WireError;
use crate::{Wire, from_bytes, to_bytes};

records! {
    /// What goes before every message.
    #[derive(Copy, Default, Eq)]
    MessageHeader {
        /// Per connection and direction, from 1.
        seq: u64,
        /// Number of a request; its reply says the same.
        tid: u64,
        /// See [`kind`].
        kind: u16,
        /// Of no concern here.
        priority: u16,
        /// Version of the front's encoding.
        version: u16,
        /// Always 0.
        data_padding: u32,
        /// Of no concern here.
        data_offset: u16,
        /// The newest that was received; may stay 0 on connections without replay.
        ack_seq: u64,
        /// Which checksums the old messenger had.
        flags: u8,
        /// The oldest decoder that may read the front.
        compat: u16,
        /// Always 0.
        reserved: u16,
    }
}

/// The usual priority; [`MessageHeader::priority`].
const PRIORITY: u16 = 127;

/// A message without its place in a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of the request, in it and in its reply.
    pub tid: u64,
    /// See [`kind`].
    pub kind: u16,
    /// Version of the front's encoding.
    pub version: u16,
    /// The oldest decoder that may read it.
    pub compat: u16,
    /// The message's struct.
    pub front: Bytes,
    /// What goes with it.
    pub data: Bytes,
}

/// A struct that is the front of messages of one kind.
pub trait Payload: Wire {
    /// See [`kind`].
    const KIND: u16;
    /// Version of the encoding.
    const VERSION: u16;
    /// The oldest decoder that may read it.
    const COMPAT: u16;
}

impl Message {
    /// A message without data.
    pub fn of<P: Payload>(tid: u64, payload: &P) -> Self {
        Self::with_data(tid, payload, Bytes::new())
    }

    /// A message with data.
    pub fn with_data<P: Payload>(tid: u64, payload: &P, data: Bytes) -> Self {
        Self { tid, kind: P::KIND, version: P::VERSION, compat: P::COMPAT, front: to_bytes(payload), data }
    }

    /// The front, when the message is of that kind.
    pub fn read<P: Payload>(&self) -> Result<P, WireError> {
        debug_assert_eq!(self.kind, P::KIND, "who reads has looked at the kind");
        from_bytes(&self.front)
    }

    /// What goes before it.
    pub fn header(&self, seq: u64) -> MessageHeader {
        let Self { tid, kind, version, compat, .. } = *self;
        let flags = 3;
        MessageHeader { seq, tid, kind, version, compat, flags, priority: PRIORITY, ..Default::default() }
    }
}

macro_rules! kinds {
    ($($name:ident = $number:literal;)*) => {
        /// The numbers of messages, by Ceph's names.
        pub mod kind {
            $(#[doc = concat!("CEPH_MSG_", stringify!($name))] pub const $name: u16 = $number;)*
        }
    };
}

kinds! {
    PING = 2;
    MON_MAP = 4;
    MON_GET_MAP = 5;
    STATFS = 13;
    STATFS_REPLY = 14;
    MON_SUBSCRIBE = 15;
    MON_GET_VERSION = 19;
    MON_GET_VERSION_REPLY = 20;
    OSD_MAP = 41;
    OSD_OP = 42;
    OSD_OPREPLY = 43;
    WATCH_NOTIFY = 44;
    POOLOP_REPLY = 48;
    POOLOP = 49;
    MON_COMMAND = 50;
    MON_COMMAND_ACK = 51;
    LOG = 52;
    GETPOOLSTATS = 58;
    GETPOOLSTATS_REPLY = 59;
    CONFIG = 62;
    COMMAND = 97;
    COMMAND_REPLY = 98;
    MGR_MAP = 0x704;
}

/// Says which messages structs are the fronts of.
macro_rules! payloads {
    ($($name:ident = $kind:ident, $version:literal, $compat:literal;)*) => {
        $(impl $crate::Payload for $name {
            const KIND: u16 = $crate::kind::$kind;
            const VERSION: u16 = $version;
            const COMPAT: u16 = $compat;
        })*
    };
}
pub(crate) use payloads;
