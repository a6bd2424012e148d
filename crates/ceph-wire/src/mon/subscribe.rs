use std::collections::BTreeMap;

use crate::error::WireError;
use crate::message::payloads;
use crate::{Reader, Wire, Writer};

records! {
    /// What is wanted of a map.
    #[derive(Copy, Eq)]
    SubscribeItem {
        /// From which version on; 0 = the newest.
        start: u64,
        /// See [`SubscribeItem::ONETIME`].
        flags: u8,
    }
}

impl SubscribeItem {
    /// One answer is enough.
    pub const ONETIME: u8 = 1;

    /// Whether one answer is enough.
    pub fn is_onetime(&self) -> bool {
        self.flags & Self::ONETIME != 0
    }
}

/// What a client wants to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// By map: "config", "monmap", "mgrmap", "osdmap", and others.
    pub what: BTreeMap<String, SubscribeItem>,
    /// Of the client; empty from version 2 of the message.
    pub host: String,
}

impl Wire for Subscribe {
    fn put(&self, out: &mut Writer) {
        self.what.put(out);
        self.host.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = Wire::take(from).map_err(|error: WireError| error.at("Subscribe.what"))?;
        let host = if from.is_empty() { String::new() } else { Wire::take(from)? };
        Ok(Self { what, host })
    }
}

payloads! {
    Subscribe = MON_SUBSCRIBE, 3, 1;
}
