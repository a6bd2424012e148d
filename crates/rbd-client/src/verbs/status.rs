use std::time::Duration;

use clap::Args;
use librbd::locks::AUTOMATIC_TAG;
use serde::Serialize;

use crate::{
    console::{Report, table},
    failure::Failure,
    session::Session,
    spec::ImageSpec,
};

/// Show who has an image open, and who owns its lock
#[derive(Args, Debug)]
#[command(
    after_help = "A client that has the image open watches its header object. LAST HEARD is the age of its last sign of life; the \
watch of a client that is not heard of any more ends when EXPIRES IN is over.

Examples:
  rbd-client status vm
  rbd-client status vm --format json"
)]
pub(crate) struct Status {
    /// [POOL/]IMAGE
    pub(super) image: ImageSpec,
}

impl Status {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let name = &self.image.image;
        let asking = async {
            let watchers = librbd::watchers(&io, name).await?;
            let lockers = librbd::locks::lock_list(&io, name).await?;
            Ok((watchers, lockers))
        };
        let (watchers, locks) = session.until_interrupted(asking).await?;
        session.console.report(&StatusReport {
            watchers: watchers.into_iter().map(Watcher::new).collect(),
            lockers: locks.lockers.into_iter().map(|locker| Locker::new(locker, &locks.tag)).collect(),
        })
    }
}

#[derive(Serialize)]
struct StatusReport {
    watchers: Vec<Watcher>,
    lockers: Vec<Locker>,
}

#[derive(Serialize)]
struct Watcher {
    client: u64,
    cookie: u64,
    address: String,
    name: String,
    connected: bool,
    timeout_ms: u64,
    last_heard_ms: u64,
    expires_in_ms: u64,
}

#[derive(Serialize)]
struct Locker {
    client: u64,
    id: String,
    tag: String,
    address: String,
}

impl Watcher {
    fn new(watcher: rados::Watcher) -> Self {
        Self {
            client: watcher.gid,
            cookie: watcher.cookie,
            address: watcher.address,
            name: watcher.name,
            connected: watcher.connected,
            timeout_ms: millis(watcher.timeout),
            last_heard_ms: millis(watcher.timeout.saturating_sub(watcher.expires_in)),
            expires_in_ms: millis(watcher.expires_in),
        }
    }
}

impl Locker {
    fn new(locker: librbd::locks::Locker, tag: &str) -> Self {
        Self { client: locker.gid, id: locker.cookie, tag: tag.to_owned(), address: locker.address }
    }
}

impl Report for StatusReport {
    fn plain(&self) -> String {
        let watchers = match self.watchers.as_slice() {
            [] => "Watchers: none".to_owned(),
            watchers => {
                let header =
                    ["WATCHER", "COOKIE", "ADDRESS", "NAME", "CONNECTED", "LAST HEARD", "EXPIRES IN"];
                table(header, watchers.iter().map(watcher_row))
            }
        };
        let owner = match self.lockers.as_slice() {
            [] => "Lock owner: none".to_owned(),
            lockers => lockers.iter().map(owner_line).collect::<Vec<_>>().join("\n"),
        };
        format!("{watchers}\n{owner}")
    }
}

fn watcher_row(watcher: &Watcher) -> [String; 7] {
    [
        format!("client.{}", watcher.client),
        watcher.cookie.to_string(),
        watcher.address.clone(),
        watcher.name.clone(),
        if watcher.connected { "yes" } else { "no" }.to_owned(),
        format!("{} ago", seconds(watcher.last_heard_ms)),
        seconds(watcher.expires_in_ms),
    ]
}

fn owner_line(locker: &Locker) -> String {
    let holder = format!("client.{} \"{}\" at {}", locker.client, locker.id, locker.address);
    match locker.tag.as_str() {
        AUTOMATIC_TAG => format!("Lock owner: {holder}"),
        "" => format!("Locked by hand: {holder}"),
        tag => format!("Locked by hand: {holder} (shared, tag {tag})"),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
