//! What is broken at the moment, what was, and which calls are overdue.

use std::time::Duration;

use check::Disturbance;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Takes down when something was broken and when it was mended.
#[derive(Debug)]
pub struct Troubles {
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    /// When something was broken or mended last.
    changed: Instant,
    /// They end later than they say.
    open: Vec<Disturbance>,
    past: Vec<Disturbance>,
}

impl Default for Troubles {
    fn default() -> Self {
        let state = State { changed: Instant::now(), open: Vec::new(), past: Vec::new() };
        Self { state: watch::Sender::new(state) }
    }
}

impl Troubles {
    /// `client` is broken, perhaps killed; empty: something else is. Calls may take so much longer for it.
    pub fn begin(&self, client: &str, kills: bool, costs: Duration, now_ms: u64) {
        let costs_ms = u64::try_from(costs.as_millis()).unwrap_or(u64::MAX);
        let begun =
            Disturbance { client: client.to_owned(), from_ms: now_ms, until_ms: now_ms, kills, costs_ms };
        self.state.send_modify(|state| {
            state.changed = Instant::now();
            state.open.push(begun);
        });
    }

    /// It is whole again.
    pub fn end(&self, client: &str, now_ms: u64) {
        self.state.send_modify(|state| {
            state.changed = Instant::now();
            if let Some(index) = state.open.iter().position(|open| open.client == client) {
                let ended = state.open.remove(index);
                state.past.push(Disturbance { until_ms: now_ms, ..ended });
            }
        });
    }

    /// Everything that is over.
    pub fn past(&self) -> Vec<Disturbance> {
        self.state.borrow().past.clone()
    }

    /// Waits until a call that `client` begins now is overdue (I5): [`check::calls_ended_in_time`] has the rule.
    pub async fn overdue(&self, client: &str, call_max: Duration) {
        let began = Instant::now();
        // Its sender is `self`.
        let mut state = self.state.subscribe();
        loop {
            let (changed, is_broken) = {
                let state = state.borrow_and_update();
                (state.changed, state.open.iter().any(|open| open.client == client))
            };
            tokio::select! {
                biased;
                _ = state.changed() => {}
                () = sleep_until(began.max(changed) + call_max), if !is_broken => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    /// How long a call of client 1 may take when `story` happens meanwhile.
    async fn until_overdue(story: impl AsyncFnOnce(&Troubles)) -> u64 {
        let troubles = Troubles::default();
        let began = Instant::now();
        let (took, ()) = tokio::join!(
            async {
                troubles.overdue("client 1", MAX).await;
                began.elapsed()
            },
            story(&troubles)
        );
        took.as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_overdue_when_nothing_was_broken_for_its_bound() {
        assert_eq!(until_overdue(async |_| ()).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_of_a_broken_client_is_not_overdue_before_it_is_mended() {
        let took = until_overdue(async |troubles| {
            troubles.begin("client 1", false, MAX, 0);
            tokio::time::sleep(Duration::from_secs(100)).await;
            troubles.end("client 1", 100_000);
        })
        .await;
        assert_eq!(took, 110);
    }

    #[tokio::test(start_paused = true)]
    async fn the_trouble_of_another_gives_a_call_its_bound_once_more() {
        let took = until_overdue(async |troubles| {
            tokio::time::sleep(Duration::from_secs(4)).await;
            troubles.begin("client 2", true, MAX, 4_000);
        })
        .await;
        assert_eq!(took, 14);
    }

    #[test]
    fn what_is_over_is_kept() {
        let troubles = Troubles::default();
        troubles.begin("client 1", true, MAX, 3);
        troubles.begin("", false, MAX, 4);
        troubles.end("client 1", 9);
        let past = Disturbance {
            client: "client 1".to_owned(),
            from_ms: 3,
            until_ms: 9,
            kills: true,
            costs_ms: 10_000,
        };
        assert_eq!(troubles.past(), [past]);
    }
}
