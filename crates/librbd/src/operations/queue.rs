use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

/// The turn of one operation; it lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _queues: Vec<OwnedMutexGuard<()>>,
}

/// One queue for each type of operation, for local and forwarded ones alike: those of one type run one after the other, in the
/// order of their arrival (facts 5.5).
#[derive(Debug, Default)]
pub(crate) struct Queues {
    by_name: std::sync::Mutex<BTreeMap<&'static str, Arc<Mutex<()>>>>,
    /// Operations of different types run together, but what each decides by the state and commits is one step.
    commit: Mutex<()>,
}

impl Queues {
    /// Waits for the turn of an operation that does not run beside those with these names.
    pub(crate) async fn turn(&self, apart_from: &[&'static str]) -> Turn {
        // Whoever takes several takes them in one order.
        let mut names = apart_from.to_vec();
        names.sort_unstable();
        let mut turns = Vec::with_capacity(names.len());
        for name in names {
            turns.push(self.queue(name).lock_owned().await);
        }
        Turn { _queues: turns }
    }

    fn queue(&self, name: &'static str) -> Arc<Mutex<()>> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(name).or_default().clone()
    }

    /// Waits for the turn to decide and commit.
    pub(crate) async fn commit(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().await
    }
}
