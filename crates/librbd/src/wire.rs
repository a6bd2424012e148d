//! The notify messages of `rbd.v1` and the types of `rbd-protocol`: converted here, where they enter and leave.

use bytes::Bytes;
use prost::Message as _;
use proto::rbd::v1::{self as wire, notify_message::Payload as Wire};
use rbd_protocol::{
    Answer, ClientId, Ended, Message, NotifyAnswers, Operation, Payload, Request, RequestId,
    ended_from_message, ended_to_message,
};

/// A notify's payload. What does not decode is `Unknown`; empty bytes are a HeaderUpdate, as very old peers send it.
pub fn decode_message(payload: Bytes) -> Message {
    if payload.is_empty() {
        return Message::HeaderUpdate;
    }
    let message = wire::NotifyMessage::decode(payload).ok().and_then(|message| message.payload);
    message.and_then(message_from_wire).unwrap_or(Message::Unknown)
}

/// None: a part is missing that every sender fills in.
fn message_from_wire(message: Wire) -> Option<Message> {
    Some(match message {
        Wire::AcquiredLock(announced) => Message::AcquiredLock(client_from_wire(announced.client_id?)),
        Wire::ReleasedLock(announced) => Message::ReleasedLock(announced.client_id.map(client_from_wire)),
        // Whatever its `force` says.
        Wire::RequestLock(asked) => Message::RequestLock(client_from_wire(asked.client_id?)),
        Wire::HeaderUpdate(_) => Message::HeaderUpdate,
        Wire::AsyncProgress(progress) => Message::AsyncProgress {
            id: id_from_wire(progress.id?),
            offset: progress.offset,
            total: progress.total,
        },
        Wire::AsyncComplete(complete) => {
            let result = ended_from_message(complete.result, complete.reason);
            Message::AsyncComplete { id: id_from_wire(complete.id?), result }
        }
        request => return request_from_wire(request),
    })
}

