use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proto::osd::v1 as wire;

use crate::{Error, NotifyReply, ObjectOp, Rados, Submitted, Watch};

/// A session's door to one pool.
#[derive(Clone, Debug)]
pub struct IoCtx {
    rados: Rados,
    pool: Arc<str>,
}

/// A registered watch of an object; also one whose client is dead but not yet expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Instance of the watcher.
    pub gid: u64,
    /// Its watch.
    pub cookie: u64,
    /// As Ceph shows it: IP:PORT/NONCE.
    pub address: String,
    /// Name given when it connected.
    pub name: String,
    /// How long it may be silent.
    pub timeout: Duration,
    /// False: its stream is lost and the watch waits for a reconnect or its end.
    pub connected: bool,
    /// Until it expires if nothing more is heard of it.
    pub expires_in: Duration,
}

impl IoCtx {
    pub(crate) fn new(rados: Rados, pool: &str) -> Self {
        Self { rados, pool: pool.into() }
    }

    /// The pool's name.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The session.
    pub fn rados(&self) -> &Rados {
        &self.rados
    }

    /// Sends an op vector at once; ops on one object happen in the order of these calls. Awaiting the result waits for
    /// the answer; dropping it neither cancels nor un-sends the op.
    ///
    /// E2BIG names the limit that a vector exceeds, EAGAIN the one on unanswered ops; neither is sent then. E2BIG and
    /// EBADMSG also end an op whose message, up or down, does not get through: what became of it is not known then.
    pub fn operate(&self, object: &str, op: ObjectOp) -> Submitted {
        self.rados.session().submit(&self.pool, object, op)
    }

    /// Watches an object until the result is dropped, unwatched or lost. `timeout` is how long the watch may be silent;
    /// `None` = the OSD's `osd_client_watch_timeout`. ENOENT if the object does not exist, EMFILE at the OSD's limit.
    pub async fn watch(&self, object: &str, timeout: Option<Duration>) -> Result<Watch, Error> {
        Watch::register(self.rados.clone(), &self.pool, object, timeout).await
    }

    /// How many [`Watch`]es of this session there are on the object, whatever the OSD knows of them at the moment: their cookies change
    /// when a connection breaks, their number does not.
    pub fn own_watches(&self, object: &str) -> usize {
        self.rados.session().watches_of(&self.pool, object)
    }

    /// Sends `payload` to every watch of the object, this client's own included, and gathers the acks for at most
    /// `timeout` (zero = the OSD's default). When the connection is lost meanwhile the notify is sent again, so that
    /// watchers may see it twice. ENOENT if the object does not exist.
    pub async fn notify(
        &self,
        object: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<NotifyReply, Error> {
        let request = wire::NotifyRequest {
            gid: self.rados.gid(),
            pool: self.pool.to_string(),
            object: object.to_owned(),
            payload,
            timeout_ms: millis(timeout),
        };
        let silence_max = self.rados.session().config.silence_max;
        let patience = (!timeout.is_zero()).then(|| timeout + silence_max);
        let attempted = format!("notify on {}/{object}", self.pool);
        let answered = self.rados.calls().call_patiently(&attempted, patience, request).await;
        answered.answer.map(NotifyReply::from)
    }

    /// Every registered watch of the object. ENOENT if it does not exist.
    pub async fn list_watchers(&self, object: &str) -> Result<Vec<Watcher>, Error> {
        let request = wire::ListWatchersRequest { pool: self.pool.to_string(), object: object.to_owned() };
        let attempted = format!("list watchers of {}/{object}", self.pool);
        let reply = self.rados.calls().call(&attempted, request).await?;
        Ok(reply.watchers.into_iter().map(Watcher::from).collect())
    }

    /// Fences an instance as [`Rados::blocklist_add`](crate::Rados::blocklist_add) does, unless it has a watch on this object when
    /// the OSD decides: EBUSY then, and nothing has happened. The object need not exist.
    pub async fn blocklist_unless_watching(
        &self,
        object: &str,
        gid: u64,
        expire: Option<Duration>,
    ) -> Result<(), Error> {
        let watched = wire::WatchedObject { pool: self.pool.to_string(), object: object.to_owned() };
        let request = wire::BlocklistAddRequest {
            gid,
            expire_ms: expire.map_or(0, millis),
            requester_gid: self.rados.gid(),
            unless_watching: Some(watched),
        };
        let attempted = format!("blocklist instance {gid} unless it watches {}/{object}", self.pool);
        self.rados.calls().call(&attempted, request).await.map(drop)
    }

    /// Names of the pool's objects that start with `prefix`, in order. Gathers all pages.
    pub async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let attempted = format!("list objects {}/{prefix}*", self.pool);
        let mut names: Vec<String> = Vec::new();
        loop {
            let request = wire::ListObjectsRequest {
                pool: self.pool.to_string(),
                after: names.last().cloned().unwrap_or_default(),
                prefix: prefix.to_owned(),
                max: 0,
            };
            let page = self.rados.calls().call(&attempted, request).await?;
            let is_last = !page.more || page.names.is_empty();
            names.extend(page.names);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// The pool's next snap id. Sent again under one tid when the connection is lost, so that no id is used up twice.
    pub async fn allocate_snap_id(&self) -> Result<u64, Error> {
        let session = self.rados.session();
        let attempted = format!("allocate a snap id in {}", self.pool);
        let tid = session.begin_call();
        let request =
            wire::AllocateSnapIdRequest { pool: self.pool.to_string(), gid: session.gid, tid: tid.get() };
        Ok(self.rados.calls().call(&attempted, request).await?.snap_id)
    }

    /// Gives a snap id up for good: reads that name it answer ESTALE.
    pub async fn remove_snap_id(&self, id: u64) -> Result<(), Error> {
        let request =
            wire::RemoveSnapIdRequest { pool: self.pool.to_string(), snap_id: id, gid: self.rados.gid() };
        let attempted = format!("remove snap id {id} in {}", self.pool);
        self.rados.calls().call(&attempted, request).await.map(drop)
    }
}

/// Whole milliseconds, rounded up so that no wait becomes shorter than asked.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

impl From<wire::Watcher> for Watcher {
    fn from(watcher: wire::Watcher) -> Self {
        Self {
            gid: watcher.gid,
            cookie: watcher.cookie,
            address: watcher.address,
            name: watcher.name,
            timeout: Duration::from_millis(watcher.timeout_ms),
            connected: watcher.connected,
            expires_in: Duration::from_millis(watcher.expires_in_ms),
        }
    }
}
