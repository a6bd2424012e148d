//! Where tasks start. A program has one [`Executor`], made in `main` and handed down like the clock; nothing beneath starts a
//! task in another way. So whoever runs the program decides what runs when, and every task has somebody who waits for it:
//! those that belong together, of one session or one open image, are [`Tasks`].

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Runs tasks: tokio's runtime, unless another is given. Cheap to clone; clones are one executor.
#[derive(Clone, Default)]
pub struct Executor(Option<Arc<dyn Execute>>);

/// An executor of somebody's own making, e.g. one that a seed decides for.
pub trait Execute: Send + Sync {
    /// Runs a task to its end, beside its caller. Never waits.
    fn execute(&self, task: BoxFuture<'static, ()>);
}

/// Tasks that belong together, and end together.
#[derive(Clone, Debug)]
pub struct Tasks {
    executor: Executor,
    running: TaskTracker,
}

/// A task whose result is wanted. It goes on when this is dropped. Its panic is that of whoever waits for it.
#[derive(Debug)]
#[must_use = "the task runs in any case, but only this gives its result"]
pub struct Running<T>(oneshot::Receiver<std::thread::Result<T>>);

/// Why there is no result: the executor dropped the task, because the program is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl Executor {
    /// Runs everything on `executor`.
    pub fn new(executor: Arc<dyn Execute>) -> Self {
        Self(Some(executor))
    }

    /// Starts a task that nobody waits for by its handle. Without an executor of its own it needs a tokio runtime around.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(executor) => executor.execute(task.boxed()),
            None => drop(tokio::spawn(task)),
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Executor(own)" } else { "Executor(tokio)" })
    }
}

impl Tasks {
    /// None yet.
    pub fn new(executor: Executor) -> Self {
        Self { executor, running: TaskTracker::new() }
    }

    /// For what is not one of them, like the task that waits for their end.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Starts one.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(self.running.track_future(task));
    }

    /// Starts one whose result is wanted.
    pub fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Running<T> {
        let (result, ended) = oneshot::channel();
        self.spawn(async move {
            // A panic leaves nothing behind that anybody looks at: it goes on in the caller.
            let _gone = result.send(AssertUnwindSafe(task).catch_unwind().await);
        });
        Running(ended)
    }

    /// Waits until all have ended, also those that are started meanwhile.
    pub async fn ended(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

impl<T> Future for Running<T> {
    type Output = Result<T, Dropped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => Err(Dropped),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Keeps tasks until they are run one after the other.
    #[derive(Default)]
    struct Kept(Mutex<Vec<BoxFuture<'static, ()>>>);

    impl Execute for Kept {
        fn execute(&self, task: BoxFuture<'static, ()>) {
            self.0.lock().unwrap().push(task);
        }
    }

    impl Kept {
        fn take(&self) -> Vec<BoxFuture<'static, ()>> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn tasks_run_where_the_executor_says() {
        let kept = Arc::new(Kept::default());
        let tasks = Tasks::new(Executor::new(kept.clone()));
        let has_run = Arc::new(AtomicBool::new(false));
        let running = tasks.run({
            let has_run = has_run.clone();
            async move { has_run.store(true, Ordering::Relaxed) }
        });
        assert!(!has_run.load(Ordering::Relaxed), "nobody has run it yet");
        for task in kept.take() {
            task.await;
        }
        assert_eq!(running.await, Ok(()));
        assert!(has_run.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn the_end_waits_for_a_task_whose_caller_went_away() {
        let tasks = Tasks::new(Executor::default());
        let (end, ended) = oneshot::channel::<()>();
        drop(tasks.run(async move { drop(ended.await) }));
        let mut all_ended = Box::pin(tasks.ended());
        assert!(all_ended.as_mut().now_or_never().is_none());
        end.send(()).unwrap();
        all_ended.await;
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_and_a_dropped_task_has_no_result() {
        let tasks = Tasks::new(Executor::default());
        let running = AssertUnwindSafe(tasks.run(async { std::panic::panic_any(7_u8) })).catch_unwind();
        assert_eq!(running.await.unwrap_err().downcast_ref::<u8>(), Some(&7));

        let kept = Arc::new(Kept::default());
        let tasks = Tasks::new(Executor::new(kept.clone()));
        let running = tasks.run(async {});
        drop(kept.take());
        assert_eq!(running.await, Err(Dropped));
    }
}