/// Both directions of every operation in [`Operation::TABLE`]: its fields are those of its payload.
macro_rules! payloads {
    ($(
        $(#[$what:meta])+
        $operation:ident $({ $($(#[$of:meta])+ $field:ident: $type:ty),+ $(,)? })?
        = ($name:literal, $payload:ident $number:literal, $($rest:tt)+),
    )+) => {
        /// None: a part is missing, or it is no request. A message that is neither known here nor above does not compile.
        fn request_from_wire(message: Wire) -> Option<Message> {
            match message {
                $(Wire::$operation(wire::$payload { request, $($($field),+)? }) => {
                    request_with_header(request?, Operation::$operation $({ $($field),+ })?)
                })+
                Wire::AcquiredLock(_)
                | Wire::ReleasedLock(_)
                | Wire::RequestLock(_)
                | Wire::HeaderUpdate(_)
                | Wire::AsyncProgress(_)
                | Wire::AsyncComplete(_) => None,
            }
        }

        fn request_to_wire(request: &Request) -> Wire {
            let header = Some(header_to_wire(request));
            match request.operation.clone() {
                $(Operation::$operation $({ $($field),+ })? => {
                    Wire::$operation(wire::$payload { request: header, $($($field),+)? })
                })+
            }
        }
    };
}

rbd_protocol::for_each_operation!(payloads);

fn request_with_header(header: wire::RequestHeader, operation: Operation) -> Option<Message> {
    Some(Message::Request(Request {
        id: id_from_wire(header.id?),
        handle: header.handle,
        attempt: header.attempt,
        low_water_mark: header.low_water_mark,
        operation,
    }))
}

fn header_to_wire(request: &Request) -> wire::RequestHeader {
    wire::RequestHeader {
        id: Some(id_to_wire(request.id)),
        handle: request.handle,
        attempt: request.attempt,
        low_water_mark: request.low_water_mark,
    }
}

fn client_from_wire(client: wire::ClientId) -> ClientId {
    ClientId { gid: client.gid, handle: client.handle }
}

fn id_from_wire(id: wire::AsyncRequestId) -> RequestId {
    RequestId { gid: id.gid, open: id.open_number, number: id.request_number }
}

/// As a notify's payload. `Unknown` encodes as a message without a payload.
pub(crate) fn encode_message(message: &Message) -> Bytes {
    let payload = message_to_wire(message);
    wire::NotifyMessage { payload }.encode_to_vec().into()
}

fn message_to_wire(message: &Message) -> Option<Wire> {
    Some(match message {
        Message::AcquiredLock(client) => {
            Wire::AcquiredLock(wire::AcquiredLockPayload { client_id: Some(client_to_wire(*client)) })
        }
        Message::ReleasedLock(client) => {
            Wire::ReleasedLock(wire::ReleasedLockPayload { client_id: client.map(client_to_wire) })
        }
        Message::RequestLock(from) => Wire::RequestLock(wire::RequestLockPayload {
            client_id: Some(client_to_wire(*from)),
            force: false,
        }),
        Message::HeaderUpdate => Wire::HeaderUpdate(wire::HeaderUpdatePayload {}),
        Message::AsyncProgress { id, offset, total } => Wire::AsyncProgress(wire::AsyncProgressPayload {
            id: Some(id_to_wire(*id)),
            offset: *offset,
            total: *total,
        }),
        Message::AsyncComplete { id, result } => {
            let (result, reason) = ended_to_message(result);
            let reason = reason.to_owned();
            Wire::AsyncComplete(wire::AsyncCompletePayload { id: Some(id_to_wire(*id)), result, reason })
        }
        Message::Request(request) => request_to_wire(request),
        Message::Unknown => return None,
    })
}

fn client_to_wire(client: ClientId) -> wire::ClientId {
    wire::ClientId { gid: client.gid, handle: client.handle }
}

fn id_to_wire(id: RequestId) -> wire::AsyncRequestId {
    wire::AsyncRequestId { gid: id.gid, open_number: id.open, request_number: id.number }
}

/// The payload of an ack; `None` is the empty one of a client that is not the owner.
pub(crate) fn encode_ack(answer: Option<&Ended>, responder: ClientId) -> Bytes {
    let Some(answer) = answer else { return Bytes::new() };
    let (result, reason) = ended_to_message(answer);
    let (responder, reason) = (Some(client_to_wire(responder)), reason.to_owned());
    wire::ResponseMessage { result, responder, reason, unrecorded: false }.encode_to_vec().into()
}

/// What an ack says: the owner's answer, as a number and a reason, and who it says it is. None: the empty ack of everybody else.
pub fn decode_response(payload: &[u8]) -> Option<(Ended, Option<ClientId>)> {
    if payload.is_empty() {
        return None;
    }
    let response = wire::ResponseMessage::decode(payload).ok()?;
    Some((ended_from_message(response.result, response.reason), response.responder.map(client_from_wire)))
}

/// What a notify gathered.
pub(crate) fn decode_answers(reply: rados::NotifyReply) -> NotifyAnswers {
    let answer = |answer: rados::Answer| Answer {
        from: ClientId { gid: answer.gid, handle: answer.cookie },
        payload: decode_ack(&answer.payload),
    };
    NotifyAnswers { timed_out: reply.timed_out, answers: reply.replies.into_iter().map(answer).collect() }
}

/// Whether an ack accepts a request of which its sender leaves no record.
pub(crate) fn is_unrecorded(payload: &[u8]) -> bool {
    wire::ResponseMessage::decode(payload).is_ok_and(|answer| answer.unrecorded && answer.result == 0)
}

fn decode_ack(payload: &[u8]) -> Payload {
    if payload.is_empty() {
        return Payload::Empty;
    }
    decode_response(payload).map_or(Payload::Undecodable, |(answer, _)| Payload::Response(answer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use errno::Errno;
    use rbd_protocol::Failure;

    use super::*;

    const CLIENT: ClientId = ClientId { gid: 4, handle: 7 };
    const ID: RequestId = RequestId { gid: 4, open: 2, number: 9 };

    fn request(operation: Operation) -> Message {
        Message::Request(Request { id: ID, handle: 7, attempt: 3, low_water_mark: 8, operation })
    }

    #[test]
    fn every_message_survives_the_wire() {
        let messages = [
            Message::AcquiredLock(CLIENT),
            Message::ReleasedLock(Some(CLIENT)),
            Message::ReleasedLock(None),
            Message::RequestLock(CLIENT),
            Message::HeaderUpdate,
            Message::AsyncProgress { id: ID, offset: 3, total: 8 },
            Message::AsyncComplete { id: ID, result: Err(Failure::new(Errno::EIO, "why")) },
            Message::AsyncComplete { id: ID, result: Ok(()) },
            request(Operation::Flatten),
            request(Operation::Resize { size: 1 << 40, allow_shrink: true }),
            request(Operation::SnapCreate { name: "s".to_owned() }),
            request(Operation::SnapRemove { name: "s".to_owned() }),
            request(Operation::Rename { name: "s".to_owned() }),
        ];
        let mut operations = BTreeSet::new();
        for message in messages {
            let encoded = encode_message(&message);
            assert_eq!(decode_message(encoded.clone()), message);
            if let Message::Request(request) = message {
                let payload = request.operation.entry().payload;
                assert_eq!(u32::from(encoded[0] >> 3), payload, "{request:?}");
                operations.insert(payload);
            }
        }
        assert_eq!(operations.len(), Operation::TABLE.len(), "every operation is a message here");
    }

    #[test]
    fn what_does_not_decode_is_unknown_and_nothing_is_a_header_update() {
        assert_eq!(decode_message(Bytes::from_static(&[0xff; 9])), Message::Unknown);
        assert_eq!(
            decode_message(wire::NotifyMessage { payload: None }.encode_to_vec().into()),
            Message::HeaderUpdate
        );
        let without_id = wire::AsyncCompletePayload { id: None, result: 0, reason: String::new() };
        let message = wire::NotifyMessage { payload: Some(Wire::AsyncComplete(without_id)) };
        assert_eq!(decode_message(message.encode_to_vec().into()), Message::Unknown);
    }

    #[test]
    fn acceptance_is_told_from_the_empty_ack() {
        assert_eq!(decode_ack(&encode_ack(None, CLIENT)), Payload::Empty);
        for answer in [Ok(()), Err(Errno::EROFS.into()), Err(Failure::new(Errno::EROFS, "why"))] {
            assert_eq!(decode_ack(&encode_ack(Some(&answer), CLIENT)), Payload::Response(answer));
        }
    }
}
