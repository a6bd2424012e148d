//! Sessions of Ceph's own clients: an instance says itself which one it is, by its gid and its entity address, and connects
//! anew as often as it likes.

use errno::Errno;
use marks::Mark;
use store::Store;

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::op::Door;
use crate::osd::{Osd, error};
use crate::records::{self, Instance};
use crate::session::Session;
use crate::watch::StreamId;
use crate::{Millis, OpError};

/// Who a client of Ceph's is.
#[derive(Clone, Copy, Debug)]
pub struct Entity<'a> {
    /// Its global id, which the monitor gave it.
    pub gid: u64,
    /// The name after `--id`, for people.
    pub name: &'a str,
    /// As Ceph shows it: IP:PORT/NONCE.
    pub address: &'a str,
}

impl<S: Store> Osd<S> {
    /// A client has a connection to the OSD: its session begins, or goes on. The connection is its only one, as its watch
    /// stream: a former one is cut, and its watches wait for the client to come back to them.
    ///
    /// EBLOCKLISTED for a fenced instance; EINVAL for gid 0, a gid of a client of the other door, a name or an address above 256
    /// bytes; EAGAIN at the limit of sessions; EIO, ENOSPC of the store.
    pub fn entity_connected(
        &mut self,
        now: Millis,
        entity: Entity<'_>,
    ) -> (Result<StreamId, OpError>, Vec<Effect>) {
        self.begin(now);
        let opened = self.admit_entity(entity).map(|()| self.replace_stream(entity.gid));
        if let Err(refusal) = &opened {
            self.refuse_call(Event::new(Kind::Refused, entity.gid), "connect", refusal);
        }
        self.done(opened)
    }

    /// Whether a session of the entity may begin or go on; then it is there.
    fn admit_entity(&mut self, Entity { gid, name, address }: Entity<'_>) -> Result<(), OpError> {
        if self.blocklist.is_fenced(gid) {
            return Err(self.fenced(gid));
        }
        if gid == 0 {
            return Err(error(Errno::EINVAL, "gid 0 is no client instance".to_owned()));
        }
        check_name("a client's name", name, NAME_BYTES_MAX)?;
        check_name("a client's address", address, NAME_BYTES_MAX)?;
        if let Some(session) = self.sessions.get(&gid) {
            if session.door != Door::Ceph {
                let text = format!("client {gid} is another one, at the other door");
                return Err(error(Errno::EINVAL, text));
            }
            return self.renew_entity(gid, address);
        }
        self.check_room_for_session()?;
        marks::hit(Mark::SessionOfCeph);
        // Of an earlier session, which has ended.
        while !self.erase_records(&records::replies_prefix(gid), None)? {}
        let session = Session::new(self.step.now, Door::Ceph, name.to_owned(), address.to_owned());
        self.submit(vec![records::kept(&session.record(gid))])?;
        self.sessions.insert(gid, session);
        self.plan_end(gid);
        self.step.tell(Event::new(Kind::SessionStarted, gid).detail(name));
        Ok(())
    }

    /// The client is heard of again, from that address.
    fn renew_entity(&mut self, gid: u64, address: &str) -> Result<(), OpError> {
        let session = &self.sessions[&gid];
        if session.address != address {
            let record = Instance { address: address.to_owned(), ..session.record(gid) };
            self.submit(vec![records::kept(&record)])?;
        }
        let session = self.sessions.get_mut(&gid).expect("it is there");
        address.clone_into(&mut session.address);
        session.last_heard = self.step.now;
        Ok(())
    }

    /// The name of the pool with that number.
    pub fn pool_name(&self, id: u64) -> Option<&str> {
        self.pools.values().find(|pool| pool.id.0 == id).map(|pool| pool.name.as_str())
    }
}
