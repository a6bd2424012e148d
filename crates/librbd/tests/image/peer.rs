//! A client that speaks the protocol by hand: sends requests of its own making, and answers as a test wants.

use bytes::Bytes;
use prost::Message;
use proto::cls::lock::v1 as cls;
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::{IoCtx, ObjectOp, Watch, WatchEvent};

use crate::support::soon;

const TIMEOUT: std::time::Duration = std::time::Duration::from_millis(500);

pub(crate) struct Peer {
    pub(crate) io: IoCtx,
    header: String,
    watch: Watch,
    /// Completions that came while a request was being sent: (number, result).
    early: Vec<(u64, i32)>,
    /// Reason of the newest AsyncComplete.
    pub(crate) reason: String,
}

impl Peer {
    pub(crate) async fn watch(io: IoCtx, image: &str) -> Self {
        let header = librbd::names::header(&librbd::image_id(&io, image).await.unwrap());
        let watch = io.watch(&header, None).await.unwrap();
        Self { io, header, watch, early: Vec::new(), reason: String::new() }
    }

    pub(crate) fn client_id(&self) -> wire::ClientId {
        wire::ClientId { gid: self.io.rados().gid(), handle: self.watch.handle() }
    }

    /// Holds the exclusive lock as a librbd client does.
    pub(crate) async fn lock(&self) {
        let input = cls::Lock {
            name: librbd::locks::NAME.to_owned(),
            r#type: cls::LockType::Exclusive.into(),
            cookie: self.cookie(),
            tag: librbd::locks::AUTOMATIC_TAG.to_owned(),
            ..cls::Lock::default()
        };
        self.io.operate(&self.header, ObjectOp::new().exec("lock", "lock", &input)).await.unwrap();
    }

    pub(crate) async fn unlock(&self) {
        let input = cls::Unlock { name: librbd::locks::NAME.to_owned(), cookie: self.cookie() };
        self.io.operate(&self.header, ObjectOp::new().exec("lock", "unlock", &input)).await.unwrap();
    }

    fn cookie(&self) -> String {
        librbd::locks::automatic_cookie(self.watch.handle())
    }

    /// Answers notifies until `answer` says stop (`None`). Some(bytes) is the ack.
    pub(crate) async fn answer(&mut self, mut answer: impl FnMut(&Payload) -> Option<Bytes>) {
        loop {
            let WatchEvent::Notify(notification) = self.watch.next().await else { continue };
            let message = wire::NotifyMessage::decode(notification.payload).unwrap();
            let Some(ack) = answer(&message.payload.unwrap()) else { return };
            notification.ack.send(ack);
        }
    }

    /// The header of request `number`, sent for the `attempt`th time.
    pub(crate) fn request(&self, number: u64, attempt: u32) -> Option<wire::RequestHeader> {
        let id = wire::AsyncRequestId { gid: self.io.rados().gid(), open_number: 1, request_number: number };
        Some(wire::RequestHeader { id: Some(id), handle: self.watch.handle(), attempt, low_water_mark: 1 })
    }

    /// Sends a request, and returns the result of the AsyncComplete that answers it.
    pub(crate) async fn call(&mut self, payload: Payload, number: u64) -> i32 {
        self.send(payload).await;
        self.completed(number).await
    }

    /// Sends a request; the owner must accept it.
    pub(crate) async fn send(&mut self, payload: Payload) {
        assert_eq!(self.ask(payload).await, 0, "the owner accepts");
    }

    /// What the one owner there is answers.
    pub(crate) async fn ask(&mut self, payload: Payload) -> i32 {
        self.early.clear();
        let message = wire::NotifyMessage { payload: Some(payload) }.encode_to_vec();
        let notify = self.io.notify(&self.header, message.into(), TIMEOUT * 10);
        tokio::pin!(notify);
        let reply = soon(async {
            loop {
                tokio::select! {
                    biased;
                    reply = &mut notify => return reply.unwrap(),
                    // The own notify, and whatever else comes: acked by being dropped.
                    event = self.watch.next() => {
                        self.early.extend(completion(event, &mut self.reason));
                    }
                }
            }
        })
        .await;
        let answers: Vec<_> = reply.replies.iter().filter(|reply| !reply.payload.is_empty()).collect();
        assert_eq!(answers.len(), 1, "one owner answers");
        wire::ResponseMessage::decode(answers[0].payload.clone()).unwrap().result
    }

    /// The result of request `wanted`, when its AsyncComplete comes.
    pub(crate) async fn completed(&mut self, wanted: u64) -> i32 {
        soon(async {
            loop {
                if let Some((_, result)) = self.early.iter().find(|(number, _)| *number == wanted) {
                    return *result;
                }
                let event = self.watch.next().await;
                self.early.extend(completion(event, &mut self.reason));
            }
        })
        .await
    }
}

/// The request and the result of an AsyncComplete.
fn completion(event: WatchEvent, reason: &mut String) -> Option<(u64, i32)> {
    let WatchEvent::Notify(notification) = event else { return None };
    match wire::NotifyMessage::decode(notification.payload.clone()).unwrap().payload {
        Some(Payload::AsyncComplete(complete)) => {
            *reason = complete.reason;
            Some((complete.id.unwrap().request_number, complete.result))
        }
        _ => None,
    }
}

/// A lock owner's ack. It names the responder, as a librbd client does: 0 from nobody would be no bytes at all.
pub(crate) fn response(result: i32) -> Bytes {
    let responder = Some(wire::ClientId { gid: 1, handle: 1 });
    wire::ResponseMessage { result, responder, ..Default::default() }.encode_to_vec().into()
}

/// The same of an owner that leaves no record of what it carries out.
pub(crate) fn unrecorded() -> Bytes {
    let responder = Some(wire::ClientId { gid: 1, handle: 1 });
    wire::ResponseMessage { responder, unrecorded: true, ..Default::default() }.encode_to_vec().into()
}

pub(crate) fn is_request(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::Flatten(_)
            | Payload::Resize(_)
            | Payload::SnapCreate(_)
            | Payload::SnapRemove(_)
            | Payload::Rename(_)
    )
}
