use std::convert::Infallible;
use std::future::Future;

use rados::{Watch, WatchEvent};

/// Does `work` while every notify is answered, so that no notifier waits for this watch.
pub(super) async fn answering<T>(watch: &mut Watch, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = ack_all(watch) => match never {},
    }
}

/// A notify is answered by dropping it. Never ends: a lost watch ends the work by its ops.
async fn ack_all(watch: &mut Watch) -> Infallible {
    loop {
        if let WatchEvent::Lost(_) = watch.next().await {
            std::future::pending::<()>().await;
        }
    }
}
