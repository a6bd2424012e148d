//! Tasks, polled one at a time by whoever decides what runs next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use futures_util::future::BoxFuture;
use tasks::{Execute, Executor};

/// One life of a client, from its start to its end or its crash. Counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life(pub(crate) u64);

/// All tasks of all clients.
#[derive(Clone, Default)]
pub(crate) struct TaskPool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    by_number: BTreeMap<u64, Task>,
    /// Who was woken and not polled since; all of them are there.
    ready: BTreeSet<u64>,
    newest: u64,
    /// Lives that are over: what they start never runs.
    over: BTreeSet<Life>,
}

struct Task {
    life: Life,
    /// Absent while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
}

/// Where one life starts its tasks.
struct Home {
    pool: TaskPool,
    life: Life,
}

struct Alarm {
    pool: Arc<Shared>,
    task: u64,
}

impl TaskPool {
    /// What a life starts its tasks with.
    pub(crate) fn executor(&self, life: Life) -> Executor {
        Executor::new(Arc::new(Home { pool: self.clone(), life }))
    }

    /// Starts a task.
    pub(crate) fn start(&self, life: Life, task: BoxFuture<'static, ()>) {
        let mut tasks = self.tasks();
        if tasks.over.contains(&life) {
            drop(tasks);
            return drop(task);
        }
        tasks.newest += 1;
        let number = tasks.newest;
        let waker = Waker::from(Arc::new(Alarm { pool: self.0.clone(), task: number }));
        tasks.by_number.insert(number, Task { life, future: Some(task), waker });
        tasks.ready.insert(number);
    }

    /// Adds to `found` the tasks that have something to do, of lives that may run.
    pub(crate) fn ready(&self, may_run: impl Fn(Life) -> bool, found: &mut Vec<u64>) {
        let tasks = self.tasks();
        let may = |number: &&u64| tasks.by_number.get(number).is_some_and(|task| may_run(task.life));
        found.extend(tasks.ready.iter().filter(may));
    }

    /// Polls a task once; whose it is.
    pub(crate) fn poll(&self, number: u64) -> Option<Life> {
        let (life, mut future, waker) = {
            let mut tasks = self.tasks();
            tasks.ready.remove(&number);
            let task = tasks.by_number.get_mut(&number)?;
            (task.life, task.future.take()?, task.waker.clone())
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.tasks();
        let is_over = tasks.over.contains(&life);
        if polled.is_ready() || is_over {
            tasks.remove(number);
        } else if let Some(task) = tasks.by_number.get_mut(&number) {
            task.future = Some(future);
            return Some(life);
        }
        // What a future does when it goes may start others.
        drop(tasks);
        drop(future);
        Some(life)
    }

    /// Ends a life: its tasks are dropped where they are, and it starts no others.
    pub(crate) fn end(&self, life: Life) {
        let ended: Vec<_> = {
            let mut tasks = self.tasks();
            tasks.over.insert(life);
            let of_life: Vec<u64> = tasks
                .by_number
                .iter()
                .filter(|(_, task)| task.life == life)
                .map(|(&number, _)| number)
                .collect();
            of_life.into_iter().filter_map(|number| tasks.remove(number)).collect()
        };
        drop(ended);
    }

    /// Ends everything.
    pub(crate) fn end_all(&self) {
        let lives: BTreeSet<Life> = self.tasks().by_number.values().map(|task| task.life).collect();
        lives.into_iter().for_each(|life| self.end(life));
    }

    /// Whether a life has tasks.
    pub(crate) fn is_alive(&self, life: Life) -> bool {
        self.tasks().by_number.values().any(|task| task.life == life)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.0.tasks)
    }
}

impl Tasks {
    fn remove(&mut self, number: u64) -> Option<Task> {
        self.ready.remove(&number);
        self.by_number.remove(&number)
    }
}

impl Execute for Home {
    fn execute(&self, task: BoxFuture<'static, ()>) {
        self.pool.start(self.life, task);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut tasks = lock(&self.pool.tasks);
        if tasks.by_number.contains_key(&self.task) {
            tasks.ready.insert(self.task);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(pool: &TaskPool, may_run: impl Fn(Life) -> bool) -> Vec<u64> {
        let mut found = Vec::new();
        pool.ready(may_run, &mut found);
        found
    }

    #[test]
    fn a_task_is_ready_when_it_was_woken_and_not_before() {
        let pool = TaskPool::default();
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        pool.executor(Life(1)).spawn(async { drop(receive.await) });
        let all = |_: Life| true;
        assert_eq!(ready(&pool, all), [1]);
        assert!(ready(&pool, |life| life != Life(1)).is_empty());
        pool.poll(1);
        assert!(ready(&pool, all).is_empty());
        drop(send);
        assert_eq!(ready(&pool, all), [1]);
        pool.poll(1);
        assert!(!pool.is_alive(Life(1)));
    }

    #[test]
    fn a_life_that_is_over_runs_nothing_more() {
        let pool = TaskPool::default();
        let executor = pool.executor(Life(1));
        let again = executor.clone();
        struct StartsAtItsEnd(Executor);
        impl Drop for StartsAtItsEnd {
            fn drop(&mut self) {
                self.0.spawn(async { unreachable!("its life is over") });
            }
        }
        let ending = StartsAtItsEnd(again);
        executor.spawn(async move {
            let _ending = ending;
            std::future::pending::<()>().await;
        });
        pool.poll(1);
        pool.end(Life(1));
        assert!(!pool.is_alive(Life(1)));
        assert!(ready(&pool, |_| true).is_empty());
    }
}
