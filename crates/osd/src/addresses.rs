//! Fences by address: Ceph's monitors know instances by IP:PORT/NONCE.

use store::Store;

use crate::Millis;
use crate::agenda::Due;
use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::Osd;

impl<S: Store> Osd<S> {
    /// Fences whoever has an address, for a while, or moves the end of its entry; when it ends. A live session of that
    /// address is fenced for good. At the limit of fenced instances the entry that ends first makes room.
    pub fn fence_address(
        &mut self,
        now: Millis,
        address: &str,
        expire: Option<Millis>,
    ) -> (Millis, Vec<Effect>) {
        self.begin(now);
        let expires = now.after(expire.unwrap_or(self.config.mon_osd_blocklist_default_expire));
        self.forget_address(address, "renewed");
        while self.blocklist.addresses.len() >= self.config.fenced_instances_max.max(1) {
            let soonest = self.blocklist.addresses.iter().min_by_key(|(_, expires)| **expires);
            let Some(soonest) = soonest.map(|(address, _)| address.clone()) else { break };
            self.forget_address(&soonest, "at the limit");
        }
        self.blocklist.addresses.insert(address.to_owned(), expires);
        self.step.agenda.add(expires, Due::BlocklistAddress { address: address.to_owned() });
        self.step.tell(Event::new(Kind::Blocklisted, 0).detail(address));
        let has_address = |session: &crate::SessionInfo| session.address == address;
        for session in self.sessions().into_iter().filter(has_address) {
            self.fence(session.gid, expires, &format!("its address {address}"));
        }
        self.done(expires)
    }

    /// Takes an entry away; whether there was one. A session that it fenced stays fenced.
    pub fn unfence_address(&mut self, now: Millis, address: &str) -> (bool, Vec<Effect>) {
        self.begin(now);
        let was_there = self.forget_address(address, "removed");
        self.done(was_there)
    }

    /// Whether an instance of that address is fenced.
    pub fn is_address_fenced(&self, address: &str) -> bool {
        self.blocklist.addresses.contains_key(address)
    }

    /// Fenced addresses, in order, with the end of their entry.
    pub fn fenced_addresses(&self) -> impl Iterator<Item = (&str, Millis)> {
        self.blocklist.addresses.iter().map(|(address, expires)| (address.as_str(), *expires))
    }

    /// Whether there was an entry.
    pub(crate) fn forget_address(&mut self, address: &str, why: &str) -> bool {
        let Some(expires) = self.blocklist.addresses.remove(address) else { return false };
        self.step.agenda.remove(expires, Due::BlocklistAddress { address: address.to_owned() });
        self.step.tell(Event::new(Kind::BlocklistRemoved, 0).detail(format!("{address} {why}")));
        true
    }
}
