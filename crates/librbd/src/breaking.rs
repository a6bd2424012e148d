//! Breaking the exclusive lock at the OSD: the steps of the protocol's machine, for `lock break` and for the acquire that finds
//! a dead owner.

use errno::Errno;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::ClientId;
use rbd_protocol::break_lock::{BreakRequest, Event, Options, Outcome, Step};
use rbd_protocol::locker::Locker;

use crate::config::Config;
use crate::lock_class;

/// One break, at one image's header.
pub(crate) struct Breaking<'a> {
    io: &'a IoCtx,
    header: &'a str,
    config: &'a Config,
    /// Why the last step failed, in the OSD's words.
    pub(crate) failure: Option<rados::Error>,
}

impl<'a> Breaking<'a> {
    pub(crate) fn new(io: &'a IoCtx, header: &'a str, config: &'a Config) -> Self {
        Self { io, header, config, failure: None }
    }

    /// Breaks the lock of `owner`, who was read before. `forced`: although it is alive.
    pub(crate) async fn run(&mut self, owner: Locker, forced: bool) -> Outcome {
        let options = Options {
            gid: self.io.rados().gid(),
            blocklist_on_break_lock: self.config.rbd_blocklist_on_break_lock,
            forced,
        };
        let mut request = BreakRequest::new(options, owner);
        let mut step = request.start();
        loop {
            let event = match step {
                Step::Finished(outcome) => return outcome,
                step => self.perform(step).await,
            };
            step = request.step(event);
        }
    }

    /// Does one step.
    pub(crate) async fn perform(&mut self, step: Step) -> Event {
        let Self { io, header, config, .. } = *self;
        match step {
            Step::GetWatchers => {
                let watchers = self.ended(io.list_watchers(header).await);
                let client = |watcher: rados::Watcher| ClientId { gid: watcher.gid, handle: watcher.cookie };
                Event::Watchers(watchers.map(|watchers| watchers.into_iter().map(client).collect()))
            }
            Step::GetLocker => Event::Locker(self.ended(lock_class::info(io, header).await)),
            Step::Blocklist { gid, unless_watching } => {
                tracing::info!(header, gid, "fencing the owner of the exclusive lock");
                let expire = config.rbd_blocklist_expire;
                let fenced = if unless_watching {
                    io.blocklist_unless_watching(header, gid, expire).await
                } else {
                    io.rados().blocklist_add(gid, expire).await
                };
                Event::Blocklisted(self.ended(fenced))
            }
            Step::BreakLock { gid, cookie } => {
                let op = lock_class::break_lock(ObjectOp::new(), gid, &cookie);
                let broken = io.operate(header, op).await;
                Event::Broken(self.ended(broken).map(drop))
            }
            // The request asks for nothing more.
            Step::Finished(_) => Event::Broken(Ok(())),
        }
    }

    fn ended<T>(&mut self, result: Result<T, rados::Error>) -> Result<T, Errno> {
        result.map_err(|error| self.failure.insert(error).errno())
    }
}
