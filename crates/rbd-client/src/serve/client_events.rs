use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use librbd::ImageEvent;
use proto::rbd::v1 as wire;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    held_image::{HeldImage, Opened},
    wire::client_event,
};

/// What one caller of `Events` sees. It goes on over a reopen, with the events of the new image.
struct ClientEvents {
    images: watch::Receiver<Opened>,
    events: broadcast::Receiver<ImageEvent>,
    sequence: u64,
    shutdown: CancellationToken,
}

/// Events from the call on, numbered from 1, until the process shuts down or the caller hangs up.
pub(super) fn client_events(
    held: &Arc<HeldImage>,
    shutdown: CancellationToken,
) -> BoxStream<'static, Result<wire::ClientEvent, Status>> {
    let mut images = held.subscribe();
    let events = images.borrow_and_update().image.events();
    let state = ClientEvents { images, events, sequence: 0, shutdown };
    stream::unfold(state, ClientEvents::next).boxed()
}

impl ClientEvents {
    async fn next(mut self) -> Option<(Result<wire::ClientEvent, Status>, Self)> {
        let event = self.event().await?;
        self.sequence += 1;
        let event = wire::ClientEvent { sequence: self.sequence, event: Some(event) };
        Some((Ok(event), self))
    }

    async fn event(&mut self) -> Option<wire::client_event::Event> {
        let mut is_closed = false;
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                event = self.events.recv(), if !is_closed => match event {
                    Ok(event) => return Some(client_event(event)),
                    Err(broadcast::error::RecvError::Lagged(dropped)) => {
                        return Some(wire::client_event::Event::Lagged(wire::Lagged { dropped }));
                    }
                    // A reopen is under way, or failed: the next image brings new events.
                    Err(broadcast::error::RecvError::Closed) => is_closed = true,
                },
                changed = self.images.changed() => {
                    changed.ok()?;
                    self.events = self.images.borrow_and_update().image.events();
                    is_closed = false;
                }
            }
        }
    }
}
