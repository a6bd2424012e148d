//! What the clients of an image say to each other, in words.

use bytes::Bytes;
use errno::Errno;
use prost::Message as _;
use proto::rbd::v1 as wire;
use rbd_protocol::{ClientId, Message, Request, ended_to_message};

/// One message on the header object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The message's name as the protocol has it, e.g. "AsyncProgress".
    pub name: &'static str,
    /// Its content in short, may be empty.
    pub detail: String,
    /// The client instance it is about: the requester of an AsyncProgress or AsyncComplete, else 0.
    pub concerns: u64,
    /// Offset and total of an AsyncProgress.
    pub progress: Option<(u64, u64)>,
    /// The result of an AsyncComplete.
    pub result: Option<i32>,
}

/// The message that says that a header changed.
pub fn header_update() -> Bytes {
    let payload = wire::notify_message::Payload::HeaderUpdate(wire::HeaderUpdatePayload {});
    wire::NotifyMessage { payload: Some(payload) }.encode_to_vec().into()
}

/// Decodes the payload of a notify; `None` when it is no message that is known here.
pub fn said(payload: &[u8]) -> Option<Said> {
    let message = librbd::decode_message(Bytes::copy_from_slice(payload));
    let plain = |name, detail| Said { name, detail, concerns: 0, progress: None, result: None };
    Some(match message {
        Message::AcquiredLock(_) => plain("AcquiredLock", String::new()),
        Message::ReleasedLock(_) => plain("ReleasedLock", String::new()),
        Message::RequestLock(_) => plain("RequestLock", String::new()),
        Message::HeaderUpdate => plain("HeaderUpdate", String::new()),
        Message::AsyncProgress { id, offset, total } => Said {
            progress: Some((offset, total)),
            concerns: id.gid,
            ..plain("AsyncProgress", format!("{offset}/{total}"))
        },
        Message::AsyncComplete { id, result } => {
            let (result, _) = ended_to_message(&result);
            Said { result: Some(result), concerns: id.gid, ..plain("AsyncComplete", result_words(result)) }
        }
        Message::Request(request) => plain(request.operation.entry().message, request_words(&request)),
        Message::Unknown => return None,
    })
}

/// The result in a lock owner's ack and who it says it is; `None` for the empty acks of everybody else.
pub fn answered(payload: &[u8]) -> Option<(i32, Option<ClientId>)> {
    let (answer, responder) = librbd::decode_response(payload)?;
    Some((ended_to_message(&answer).0, responder))
}

/// "0", or "ERESTART (-85)".
pub fn result_words(result: i32) -> String {
    match Errno::from_number(result) {
        Some(errno) if result != 0 => format!("{errno} ({result})"),
        _ => result.to_string(),
    }
}

/// Its arguments; without any, which request it is.
fn request_words(request: &Request) -> String {
    let arguments = request.operation.arguments();
    if arguments.is_empty() {
        return format!("request {}.{}, attempt {}", request.id.open, request.id.number, request.attempt);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Option<wire::AsyncRequestId> =
        Some(wire::AsyncRequestId { gid: 7, open_number: 1, request_number: 2 });

    fn encoded(payload: wire::notify_message::Payload) -> Vec<u8> {
        wire::NotifyMessage { payload: Some(payload) }.encode_to_vec()
    }

    #[test]
    fn progress_names_its_requester_and_how_far_it_is() {
        let progress = wire::AsyncProgressPayload { id: ID, offset: 12, total: 256 };
        let said =
            said(&encoded(wire::notify_message::Payload::AsyncProgress(progress))).expect("it is a message");
        assert_eq!((said.name, said.detail.as_str(), said.concerns), ("AsyncProgress", "12/256", 7));
        assert_eq!(said.progress, Some((12, 256)));
    }

    #[test]
    fn a_header_update_is_heard_as_one() {
        assert_eq!(said(&header_update()).map(|said| said.name), Some("HeaderUpdate"));
    }

    #[test]
    fn a_request_is_named_by_its_message() {
        let request = Some(wire::RequestHeader { id: ID, ..Default::default() });
        let resize = wire::ResizePayload { request, size: 4096, allow_shrink: false };
        let said = said(&encoded(wire::notify_message::Payload::Resize(resize))).expect("it is a message");
        assert_eq!((said.name, said.detail.as_str()), ("ResizePayload", "size 4096, allow_shrink false"));
    }

    #[test]
    fn a_failed_completion_is_named_by_its_errno() {
        let complete = wire::AsyncCompletePayload { id: ID, result: -85, reason: String::new() };
        let payload = encoded(wire::notify_message::Payload::AsyncComplete(complete));
        assert_eq!(said(&payload).map(|said| said.detail), Some("ERESTART (-85)".to_owned()));
    }

    #[test]
    fn an_empty_ack_answers_nothing() {
        assert_eq!(answered(&[]), None);
        let responder = Some(wire::ClientId { gid: 3, handle: 1 });
        let ack = wire::ResponseMessage { result: 0, responder, ..Default::default() }.encode_to_vec();
        assert_eq!(answered(&ack), Some((0, Some(ClientId { gid: 3, handle: 1 }))));
    }
}
