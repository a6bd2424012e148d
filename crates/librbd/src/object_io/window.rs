use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rados::{IoCtx, ObjectOp, Reply};
use tokio::sync::Semaphore;

use crate::config::Config;

/// How much an image asks of its OSD at once: bounds the ops in flight over all of its I/O and its parents'. What its parents' I/O goes by
/// besides is here, too.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    ops: Arc<Semaphore>,
    width: usize,
    rbd_atime_update_interval: Duration,
}

impl Window {
    /// `rbd_concurrent_object_ops` at once, at least 1.
    pub(crate) fn new(config: &Config) -> Self {
        let width = config.rbd_concurrent_object_ops.max(1);
        let rbd_atime_update_interval = config.rbd_atime_update_interval;
        Self { ops: Arc::new(Semaphore::new(width)), width, rbd_atime_update_interval }
    }

    pub(crate) fn rbd_atime_update_interval(&self) -> Duration {
        self.rbd_atime_update_interval
    }

    /// One op vector, sent when there is room.
    pub(crate) async fn operate(
        &self,
        io: &IoCtx,
        object: &str,
        op: ObjectOp,
    ) -> Result<Reply, rados::Error> {
        let _permit = self.ops.acquire().await.expect("the semaphore is never closed");
        io.operate(object, op).await
    }

    /// Runs all parts, a bounded number at once, and waits for every one: when it returns nothing is in flight. The first
    /// error in the order of the parts wins.
    pub(crate) async fn run_all<F, T, E>(&self, parts: Vec<F>) -> Result<Vec<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let results: Vec<_> = stream::iter(parts).buffered(self.width).collect().await;
        results.into_iter().collect()
    }
}
