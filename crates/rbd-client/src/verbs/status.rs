use std::time::Duration;

use clap::Args;
use librbd::locks::{AUTOMATIC_TAG, LockList, Locker};
use rados::Watcher;

use crate::{
    duration::millis,
    failure::Failure,
    named::Named,
    report::{Lines, Object, Report, Value, list},
    session::Session,
    spec::ImageSpec,
};

/// Show who has an image open, and who owns its lock
#[derive(Args, Debug)]
#[command(
    after_help = "A client that has the image open watches its header object. last_heard is the age of its last sign of life; the \
watch of a client that is not heard of any more ends when expires_in is over.

Examples:
  rbd-client status vm
  rbd-client status vm --format json"
)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(super) image: Named<ImageSpec>,
}

impl Status {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("status {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let name = &self.image.image;
        let asking = async {
            let watchers = librbd::watchers(&io, name).await?;
            let lockers = librbd::locks::lock_list(&io, name).await?;
            Ok((watchers, lockers))
        };
        let (watchers, locks) = session.until_interrupted(asking).await?;
        session.console.report(&StatusReport { watchers, locks })
    }
}

struct StatusReport {
    watchers: Vec<Watcher>,
    locks: LockList,
}

impl Report for StatusReport {
    const ELEMENT: &'static str = "status";

    fn value(&self) -> Value {
        let locker = |locker: &Locker| {
            Object::default()
                .with("client", locker.gid)
                .with("id", &locker.cookie)
                .with("tag", &self.locks.tag)
                .with("address", &locker.address)
        };
        Object::default()
            .with("watchers", list("watcher", self.watchers.iter().map(watcher)))
            .with("lockers", list("locker", self.locks.lockers.iter().map(locker)))
            .into()
    }

    fn plain(&self) -> Lines {
        let watchers = match self.watchers.as_slice() {
            [] => Lines::default().line("Watchers: none"),
            watchers => {
                watchers.iter().map(watcher_line).fold(Lines::default().line("Watchers:"), Lines::indented)
            }
        };
        watchers.then(match self.locks.lockers.as_slice() {
            [] => Lines::default().line("Lock owner: none"),
            lockers => lockers.iter().map(|locker| owner_line(locker, &self.locks.tag)).collect(),
        })
    }
}

/// As `rbd` has it, and what else the OSD knows.
fn watcher(watcher: &Watcher) -> Object {
    Object::default()
        .with("address", &watcher.address)
        .with("client", watcher.gid)
        .with("cookie", watcher.cookie)
        .with("name", &watcher.name)
        .with("connected", watcher.connected)
        .with("timeout_ms", millis(watcher.timeout))
        .with("last_heard_ms", millis(last_heard(watcher)))
        .with("expires_in_ms", millis(watcher.expires_in))
}

/// As `rbd` has it, and what else the OSD knows at the end of the line.
fn watcher_line(watcher: &Watcher) -> String {
    let Watcher { gid, cookie, address, name, expires_in, .. } = watcher;
    let connected = if watcher.connected { "yes" } else { "no" };
    let [last_heard, expires_in] = [last_heard(watcher), *expires_in].map(seconds);
    format!(
        "watcher={address} client.{gid} cookie={cookie} \
         name=\"{name}\" connected={connected} last_heard={last_heard} expires_in={expires_in}"
    )
}

fn last_heard(watcher: &Watcher) -> Duration {
    watcher.timeout.saturating_sub(watcher.expires_in)
}

fn owner_line(locker: &Locker, tag: &str) -> String {
    let holder = format!("client.{} \"{}\" at {}", locker.gid, locker.cookie, locker.address);
    match tag {
        AUTOMATIC_TAG => format!("Lock owner: {holder}"),
        "" => format!("Locked by hand: {holder}"),
        tag => format!("Locked by hand: {holder} (shared, tag {tag})"),
    }
}

fn seconds(span: Duration) -> String {
    format!("{}.{}s", span.as_secs(), span.subsec_millis() / 100)
}
