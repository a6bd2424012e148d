use tokio::sync::{Mutex, MutexGuard};

/// Type of an operation: those of one type run one after the other, in the order of their arrival (facts 5.5). A rollback
/// also excludes resizes, because it resizes, and the removal of snapshots, because it reads one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flatten,
    Resize,
    SnapCreate,
    SnapRemove,
    Rollback,
}

/// The turn of one operation; it lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _own: MutexGuard<'a, ()>,
    _also: Option<MutexGuard<'a, ()>>,
}

/// One queue for each type, for local and forwarded operations alike.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    flatten: Mutex<()>,
    resize: Mutex<()>,
    snap_create: Mutex<()>,
    snap_remove: Mutex<()>,
    /// Operations of different types run together, but what each decides by the state and commits is one step.
    commit: Mutex<()>,
}

impl Queues {
    /// Waits for the turn of one operation.
    pub(crate) async fn turn(&self, kind: Kind) -> Turn<'_> {
        let (own, also) = match kind {
            Kind::Flatten => (&self.flatten, None),
            Kind::Resize => (&self.resize, None),
            // Nobody else takes two, so the order is free.
            Kind::Rollback => (&self.resize, Some(&self.snap_remove)),
            Kind::SnapCreate => (&self.snap_create, None),
            Kind::SnapRemove => (&self.snap_remove, None),
        };
        let own = own.lock().await;
        let also = match also {
            Some(also) => Some(also.lock().await),
            None => None,
        };
        Turn { _own: own, _also: also }
    }

    /// Waits for the turn to decide and commit.
    pub(crate) async fn commit(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().await
    }
}
