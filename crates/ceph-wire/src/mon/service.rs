use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::WireError;
use crate::message::payloads;
use crate::{Reader, Wire, Writer};

/// What goes before requests to a service of the monitors. Its values are of no concern here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paxos;

impl Wire for Paxos {
    fn put(&self, out: &mut Writer) {
        0u64.put(out);
        (-1i16).put(out);
        0u64.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        u64::take(from)?;
        i16::take(from)?;
        u64::take(from)?;
        Ok(Self)
    }
}

records! {
    /// Settings for a client.
    #[derive(Eq)]
    Config {
        /// Values by name.
        settings: BTreeMap<String, Bytes>,
    }

    /// Asks for the version of a map.
    #[derive(Eq)]
    GetVersion {
        /// Number of the request; the message has none.
        handle: u64,
        /// Which map: "osdmap", "monmap", ...
        what: String,
    }

    /// The version of a map.
    #[derive(Copy, Eq)]
    GetVersionReply {
        /// The request's.
        handle: u64,
        /// The newest one.
        version: u64,
        /// The oldest one that is kept.
        oldest: u64,
    }
}

payloads! {
    Config = CONFIG, 1, 1;
    GetVersion = MON_GET_VERSION, 1, 1;
    GetVersionReply = MON_GET_VERSION_REPLY, 2, 2;
}
