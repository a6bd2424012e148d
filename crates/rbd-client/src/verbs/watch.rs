use std::ops::ControlFlow;

use bytes::Bytes;
use clap::Args;
use prost::Message as _;
use proto::rbd::v1 as wire;
use rados::WatchEvent;
use tokio::time::timeout;

use crate::{
    console::{Console, say},
    failure::Failure,
    named::Named,
    report::{Lines, Object, Report, Value},
    session::{CLOSE_TIMEOUT, Session},
    spec::ImageSpec,
};

/// Print what the clients of an image tell each other, until Ctrl-C
#[derive(Args, Debug)]
#[command(
    after_help = "Each notify on the image's header object is one line; with --format json one JSON object a line. Without the \
owner of the lock's answers: those go to the client that asked.

Examples:
  rbd-client watch vm
  rbd-client watch vm --format json | jq .notify"
)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(super) image: Named<ImageSpec>,
}

impl Watch {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let finding = async { Ok(librbd::image_id(&io, &self.image.image).await?) };
        let header = librbd::names::header(&session.until_interrupted(finding).await?);
        let watching = async { Ok(io.watch(&header, session.config.osd_client_watch_timeout).await?) };
        let mut watch = session.until_interrupted(watching).await?;
        say(format_args!(
            "Watching {} as watch {}; Ctrl-C ends it.",
            self.image.in_pool(io.pool()),
            watch.handle()
        ));
        loop {
            let event = tokio::select! {
                biased;
                () = session.interrupted.cancelled() => break,
                event = watch.next() => event,
            };
            if show(event, session.console)?.is_break() {
                break;
            }
        }
        match timeout(CLOSE_TIMEOUT, watch.unwatch()).await {
            Ok(unwatched) => Ok(unwatched?),
            Err(_) => {
                say(format_args!(
                    "The OSD did not answer within {CLOSE_TIMEOUT:?}: the watch expires there."
                ));
                Ok(())
            }
        }
    }
}

/// Prints a notify and acks it as one who is not the lock's owner: with an empty payload. `Break` when nobody reads it.
fn show(event: WatchEvent, console: Console) -> Result<ControlFlow<()>, Failure> {
    match event {
        WatchEvent::Notify(notification) => {
            let line = Line::new(notification.notifier_gid, &notification.payload);
            notification.ack.send(Bytes::new());
            return console.next(&line);
        }
        WatchEvent::Interrupted => say(format_args!("The connection is lost; it is being opened again.")),
        WatchEvent::Resumed => {
            say(format_args!("The watch goes on; notifies that timed out meanwhile were missed."));
        }
        WatchEvent::Reregistered { new, .. } => {
            say(format_args!("The watch was registered anew as {new}; notifies may have been missed."));
        }
        WatchEvent::Lost(error) => return Err(error.into()),
    }
    Ok(ControlFlow::Continue(()))
}

/// One notify.
struct Line {
    /// Its kind: "header_update", "flatten", ...; "unknown" if it does not decode.
    notify: &'static str,
    /// gid of the client that sent it.
    from: u64,
    /// What it says beyond its kind.
    detail: Option<String>,
}

impl Line {
    fn new(from: u64, payload: &[u8]) -> Self {
        let message = wire::NotifyMessage::decode(payload).ok().and_then(|message| message.payload);
        let (notify, detail) = message.map_or(("unknown", None), describe);
        Self { notify, from, detail }
    }
}

fn describe(payload: wire::notify_message::Payload) -> (&'static str, Option<String>) {
    use wire::notify_message::Payload;
    match payload {
        Payload::AcquiredLock(_) => ("acquired_lock", None),
        Payload::ReleasedLock(_) => ("released_lock", None),
        Payload::RequestLock(request) => ("request_lock", request.force.then(|| "forced".to_owned())),
        Payload::HeaderUpdate(_) => ("header_update", None),
        Payload::AsyncProgress(progress) => {
            let done = format!("{}: {} of {}", request_id(progress.id), progress.offset, progress.total);
            ("async_progress", Some(done))
        }
        Payload::AsyncComplete(complete) => {
            ("async_complete", Some(format!("{}: result {}", request_id(complete.id), complete.result)))
        }
        Payload::Flatten(flatten) => ("flatten", Some(request(flatten.request))),
        Payload::Resize(resize) => {
            ("resize", Some(format!("{} to {} bytes", request(resize.request), resize.size)))
        }
        Payload::SnapCreate(snap) => {
            ("snap_create", Some(format!("{} '{}'", request(snap.request), snap.name)))
        }
        Payload::SnapRemove(snap) => {
            ("snap_remove", Some(format!("{} '{}'", request(snap.request), snap.name)))
        }
        Payload::Rename(rename) => {
            ("rename", Some(format!("{} to '{}'", request(rename.request), rename.name)))
        }
    }
}

fn request(header: Option<wire::RequestHeader>) -> String {
    header.map_or_else(String::new, |header| format!("{} attempt {}", request_id(header.id), header.attempt))
}

fn request_id(id: Option<wire::AsyncRequestId>) -> String {
    id.map_or_else(String::new, |id| format!("request {}.{}.{}", id.gid, id.open_number, id.request_number))
}

impl Report for Line {
    const ELEMENT: &'static str = "notify";

    fn value(&self) -> Value {
        Object::default()
            .with("notify", self.notify)
            .with("from", self.from)
            .with_some("detail", self.detail.as_ref())
            .into()
    }

    fn plain(&self) -> Lines {
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        Lines::default().line(format_args!("{} from client.{}{detail}", self.notify, self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_request_is_shown_with_its_identity() {
        let id = wire::AsyncRequestId { gid: 4, open_number: 1, request_number: 7 };
        let header = wire::RequestHeader { id: Some(id), attempt: 2, ..Default::default() };
        let flatten = wire::FlattenPayload { request: Some(header) };
        let payload = Some(wire::notify_message::Payload::Flatten(flatten));
        let line = Line::new(4, &wire::NotifyMessage { payload }.encode_to_vec());
        assert_eq!(line.plain().to_string(), "flatten from client.4: request 4.1.7 attempt 2");
    }

    #[test]
    fn what_does_not_decode_is_shown_as_unknown() {
        assert_eq!(Line::new(4, &[0xff]).plain().to_string(), "unknown from client.4");
        assert_eq!(Line::new(4, &[]).plain().to_string(), "unknown from client.4");
    }
}
