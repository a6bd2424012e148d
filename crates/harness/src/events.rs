//! The OSD's event log, followed as it grows.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use proto::osd::v1::{Event, EventsRequest};
use rpc::osd::osd_client::OsdClient;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::transport::Channel;

/// How long the log may lag behind the OSD.
const CATCH_UP_BOUND: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    /// When the newest event was read here.
    heard: Option<Instant>,
    /// Why following ended.
    broken: Option<String>,
}

/// Every event of one OSD, in order and without holes.
pub struct EventLog {
    osd: OsdClient<Channel>,
    log: Arc<Mutex<Log>>,
    grown: watch::Receiver<()>,
    follower: JoinHandle<()>,
}

impl EventLog {
    /// Follows the OSD's events from the first one on.
    pub fn follow(osd: OsdClient<Channel>) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let (announce, grown) = watch::channel(());
        let shared = log.clone();
        let client = osd.clone();
        let follower = tokio::spawn(async move {
            let reason = match read(client, &shared, &announce).await {
                Ok(()) => "the OSD ended the stream".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            lock(&shared).broken = Some(reason);
            announce.send_replace(());
        });
        Self { osd, log, grown, follower }
    }

    /// Follows no further: for measurements, which the following would cost time. Waiting for events is an error then.
    pub fn stop(&self) {
        self.follower.abort();
        lock(&self.log).broken = Some("it is no longer followed".to_owned());
    }

    /// Number of the newest event known here, 0 before the first.
    pub fn last(&self) -> u64 {
        lock(&self.log).events.last().map_or(0, |event| event.sequence)
    }

    /// The OSD's clock by now, in milliseconds since its start: late by what the newest event took to come here.
    pub fn osd_now_ms(&self) -> u64 {
        let log = lock(&self.log);
        let (Some(newest), Some(heard)) = (log.events.last(), log.heard) else { return 0 };
        newest.time_ms + u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The events after number `after` that are known here.
    pub fn after(&self, after: u64) -> Vec<Event> {
        let log = lock(&self.log);
        let first = log.events.partition_point(|event| event.sequence <= after);
        log.events[first..].to_vec()
    }

    /// Waits until everything that has happened at the OSD by now is known here; the newest number.
    pub async fn catch_up(&self) -> Result<u64> {
        let request = EventsRequest { after: self.last(), until_now: true };
        let mut stream = self.osd.clone().events(request).await.context("asking for events")?.into_inner();
        let mut newest = self.last();
        while let Some(event) = stream.message().await.context("reading events")? {
            newest = event.sequence;
        }
        self.wait(CATCH_UP_BOUND, "the newest event", |log| {
            log.events.last().is_some_and(|event| event.sequence >= newest).then_some(())
        })
        .await?;
        Ok(newest)
    }

    /// The first event after number `after` for which `test` holds.
    pub async fn wait_for(
        &self,
        after: u64,
        bound: Duration,
        what: &str,
        mut test: impl FnMut(&Event) -> bool,
    ) -> Result<Event> {
        let mut looked_at = 0;
        self.wait(bound, what, |log| {
            let fresh = &log.events[looked_at..];
            looked_at = log.events.len();
            fresh.iter().find(|event| event.sequence > after && test(event)).cloned()
        })
        .await
    }

    async fn wait<T>(
        &self,
        bound: Duration,
        what: &str,
        mut look: impl FnMut(&Log) -> Option<T>,
    ) -> Result<T> {
        let mut grown = self.grown.clone();
        let waiting = async {
            loop {
                grown.borrow_and_update();
                {
                    let log = lock(&self.log);
                    if let Some(found) = look(&log) {
                        return Ok(found);
                    }
                    if let Some(reason) = &log.broken {
                        bail!("the event log ended before {what}: {reason}");
                    }
                }
                grown.changed().await.context("the event log's reader is gone")?;
            }
        };
        timeout(bound, waiting)
            .await
            .with_context(|| format!("{what}: not in the event log within {bound:?}"))?
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn read(mut osd: OsdClient<Channel>, log: &Mutex<Log>, announce: &watch::Sender<()>) -> Result<()> {
    let request = EventsRequest { after: 0, until_now: false };
    let mut stream = osd.events(request).await.context("asking for events")?.into_inner();
    while let Some(event) = stream.message().await.context("reading events")? {
        {
            let mut log = lock(log);
            let expected = log.events.last().map_or(1, |event| event.sequence + 1);
            if event.sequence != expected {
                bail!("event {} came where {expected} was due", event.sequence);
            }
            log.events.push(event);
            log.heard = Some(Instant::now());
        }
        announce.send_replace(());
    }
    Ok(())
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
