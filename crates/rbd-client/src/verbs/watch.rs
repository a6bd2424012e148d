use std::ops::ControlFlow;

use bytes::Bytes;
use clap::Args;
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
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("watch {}", self.image.in_pool(pool))
    }

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
            let line = Line::new(notification.notifier_gid, notification.payload);
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
    /// Its kind: "header_update", "flatten", ...; "unknown" if it does not decode; nothing at all is a header_update.
    notify: &'static str,
    /// gid of the client that sent it.
    from: u64,
    /// What it says beyond its kind.
    detail: Option<String>,
}

impl Line {
    fn new(from: u64, payload: Bytes) -> Self {
        let message = librbd::decode_message(payload);
        Self { notify: message.name(), from, detail: message.detail() }
    }
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
    use prost::Message as _;
    use proto::rbd::v1::{
        AsyncRequestId, NotifyMessage, RequestHeader, ResizePayload, notify_message::Payload,
    };

    use super::*;

    #[test]
    fn a_forwarded_request_is_shown_with_its_identity_and_arguments() {
        let id = AsyncRequestId { gid: 4, open_number: 1, request_number: 7 };
        let request = Some(RequestHeader { id: Some(id), attempt: 2, ..Default::default() });
        let payload = Some(Payload::Resize(ResizePayload { request, size: 4096, allow_shrink: true }));
        let line = Line::new(4, NotifyMessage { payload }.encode_to_vec().into());
        assert_eq!(
            line.plain().to_string(),
            "resize from client.4: request 4.1.7 attempt 2: size 4096, allow_shrink true"
        );
    }

    #[test]
    fn what_does_not_decode_is_shown_as_unknown() {
        assert_eq!(Line::new(4, Bytes::from_static(&[0xff])).plain().to_string(), "unknown from client.4");
    }
}
