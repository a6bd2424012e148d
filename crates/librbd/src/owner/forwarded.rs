use std::sync::Arc;

use rbd_protocol::{Request, watcher};
use tokio_util::sync::CancellationToken;

use super::Event;
use crate::error::Error;
use crate::opened::OpenImage;
use crate::operations::{Maintenance, Origin, execute};

/// Runs an operation for another client and tells the watcher how it ended.
pub(super) async fn run(image: Arc<OpenImage>, request: Request) {
    let id = request.id;
    let operation = Maintenance::Forwardable(request.operation.clone());
    let origin = Origin { id, attempt: request.attempt, forwarded: Some(request) };
    let progress = {
        let image = image.clone();
        move |offset, total| {
            image.tell(Event::ToWatcher(watcher::Event::OperationProgress { id, offset, total }));
        }
    };
    let ended = execute(&image, &operation, &origin, &CancellationToken::new(), progress).await;
    let result = ended.result.as_ref().copied().map_err(Error::to_failure);
    image.tell(Event::ToWatcher(watcher::Event::OperationEnded { id, result }));
    // Only now may the lock go: the watcher knows of the end before the release begins.
    drop(ended);
}
