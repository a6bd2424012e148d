//! One maintenance call to a serving client: its events as they come, and its end.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use errno::Errno;
use proto::rbd::v1::{OperationEvent, operation_event::Event};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tonic::{Response, Status, Streaming};

/// An error as a serving client reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The errno's name, from `ErrorInfo.reason`; empty when the error came from the transport.
    pub name: String,
    /// Its number, 0 when there is none.
    pub errno: i32,
    /// The message.
    pub text: String,
}

impl Failure {
    /// Whether it is this errno, by name: EBLOCKLISTED is not ESHUTDOWN.
    pub fn is(&self, errno: Errno) -> bool {
        self.name == errno.name()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match rpc::status::to_error(&status) {
            Some(error) => Self { name: error.name, errno: error.number, text: error.text },
            None => Self { name: String::new(), errno: 0, text: status.to_string() },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A serving client's text begins with the name already, an OSD's does not.
        if self.text.starts_with(&self.name) {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.name, self.text)
        }
    }
}

impl std::error::Error for Failure {}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    end: Option<Result<u32, Failure>>,
}

/// A maintenance call under way.
pub struct Call {
    state: Arc<Mutex<State>>,
    changed: watch::Receiver<()>,
    reader: JoinHandle<()>,
}

impl Call {
    /// Follows the stream that `start` opens.
    pub fn follow<F>(start: F) -> Self
    where
        F: Future<Output = Result<Response<Streaming<OperationEvent>>, Status>> + Send + 'static,
    {
        let state = Arc::new(Mutex::new(State::default()));
        let (announce, changed) = watch::channel(());
        let shared = state.clone();
        let reader = tokio::spawn(async move {
            let end = read(start, &shared, &announce).await;
            lock(&shared).end = Some(end);
            announce.send_replace(());
        });
        Self { state, changed, reader }
    }

    /// A call that tells nothing but its end, after one attempt.
    pub fn of(ended: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (announce, changed) = watch::channel(());
        let shared = state.clone();
        let reader = tokio::spawn(async move {
            lock(&shared).end = Some(ended.await.map(|()| 1));
            announce.send_replace(());
        });
        Self { state, changed, reader }
    }

    /// The events until now.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.state).events.clone()
    }

    /// How it ended: the number of attempts, or the error.
    pub fn end(&self) -> Option<Result<u32, Failure>> {
        lock(&self.state).end.clone()
    }

    /// Waits for an event; an error when the call ends first or `bound` passes.
    pub async fn wait_for(
        &self,
        what: &str,
        bound: Duration,
        test: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                {
                    let state = lock(&self.state);
                    if let Some(event) = state.events.iter().find(|event| test(event)) {
                        return Ok(event.clone());
                    }
                    if let Some(end) = &state.end {
                        bail!("the call ended before {what}: {end:?}");
                    }
                }
                changed.changed().await.context("the call's reader is gone")?;
            }
        };
        timeout(bound, waiting).await.with_context(|| format!("{what}: not within {bound:?}"))?
    }

    /// Waits for the first progress beyond `percent` of an attempt.
    pub async fn progress_beyond(&self, percent: u64, bound: Duration) -> Result<()> {
        let what = format!("progress beyond {percent} %");
        self.wait_for(&what, bound, |event| match event {
            Event::Progress(progress) => progress.offset * 100 > progress.total * percent,
            _ => false,
        })
        .await
        .map(drop)
    }

    /// Waits for its end, at most `bound`.
    pub async fn ended(&self, bound: Duration) -> Result<Result<u32, Failure>> {
        let ended = timeout(bound, self.ended_at_last());
        ended.await.with_context(|| format!("the call's end: not within {bound:?}"))?
    }

    /// Waits for its end, however long that takes.
    pub async fn ended_at_last(&self) -> Result<Result<u32, Failure>> {
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            if let Some(end) = self.end() {
                return Ok(end);
            }
            changed.changed().await.context("the call's reader is gone")?;
        }
    }

    /// Reasons of its rounds: one for each `Restarted`.
    pub fn restarts(&self) -> Vec<String> {
        let reason = |event| match event {
            Event::Restarted(restarted) => Some(restarted.reason),
            _ => None,
        };
        self.events().into_iter().filter_map(reason).collect()
    }

    /// Where its attempts ran: true for each that was forwarded to the lock owner.
    pub fn placements(&self) -> Vec<bool> {
        let forwarded = |event| match event {
            Event::Placed(placed) => Some(placed.forwarded),
            _ => None,
        };
        self.events().into_iter().filter_map(forwarded).collect()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read<F>(start: F, state: &Mutex<State>, announce: &watch::Sender<()>) -> Result<u32, Failure>
where
    F: Future<Output = Result<Response<Streaming<OperationEvent>>, Status>>,
{
    let mut stream = start.await?.into_inner();
    while let Some(message) = stream.message().await? {
        match message.event {
            Some(Event::Done(done)) => return Ok(done.attempts),
            Some(event) => lock(state).events.push(event),
            None => continue,
        }
        announce.send_replace(());
    }
    let text = "the stream ended without `done` and without an error".to_owned();
    Err(Failure { name: String::new(), errno: 0, text })
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
