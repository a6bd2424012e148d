use tokio::sync::{Mutex, MutexGuard};

/// Type of an operation: those of one type run one after the other, in the order of their arrival (facts 5.5). Two exclude
/// other types too, so that no snapshot is taken of an image that they have changed in part: a resize, which cuts objects before
/// the header says so, excludes the creation of snapshots; a rollback does too, and resizes, because it resizes, and the removal
/// of snapshots, because it reads one.
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
    _queues: Vec<MutexGuard<'a, ()>>,
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
        // Whoever takes several takes them in one order.
        let queues: &[&Mutex<()>] = match kind {
            Kind::Flatten => &[&self.flatten],
            Kind::Resize => &[&self.resize, &self.snap_create],
            Kind::Rollback => &[&self.resize, &self.snap_remove, &self.snap_create],
            Kind::SnapCreate => &[&self.snap_create],
            Kind::SnapRemove => &[&self.snap_remove],
        };
        let mut turns = Vec::with_capacity(queues.len());
        for queue in queues {
            turns.push(queue.lock().await);
        }
        Turn { _queues: turns }
    }

    /// Waits for the turn to decide and commit.
    pub(crate) async fn commit(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().await
    }
}
