//! Fences by address: Ceph's monitors know instances by IP:PORT/NONCE.

use store::Store;

use crate::agenda::Due;
use crate::blocklist::everybody_at;
use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::Osd;
use crate::records::{self, FencedAddress};
use crate::{Millis, OpError, SessionInfo};

impl<S: Store> Osd<S> {
    /// Fences whoever has an address, for a while, or moves the end of its entry; when it ends. Port 0 and nonce 0 stand for
    /// everybody at an IP. A live session of that address is fenced for good. At the limit of fenced instances the entry that ends
    /// first makes room.
    ///
    /// EIO, ENOSPC of the store: then nobody is fenced.
    pub fn fence_address(
        &mut self,
        now: Millis,
        address: &str,
        expire: Option<Millis>,
    ) -> (Result<Millis, OpError>, Vec<Effect>) {
        self.begin(now);
        let expires = now.after(expire.unwrap_or(self.config.mon_osd_blocklist_default_expire));
        let fenced = self.list_address(address, expires);
        self.done(fenced.map(|()| expires))
    }

    fn list_address(&mut self, address: &str, expires: Millis) -> Result<(), OpError> {
        let has_address = |session: &SessionInfo| {
            session.address == address || everybody_at(&session.address).as_deref() == Some(address)
        };
        let sessions: Vec<_> = self.sessions().into_iter().filter(has_address).collect();
        let expires_unix_ms = self.unix_ms(expires);
        let entry = records::kept(&FencedAddress { address: address.to_owned(), expires_unix_ms });
        let fences = sessions.iter().map(|session| self.fence_record(session.gid, Some(expires)));
        self.submit([entry].into_iter().chain(fences).collect())?;
        if let Some(former) = self.blocklist.addresses.insert(address.to_owned(), expires) {
            self.step.agenda.remove(former, Due::BlocklistAddress { address: address.to_owned() });
            self.step.tell(Event::new(Kind::BlocklistRemoved, 0).detail(format!("{address} renewed")));
        }
        self.step.agenda.add(expires, Due::BlocklistAddress { address: address.to_owned() });
        self.step.tell(Event::new(Kind::Blocklisted, 0).detail(address));
        self.forget_addresses(address);
        for session in sessions {
            self.fence(session.gid, expires, &format!("its address {address}"));
        }
        Ok(())
    }

    /// Above the limit the entries go that end first, `newest` excepted.
    fn forget_addresses(&mut self, newest: &str) {
        while self.blocklist.addresses.len() > self.config.fenced_instances_max.max(1) {
            let others = self.blocklist.addresses.iter().filter(|(address, _)| *address != newest);
            let Some((soonest, _)) = others.min_by_key(|(_, expires)| **expires) else { return };
            let soonest = soonest.clone();
            self.forget_address(&soonest, "at the limit");
        }
    }

    /// Takes an entry away; whether there was one. A session that it fenced stays fenced.
    pub fn unfence_address(&mut self, now: Millis, address: &str) -> (bool, Vec<Effect>) {
        self.begin(now);
        let was_there = self.forget_address(address, "removed");
        self.done(was_there)
    }

    /// Whether an instance of that address is fenced, alone or with everybody at its IP.
    pub fn is_address_fenced(&self, address: &str) -> bool {
        self.blocklist.lists(address)
    }

    /// Fenced addresses, in order, with the end of their entry.
    pub fn fenced_addresses(&self) -> impl Iterator<Item = (&str, Millis)> {
        self.blocklist.addresses.iter().map(|(address, expires)| (address.as_str(), *expires))
    }

    /// Whether there was an entry.
    pub(crate) fn forget_address(&mut self, address: &str, why: &str) -> bool {
        let Some(expires) = self.blocklist.addresses.remove(address) else { return false };
        self.step.agenda.remove(expires, Due::BlocklistAddress { address: address.to_owned() });
        self.step.unsaved.push(records::gone(records::fenced_address_key(address)));
        self.step.tell(Event::new(Kind::BlocklistRemoved, 0).detail(format!("{address} {why}")));
        true
    }
}
