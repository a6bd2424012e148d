//! What clients of one door say to those of the other about an image that both have open. librbd writes notifies in Ceph's
//! encoding, gRPC's clients as `rbd.v1.NotifyMessage`; what one kind says is translated for the other where it is delivered:
//! a notify's payload to a watch, an ack to the notifier. Between clients of one door, and on every object that is no image's
//! header, bytes pass as they are. Faults, limits and the event log know what was said, not its translation.

mod acks;
#[cfg(test)]
mod fuzzing;
mod notifies;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use osd::op::Door;

/// Start of the names of the objects on which clients of an image talk.
const HEADERS: &str = "rbd_header.";

/// The payload of a notify that somebody at door `from` sent, for a watch at door `to`.
pub(crate) fn heard(object: &str, from: Door, to: Door, payload: Bytes) -> Bytes {
    match direction(object, from, to) {
        None => payload,
        Some(Door::Grpc) => notifies::to_grpc(payload),
        Some(Door::Ceph) => notifies::to_ceph(&payload),
    }
}

/// What a watch answered, for a notifier at door `to`.
pub(crate) fn answered(object: &str, to: Door, ack: &osd::Ack) -> Bytes {
    match direction(object, ack.door, to) {
        None => ack.payload.clone(),
        Some(Door::Grpc) => acks::to_grpc(ack),
        Some(Door::Ceph) => acks::to_ceph(&ack.payload),
    }
}

/// Into what it is to be translated; `None` = it is not.
fn direction(object: &str, from: Door, to: Door) -> Option<Door> {
    (from != to && object.starts_with(HEADERS)).then_some(to)
}
