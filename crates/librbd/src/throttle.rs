//! Runs one step for each of many objects, a bounded number at a time.

use std::future::Future;
use std::ops::Range;

use errno::Errno;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Runs `object` for every number in `objects`, at most `width` at once, as a sliding window.
///
/// Follows librbd's AsyncObjectThrottle: the first error is kept, what is in flight then drains and nothing else starts;
/// `cancelled` is read between objects and gives ERESTART, unless an error came first. Unlike it, ENOENT is an error like
/// any other: it also says that a snapshot or a parent has gone, so only a step can know that its object may be missing.
/// `progress` gets the number of objects that have finished, which only grows.
pub(crate) async fn for_each_object<F, Fut, P>(
    objects: Range<u64>,
    width: usize,
    cancelled: &CancellationToken,
    mut progress: P,
    object: F,
) -> Result<(), Error>
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
    P: FnMut(u64),
{
    let mut waiting = objects;
    let mut in_flight = FuturesUnordered::new();
    let mut finished = 0;
    let mut result = Ok(());
    loop {
        while result.is_ok() && in_flight.len() < width.max(1) && !waiting.is_empty() {
            if cancelled.is_cancelled() {
                result = Err(interrupted());
            } else if let Some(number) = waiting.next() {
                in_flight.push(object(number));
            }
        }
        let Some(ended) = in_flight.next().await else { return result };
        match ended {
            Err(error) => result = result.and(Err(error)),
            Ok(()) => {
                finished += 1;
                progress(finished);
            }
        }
    }
}

/// What an operation ends with when it was stopped at a safe point.
pub(crate) fn interrupted() -> Error {
    Error::refused(
        Errno::ERESTART,
        "the operation was stopped at a safe point, because the lock is being released",
    )
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    /// Objects that end when the test says so.
    #[derive(Default)]
    struct Objects {
        started: RefCell<BTreeMap<u64, oneshot::Sender<Result<(), Error>>>>,
        most_at_once: Cell<usize>,
    }

    impl Objects {
        async fn run(&self, number: u64) -> Result<(), Error> {
            let (end, ended) = oneshot::channel();
            self.started.borrow_mut().insert(number, end);
            self.most_at_once.set(self.most_at_once.get().max(self.started.borrow().len()));
            ended.await.expect("the test ends every object")
        }

        fn end(&self, number: u64, result: Result<(), Error>) {
            let end = self.started.borrow_mut().remove(&number).expect("started");
            end.send(result).expect("somebody waits");
        }

        fn running(&self) -> Vec<u64> {
            self.started.borrow().keys().copied().collect()
        }
    }

    fn failed(errno: Errno) -> Result<(), Error> {
        Err(Error::refused(errno, "test"))
    }

    #[tokio::test]
    async fn the_window_slides_and_never_exceeds_its_width() {
        let objects = Objects::default();
        let cancelled = CancellationToken::new();
        let mut run = Box::pin(for_each_object(0..5, 2, &cancelled, |_| {}, |number| objects.run(number)));
        assert!(run.as_mut().now_or_never().is_none());
        assert_eq!(objects.running(), [0, 1]);
        objects.end(1, Ok(()));
        assert!(run.as_mut().now_or_never().is_none());
        assert_eq!(objects.running(), [0, 2], "the next object starts as soon as any one ends");
        for number in [0, 2, 3, 4] {
            objects.end(number, Ok(()));
            let _pending = run.as_mut().now_or_never();
        }
        assert_eq!(objects.most_at_once.get(), 2);
    }

    #[tokio::test]
    async fn the_first_error_is_kept_and_the_rest_drains() {
        let objects = Objects::default();
        let cancelled = CancellationToken::new();
        let mut run = Box::pin(for_each_object(0..9, 3, &cancelled, |_| {}, |number| objects.run(number)));
        assert!(run.as_mut().now_or_never().is_none());
        objects.end(2, failed(Errno::EIO));
        assert!(run.as_mut().now_or_never().is_none(), "objects 0 and 1 are in flight");
        assert_eq!(objects.running(), [0, 1], "nothing starts after an error");
        objects.end(0, failed(Errno::EROFS));
        cancelled.cancel();
        objects.end(1, Ok(()));
        assert_eq!(run.await.expect_err("failed").errno(), Errno::EIO);
    }

    #[tokio::test]
    async fn cancelling_lets_what_is_in_flight_end_and_gives_erestart() {
        let objects = Objects::default();
        let cancelled = CancellationToken::new();
        let mut run = Box::pin(for_each_object(0..9, 2, &cancelled, |_| {}, |number| objects.run(number)));
        assert!(run.as_mut().now_or_never().is_none());
        cancelled.cancel();
        objects.end(0, Ok(()));
        assert!(run.as_mut().now_or_never().is_none(), "object 1 is in flight");
        objects.end(1, Ok(()));
        assert_eq!(run.await.expect_err("cancelled").errno(), Errno::ERESTART);
    }

    #[tokio::test]
    async fn a_cancel_after_the_last_object_started_changes_nothing() {
        let objects = Objects::default();
        let cancelled = CancellationToken::new();
        let mut run = Box::pin(for_each_object(0..1, 2, &cancelled, |_| {}, |number| objects.run(number)));
        assert!(run.as_mut().now_or_never().is_none());
        cancelled.cancel();
        objects.end(0, Ok(()));
        run.await.expect("all objects are done");
    }

    #[tokio::test]
    async fn enoent_is_an_error_like_any_other() {
        let cancelled = CancellationToken::new();
        let run = for_each_object(0..3, 2, &cancelled, |_| {}, |_| async { failed(Errno::ENOENT) });
        assert_eq!(run.await.expect_err("failed").errno(), Errno::ENOENT);
    }

    #[tokio::test]
    async fn progress_counts_up_to_the_total() {
        let cancelled = CancellationToken::new();
        let mut seen = Vec::new();
        for_each_object(0..4, 3, &cancelled, |done| seen.push(done), |_| async { Ok(()) })
            .await
            .expect("no error");
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn no_objects_end_at_once() {
        let cancelled = CancellationToken::new();
        for_each_object(3..3, 2, &cancelled, |_| {}, |_| async { failed(Errno::EIO) })
            .await
            .expect("nothing ran");
    }
}
