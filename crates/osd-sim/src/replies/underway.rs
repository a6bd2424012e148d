//! The replies of the whole OSD that are on their way, and whose connection has to end for the others to get on.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes of a reply that waits for nobody: writes, locks and watches go on beside readers that are slow.
const SMALL_BYTES: usize = 4 << 10;

/// How often it is looked, within the time that a reply may stand, whether it still does.
const LOOKS: u32 = 4;

/// Room for the replies of all clients of both doors that are encoded and not yet given to the transport. One that is larger than what is
/// left waits, in the order in which they came, and is encoded when it has room.
///
/// Nobody waits for ever: while somebody waits, a reply that does not move within the time for that ends its connection.
/// Only looks count, a waiter's at each quarter of that time: a process that stood still has not looked.
#[derive(Debug)]
pub(crate) struct AllReplies {
    room: Arc<Semaphore>,
    bytes_max: usize,
    stall_time_max: Duration,
    moving: Mutex<Moving>,
}

#[derive(Debug, Default)]
struct Moving {
    /// Replies that are not small.
    replies: BTreeMap<u64, Arc<Movement>>,
    newest: u64,
    /// When it was looked.
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Movement {
    /// Looks since it has moved.
    looks: AtomicU32,
    /// Ends its connection.
    cut: CancellationToken,
}

/// One reply that is on its way until this is dropped.
#[derive(Debug)]
pub(crate) struct Underway {
    all: Arc<AllReplies>,
    movement: Option<(u64, Arc<Movement>)>,
    /// Its room.
    bytes: Option<OwnedSemaphorePermit>,
}

impl AllReplies {
    pub(crate) fn new(bytes_max: usize, stall_time_max: Duration) -> Arc<Self> {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(bytes_max));
        Arc::new(Self { room, bytes_max, stall_time_max, moving: Mutex::default() })
    }

    /// Room for a reply of so many bytes; one that is larger than all the room has it alone. `cut` ends the connection that it
    /// goes to.
    pub(crate) async fn fill(self: &Arc<Self>, bytes: usize, cut: &CancellationToken) -> Underway {
        if let Some(underway) = self.try_fill(bytes, cut) {
            return underway;
        }
        let mut underway = self.enter(cut, None);
        let mut room = pin!(self.room.clone().acquire_many_owned(self.permits(bytes)));
        loop {
            if let Ok(room) = timeout(self.stall_time_max / LOOKS, room.as_mut()).await {
                underway.bytes = Some(room.expect("nobody closes it"));
                underway.moved();
                return underway;
            }
            underway.moved();
            self.look();
        }
    }

    /// The same if it need not wait.
    pub(crate) fn try_fill(self: &Arc<Self>, bytes: usize, cut: &CancellationToken) -> Option<Underway> {
        if bytes <= SMALL_BYTES {
            let bytes = self.permits(bytes.min(self.room.available_permits()));
            let bytes = self.room.clone().try_acquire_many_owned(bytes).ok();
            return Some(Underway { all: self.clone(), movement: None, bytes });
        }
        let room = self.room.clone().try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(self.enter(cut, Some(room)))
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX)
    }

    fn enter(self: &Arc<Self>, cut: &CancellationToken, bytes: Option<OwnedSemaphorePermit>) -> Underway {
        let movement = Arc::new(Movement { looks: AtomicU32::new(0), cut: cut.clone() });
        let mut moving = self.moving();
        moving.newest += 1;
        let number = moving.newest;
        moving.replies.insert(number, movement.clone());
        drop(moving);
        Underway { all: self.clone(), movement: Some((number, movement)), bytes }
    }

    /// Somebody has waited for a while.
    fn look(&self) {
        let mut moving = self.moving();
        let now = Instant::now();
        let interval = self.stall_time_max / LOOKS;
        if moving.looked.is_some_and(|looked| now.duration_since(looked) < interval) {
            return;
        }
        moving.looked = Some(now);
        for movement in moving.replies.values() {
            if movement.looks.fetch_add(1, Ordering::Relaxed) >= LOOKS {
                movement.cut.cancel();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    fn moving(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Underway {
    /// Its client has taken some of it, or it could not be there yet.
    pub(crate) fn moved(&self) {
        if let Some((_, movement)) = &self.movement {
            movement.looks.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some((number, _)) = &self.movement {
            self.all.moving().replies.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const STALL_TIME_MAX: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn replies_of_all_connections_have_the_room_one_after_the_other() {
        let all = AllReplies::new(10_000, STALL_TIME_MAX);
        let (one, other) = (CancellationToken::new(), CancellationToken::new());
        let first = all.fill(6000, &one).await;
        assert!(all.fill(6000, &other).now_or_never().is_none());
        drop(first);
        let large = all.fill(40_000, &one).await;
        assert!(all.fill(6000, &other).now_or_never().is_none(), "a larger one has it alone");
        drop(large);
        assert!(all.fill(6000, &other).now_or_never().is_some());
        assert!(all.moving().replies.is_empty());
        assert_eq!(all.room.available_permits(), 10_000);
    }

    #[tokio::test]
    async fn a_small_reply_waits_for_nobody() {
        let all = AllReplies::new(10_000, STALL_TIME_MAX);
        let _unread = all.fill(10_000, &CancellationToken::new()).await;
        assert!(all.fill(SMALL_BYTES, &CancellationToken::new()).now_or_never().is_some());
        assert!(all.fill(SMALL_BYTES + 1, &CancellationToken::new()).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_whose_reply_does_not_move_ends_and_only_while_others_wait() {
        let all = AllReplies::new(10_000, STALL_TIME_MAX);
        let [slow, moving, waiting] = [(); 3].map(|()| CancellationToken::new());
        let (unread, read) = (all.fill(5000, &slow).await, all.fill(5000, &moving).await);
        tokio::time::sleep(100 * STALL_TIME_MAX).await;
        assert!(!slow.is_cancelled(), "nobody waits");
        // What ends with its connection.
        let ending = async {
            slow.cancelled().await;
            drop(unread);
        };
        let reading = async {
            while !moving.is_cancelled() {
                tokio::time::sleep(STALL_TIME_MAX / 3).await;
                read.moved();
            }
        };
        let began = Instant::now();
        tokio::select! {
            _room = all.fill(5000, &waiting) => {}
            ((), ()) = futures_util::future::join(ending, reading) => {}
        }
        assert!((STALL_TIME_MAX..2 * STALL_TIME_MAX).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(!moving.is_cancelled(), "it takes what it is sent");
        assert!(!waiting.is_cancelled(), "it has nothing to take");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_could_look_does_not_count() {
        let all = AllReplies::new(10_000, STALL_TIME_MAX);
        let [slow, waiting] = [(); 2].map(|()| CancellationToken::new());
        let _unread = all.fill(10_000, &slow).await;
        let mut waits = pin!(all.fill(5000, &waiting));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        tokio::time::advance(100 * STALL_TIME_MAX).await;
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        assert!(!slow.is_cancelled(), "it was looked once");
    }
}
