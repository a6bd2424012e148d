//! Fenced client instances.

use std::collections::{BTreeMap, BTreeSet};

use crate::Millis;

/// Entries expire and can be removed; that an instance was fenced is remembered beyond that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocklist {
    entries: BTreeMap<u64, Millis>,
    fenced: BTreeSet<u64>,
    /// Fenced addresses, IP:PORT/NONCE, with the end of their entry.
    pub(crate) addresses: BTreeMap<String, Millis>,
}

impl Blocklist {
    /// The instance may never do anything again.
    pub(crate) fn is_fenced(&self, gid: u64) -> bool {
        self.fenced.contains(&gid)
    }

    /// An instance that was fenced before the OSD was opened, with the end of its entry if there is one.
    pub(crate) fn restore(&mut self, gid: u64, expires: Option<Millis>) {
        self.fenced.insert(gid);
        self.entries.extend(expires.map(|expires| (gid, expires)));
    }

    /// Ascending.
    pub(crate) fn fenced_gids(&self) -> impl Iterator<Item = u64> {
        self.fenced.iter().copied()
    }

    pub(crate) fn fenced(&self) -> usize {
        self.fenced.len()
    }

    /// Lists an instance, or moves the end of its entry; the former end.
    pub(crate) fn add(&mut self, gid: u64, expires: Millis) -> Option<Millis> {
        self.fenced.insert(gid);
        self.entries.insert(gid, expires)
    }

    /// Takes an entry away; its end.
    pub(crate) fn remove(&mut self, gid: u64) -> Option<Millis> {
        self.entries.remove(&gid)
    }

    /// Forgets the fenced instance with the lowest gid, that one excepted: it, and the end of its entry.
    pub(crate) fn forget_oldest_but(&mut self, newest: u64) -> Option<(u64, Option<Millis>)> {
        let oldest = self.fenced.iter().copied().find(|&gid| gid != newest)?;
        self.fenced.remove(&oldest);
        Some((oldest, self.entries.remove(&oldest)))
    }

    /// Whether an address is listed, or everybody at its IP: by port 0 and nonce 0.
    pub(crate) fn lists(&self, address: &str) -> bool {
        if self.addresses.is_empty() {
            return false;
        }
        self.addresses.contains_key(address)
            || everybody_at(address).is_some_and(|everybody| self.addresses.contains_key(&everybody))
    }

    /// Listed instances with the end of their entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, Millis)> {
        self.entries.iter().map(|(&gid, &expires)| (gid, expires))
    }
}

/// The entry that lists everybody at the IP of an address: port 0 and nonce 0.
pub(crate) fn everybody_at(address: &str) -> Option<String> {
    let (ip, _) = address.rsplit_once(':')?;
    Some(format!("{ip}:0/0"))
}
