use tokio::sync::{Mutex, MutexGuard};

/// Type of an operation: those of one type run one after the other, in the order of their arrival (facts 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flatten,
    Resize,
    SnapCreate,
    SnapRemove,
    Rollback,
}

/// One queue for each type, for local and forwarded operations alike.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    flatten: Mutex<()>,
    /// Rollback resizes too.
    resize: Mutex<()>,
    snap_create: Mutex<()>,
    snap_remove: Mutex<()>,
    /// Operations of different types run together, but what each decides by the state and commits is one step.
    commit: Mutex<()>,
}

impl Queues {
    /// Waits for the turn of one operation; it lasts until the guard is dropped.
    pub(crate) async fn turn(&self, kind: Kind) -> MutexGuard<'_, ()> {
        match kind {
            Kind::Flatten => self.flatten.lock().await,
            Kind::Resize | Kind::Rollback => self.resize.lock().await,
            Kind::SnapCreate => self.snap_create.lock().await,
            Kind::SnapRemove => self.snap_remove.lock().await,
        }
    }

    /// Waits for the turn to decide and commit.
    pub(crate) async fn commit(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().await
    }
}
