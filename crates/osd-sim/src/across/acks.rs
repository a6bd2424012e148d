//! Acks. One without bytes says nothing, at either door.

use bytes::Bytes;
use ceph_wire::librbd::ResponseMessage;
use prost::Message;
use proto::rbd::v1 as grpc;

/// Decodes at neither door.
pub(super) const UNDECODABLE: Bytes = Bytes::from_static(&[0xff]);

/// What librbd answered. It does not say who it is, and that it keeps no record of requests: the OSD does.
pub(super) fn to_grpc(ack: &osd::Ack) -> Bytes {
    if ack.payload.is_empty() {
        return Bytes::new();
    }
    let Ok(ResponseMessage { result }) = ceph_wire::from_bytes(&ack.payload) else { return UNDECODABLE };
    let responder = Some(grpc::ClientId { gid: ack.gid, handle: ack.cookie });
    grpc::ResponseMessage { result, responder, reason: String::new(), unrecorded: true }
        .encode_to_vec()
        .into()
}

/// What a client of gRPC answered, without who it is and why.
pub(super) fn to_ceph(payload: &Bytes) -> Bytes {
    if payload.is_empty() {
        return Bytes::new();
    }
    let Ok(answer) = grpc::ResponseMessage::decode(payload.clone()) else { return UNDECODABLE };
    ceph_wire::to_bytes(&ResponseMessage { result: answer.result })
}
