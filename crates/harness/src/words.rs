//! What the clients of an image say to each other, in words.

use errno::Errno;
use prost::Message;
use proto::rbd::v1::{AsyncRequestId, ClientId, NotifyMessage, ResponseMessage, notify_message::Payload};

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

/// Decodes the payload of a notify; `None` when it is no `NotifyMessage` that is known here.
pub fn said(payload: &[u8]) -> Option<Said> {
    let plain = |name, detail| Said { name, detail, concerns: 0, progress: None, result: None };
    let said = match NotifyMessage::decode(payload).ok()?.payload? {
        Payload::AcquiredLock(_) => plain("AcquiredLock", String::new()),
        Payload::ReleasedLock(_) => plain("ReleasedLock", String::new()),
        Payload::RequestLock(message) => {
            plain("RequestLock", if message.force { "force".to_owned() } else { String::new() })
        }
        Payload::HeaderUpdate(_) => plain("HeaderUpdate", String::new()),
        Payload::AsyncProgress(message) => Said {
            progress: Some((message.offset, message.total)),
            concerns: requester(message.id.as_ref()),
            ..plain("AsyncProgress", format!("{}/{}", message.offset, message.total))
        },
        Payload::AsyncComplete(message) => Said {
            result: Some(message.result),
            concerns: requester(message.id.as_ref()),
            ..plain("AsyncComplete", result_words(message.result))
        },
        Payload::Flatten(message) => plain("FlattenPayload", request_words(message.request)),
        Payload::Resize(message) => plain("ResizePayload", format!("size {}", message.size)),
        Payload::SnapCreate(message) => plain("SnapCreatePayload", message.name),
        Payload::SnapRemove(message) => plain("SnapRemovePayload", message.name),
        Payload::Rename(message) => plain("RenamePayload", message.name),
    };
    Some(said)
}

/// The result in a lock owner's ack and who it says it is; `None` for the empty acks of everybody else.
pub fn answered(payload: &[u8]) -> Option<(i32, Option<ClientId>)> {
    if payload.is_empty() {
        return None;
    }
    let response = ResponseMessage::decode(payload).ok()?;
    Some((response.result, response.responder))
}

/// "0", or "ERESTART (-85)".
pub fn result_words(result: i32) -> String {
    match Errno::from_number(result) {
        Some(errno) if result != 0 => format!("{errno} ({result})"),
        _ => result.to_string(),
    }
}

fn request_words(header: Option<proto::rbd::v1::RequestHeader>) -> String {
    let Some(header) = header else { return String::new() };
    let id = header.id.unwrap_or_default();
    format!("request {}.{}, attempt {}", id.open_number, id.request_number, header.attempt)
}

fn requester(id: Option<&AsyncRequestId>) -> u64 {
    id.map_or(0, |id| id.gid)
}

#[cfg(test)]
mod tests {
    use proto::rbd::v1::{AsyncCompletePayload, AsyncProgressPayload};

    use super::*;

    fn encoded(payload: Payload) -> Vec<u8> {
        NotifyMessage { payload: Some(payload) }.encode_to_vec()
    }

    #[test]
    fn progress_names_its_requester_and_how_far_it_is() {
        let id = Some(AsyncRequestId { gid: 7, open_number: 1, request_number: 2 });
        let payload = encoded(Payload::AsyncProgress(AsyncProgressPayload { id, offset: 12, total: 256 }));
        let said = said(&payload).expect("it is a message");
        assert_eq!((said.name, said.detail.as_str(), said.concerns), ("AsyncProgress", "12/256", 7));
        assert_eq!(said.progress, Some((12, 256)));
    }

    #[test]
    fn a_failed_completion_is_named_by_its_errno() {
        let payload = encoded(Payload::AsyncComplete(AsyncCompletePayload {
            id: None,
            result: -85,
            reason: String::new(),
        }));
        assert_eq!(said(&payload).map(|said| said.detail), Some("ERESTART (-85)".to_owned()));
    }

    #[test]
    fn an_empty_ack_answers_nothing() {
        assert_eq!(answered(&[]), None);
        let ack = ResponseMessage {
            result: 0,
            responder: Some(ClientId { gid: 3, handle: 1 }),
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(answered(&ack).map(|(result, _)| result), Some(0));
    }
}
