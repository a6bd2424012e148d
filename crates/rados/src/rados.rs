use std::{sync::Arc, time::Duration};

use clock::Clock;
use errno::Errno;
use proto::osd::v1 as wire;
use rpc::{Address, Network};
use tasks::{Executor, Tasks};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Config, Error, IoCtx,
    calls::Calls,
    grpc::Grpc,
    io_ctx::millis,
    op_stream,
    session::Session,
    transport::{self, Failure, Transport},
    watch::{self, Command},
};

/// A session with an OSD: one client instance. Clones share it; dropping the last clone (also those held by an
/// [`IoCtx`] or a [`Watch`](crate::Watch)) stops its tasks without a good-bye, as a crash would.
#[derive(Clone, Debug)]
pub struct Rados {
    handle: Arc<Handle>,
}

/// What all clones share. The tasks hold only the session, so that they cannot keep themselves alive.
#[derive(Debug)]
struct Handle {
    session: Arc<Session>,
    calls: Calls,
    tasks: Tasks,
}

/// A live session of the OSD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its instance.
    pub gid: u64,
    /// Name given when it connected.
    pub name: String,
    /// As Ceph shows it: IP:PORT/NONCE.
    pub address: String,
    /// It has an op or watch stream open.
    pub connected: bool,
}

/// A pool of the OSD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How many objects it holds.
    pub objects: u64,
    /// Bytes of data that its objects refer to.
    pub bytes: u64,
}

/// A fenced instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocklistEntry {
    /// The instance.
    pub gid: u64,
    /// Until the entry ends. The instance's session stays ended.
    pub expires_in: Duration,
}

impl Rados {
    /// Starts a session with the OSD at `address`. Tried once: ENOTCONN when it cannot be reached. Everything after it survives
    /// broken connections.
    pub async fn connect(network: Network, address: Address, config: Config) -> Result<Self, Error> {
        Self::over(Arc::new(Grpc::new(network, address)), config).await
    }

    /// The same with an OSD that is reached in any other way.
    pub async fn over(transport: Arc<dyn Transport>, config: Config) -> Result<Self, Error> {
        let attempted = format!("connect to {}", transport.peer());
        let unreachable = |why: String| Error::new(Errno::ENOTCONN, &attempted, why);
        let request = wire::ConnectRequest { name: config.client_name.clone() };
        let first_contact = Box::pin(async {
            let connection = transport.connect().await.map_err(unreachable)?;
            let reply = transport::call(&*connection, request).await.map_err(|failure| match failure {
                Failure::Answer(error) => error.seen_by(&attempted),
                Failure::ConnectionLost(why) => unreachable(why),
            })?;
            Ok((connection, reply))
        });
        let silence_max = config.silence_max;
        let (connection, reply) =
            config.machine.timeout(silence_max, first_contact).await.unwrap_or_else(|_| {
                let text = format!("no answer within {silence_max:?}");
                Err(Error::new(Errno::ETIMEDOUT, &attempted, text))
            })?;

        let (watch_commands, commands) = mpsc::unbounded_channel();
        let tasks = Tasks::new(config.executor.clone());
        let session = Arc::new(Session::new(reply, config, watch_commands));
        tasks.spawn(op_stream::run(session.clone(), connection.clone()));
        tasks.spawn(watch::run(session.clone(), transport, commands));
        let calls = Calls::new(session.clone(), connection);
        Ok(Self { handle: Arc::new(Handle { session, calls, tasks }) })
    }

    /// The instance's global id: greater than 0 and never used again.
    pub fn gid(&self) -> u64 {
        self.session().gid
    }

    /// The address under which the OSD knows the instance: IP:PORT/NONCE.
    pub fn address(&self) -> &str {
        &self.session().address
    }

    /// What the session goes by, and who uses it.
    pub fn clock(&self) -> &Clock {
        &self.session().config.clock
    }

    /// Where tasks of whoever uses the session run.
    pub fn executor(&self) -> &Executor {
        &self.session().config.executor
    }

    /// Whether the OSD has answered a ping of the watch stream, which renews the watches; it may take for ever. `None` when
    /// there is no watch stream, or it is lost before the answer.
    pub async fn ping_watches(&self) -> Option<()> {
        let (done, answered) = oneshot::channel();
        let _ = self.session().watch_commands.send(Command::Ping { done });
        answered.await.ok()
    }

    /// Why the session has ended for good, once it has: EBLOCKLISTED (fenced), ENOTCONN (the OSD does not know it any
    /// more) or ESHUTDOWN (shut down by this program).
    pub fn ended(&self) -> Option<Error> {
        self.session().ended()
    }

    /// Waits until the session has ended for good and says why.
    pub async fn wait_ended(&self) -> Error {
        self.session().over.cancelled().await;
        self.session().why_over(&format!("session {}", self.gid()))
    }

    /// Counts from 1; each call gives the next number. Never the same twice in a session.
    pub fn next_open_number(&self) -> u64 {
        self.session().next_open()
    }

    /// Opens a pool. ENOENT names a pool that does not exist.
    pub async fn io_ctx(&self, pool: &str) -> Result<IoCtx, Error> {
        if self.pools().await?.iter().any(|known| known.name == pool) {
            return Ok(IoCtx::new(self.clone(), pool));
        }
        Err(Error::new(Errno::ENOENT, format!("open pool '{pool}'"), format!("there is no pool '{pool}'")))
    }

    /// Creates a pool. EEXIST if the name is taken. When the connection was lost meanwhile and the pool is there on the
    /// second try, it counts as created.
    pub async fn create_pool(&self, name: &str) -> Result<(), Error> {
        let request = wire::CreatePoolRequest { name: name.to_owned() };
        let attempted = format!("create pool '{name}'");
        let answered = self.calls().call_patiently(&attempted, None, request).await;
        match answered.answer {
            Err(error) if error.errno() == Errno::EEXIST && answered.was_resent => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// All pools, by id.
    pub async fn pools(&self) -> Result<Vec<PoolInfo>, Error> {
        let reply = self.calls().call("list pools", wire::ListPoolsRequest {}).await?;
        let pool = |pool: wire::Pool| PoolInfo {
            id: pool.id,
            name: pool.name,
            objects: pool.objects,
            bytes: pool.bytes,
        };
        Ok(reply.pools.into_iter().map(pool).collect())
    }

    /// The live sessions of all clients, this one included.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let reply = self.calls().call("list sessions", wire::ListSessionsRequest {}).await?;
        let session = |session: wire::Session| SessionInfo {
            gid: session.gid,
            name: session.name,
            address: session.address,
            connected: session.connected,
        };
        Ok(reply.sessions.into_iter().map(session).collect())
    }

    /// Fences an instance: once this is answered, nothing of it lands any more. `None` = the OSD's
    /// `mon_osd_blocklist_default_expire`. EINVAL for this session's own gid.
    pub async fn blocklist_add(&self, gid: u64, expire: Option<Duration>) -> Result<(), Error> {
        let expire_ms = expire.map_or(0, millis);
        let request =
            wire::BlocklistAddRequest { gid, expire_ms, requester_gid: self.gid(), ..<_>::default() };
        self.calls().call(&format!("blocklist instance {gid}"), request).await.map(drop)
    }

    /// Removes an entry. The instance's session stays ended.
    pub async fn blocklist_remove(&self, gid: u64) -> Result<(), Error> {
        let request = wire::BlocklistRemoveRequest { gid };
        self.calls().call(&format!("remove instance {gid} from the blocklist"), request).await.map(drop)
    }

    /// The entries that have not expired.
    pub async fn blocklist(&self) -> Result<Vec<BlocklistEntry>, Error> {
        let reply = self.calls().call("list the blocklist", wire::BlocklistListRequest {}).await?;
        let entry = |entry: wire::BlocklistEntry| BlocklistEntry {
            gid: entry.gid,
            expires_in: Duration::from_millis(entry.expires_in_ms),
        };
        Ok(reply.entries.into_iter().map(entry).collect())
    }

    /// Ends the session in an orderly way: takes no more ops, waits for those on their way, unwatches everything, says
    /// good-bye, and stops the session's tasks. Each of the three conversations may take `Config::silence_max`; an OSD
    /// that cannot be reached therefore delays the end by no more than three times that.
    pub async fn shutdown(&self) {
        let session = self.session();
        if session.ended().is_some() {
            return;
        }
        let silence_max = session.config.silence_max;
        session.close(&self.is_shut_down());
        let machine = &session.config.machine;
        let drained = machine.timeout(silence_max, session.drain()).await;
        let unwatched = machine.timeout(silence_max, watch::close_all(session)).await;
        if drained.is_err() || unwatched.is_err() {
            tracing::warn!(gid = session.gid, "session shut down with ops or watches left");
        }
        self.disconnect().await;
    }

    /// Ends the session without waiting for anything on its way: what the OSD has not applied by then it never applies. An OSD
    /// that cannot be reached delays the end by `Config::silence_max`; the session expires there.
    pub async fn disconnect(&self) {
        let session = self.session();
        let cause = self.is_shut_down();
        session.close(&cause);
        let request = wire::DisconnectRequest { gid: session.gid };
        let telling = self.calls().call("disconnect", request);
        if session.config.machine.timeout(session.config.silence_max, telling).await.is_err() {
            tracing::warn!(gid = session.gid, "session shut down without the OSD's knowledge");
        }
        session.end(&cause);
        self.handle.tasks.ended().await;
    }

    fn is_shut_down(&self) -> Error {
        let gid = self.session().gid;
        Error::new(Errno::ESHUTDOWN, format!("session {gid}"), "the session is shut down")
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.handle.session
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.handle.calls
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let attempted = format!("session {}", self.session.gid);
        self.session.end(&Error::new(Errno::ESHUTDOWN, attempted, "its last handle was dropped"));
    }
}
