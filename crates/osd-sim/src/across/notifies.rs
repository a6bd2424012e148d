//! Payloads of notifies.
//!
//! | Ceph | `rbd.v1` | what the other kind does not hear |
//! |---|---|---|
//! | AcquiredLock, ReleasedLock, RequestLock, HeaderUpdate, AsyncProgress | of the same names | nothing |
//! | AsyncComplete | AsyncComplete | `reason` |
//! | Flatten, Resize, SnapRemove, Rename | of the same names | `attempt` (to gRPC: 1), `low_water_mark` (to gRPC: 0, none) |
//! | SnapCreate | SnapCreate | the same, and `flags` (to Ceph: `SKIP_QUIESCE`) |
//! | SnapCreate, SnapRemove of others than users | - | everything |
//! | RebuildObjectMap, SnapRename, SnapProtect, SnapUnprotect, UpdateFeatures, Migrate, Sparsify, Quiesce, Unquiesce, MetadataUpdate | - | everything |
//!
//! A request's id is (gid, handle, number) there and (gid, `open_number`, `request_number`) here; each side takes the other's for
//! a name that it hands back. `RequestHeader.handle` is the watch: to librbd it is part of the id.

use bytes::Bytes;
use ceph_wire::cls::SnapshotNamespace;
use ceph_wire::librbd::{AsyncRequestId, ClientId, NotifyMessage};
use prost::Message;
use proto::rbd::v1 as grpc;
use proto::rbd::v1::notify_message::Payload;

/// A kind that librbd does not know: number 2^32 - 1, as its own "unknown" is encoded.
pub(super) const UNKNOWN_TO_CEPH: Bytes = Bytes::from_static(b"\x07\x01\x04\0\0\0\xff\xff\xff\xff");

/// A field that `rbd.v1.NotifyMessage` does not have. In it lies what librbd said.
const UNKNOWN_TO_GRPC_FIELD: u32 = 1000;

/// A librbd that takes a snapshot for a client of gRPC asks nobody to pause first, as an owner of gRPC does not: one watcher that does not answer
/// would end it with ETIMEDOUT.
pub(super) const SKIP_QUIESCE: u64 = 1;

/// What librbd said.
pub(super) fn to_grpc(payload: Bytes) -> Bytes {
    if payload.is_empty() {
        return payload;
    }
    let message = ceph_wire::from_bytes::<NotifyMessage>(&payload).ok();
    match message.and_then(message_to_grpc) {
        Some(known) => grpc::NotifyMessage { payload: Some(known) }.encode_to_vec().into(),
        None => {
            let mut unknown = Vec::with_capacity(payload.len() + 8);
            prost::encoding::bytes::encode(UNKNOWN_TO_GRPC_FIELD, &payload, &mut unknown);
            unknown.into()
        }
    }
}

/// What a client of gRPC said.
pub(super) fn to_ceph(payload: &Bytes) -> Bytes {
    if payload.is_empty() {
        return Bytes::new();
    }
    let message = grpc::NotifyMessage::decode(payload.clone()).ok().and_then(|message| message.payload);
    message.and_then(message_to_ceph).map_or(UNKNOWN_TO_CEPH, |message| ceph_wire::to_bytes(&message))
}

fn message_to_grpc(message: NotifyMessage) -> Option<Payload> {
    use NotifyMessage as M;
    Some(match message {
        M::AcquiredLock { client } => {
            Payload::AcquiredLock(grpc::AcquiredLockPayload { client_id: client_to_grpc(client) })
        }
        M::ReleasedLock { client } => {
            Payload::ReleasedLock(grpc::ReleasedLockPayload { client_id: client_to_grpc(client) })
        }
        M::RequestLock { client, is_forced } => Payload::RequestLock(grpc::RequestLockPayload {
            client_id: client_to_grpc(client),
            force: is_forced,
        }),
        M::HeaderUpdate {} => Payload::HeaderUpdate(grpc::HeaderUpdatePayload {}),
        M::AsyncProgress { request, offset, total } => {
            Payload::AsyncProgress(grpc::AsyncProgressPayload { id: id_to_grpc(request), offset, total })
        }
        M::AsyncComplete { request, result } => {
            let (id, reason) = (id_to_grpc(request), String::new());
            Payload::AsyncComplete(grpc::AsyncCompletePayload { id, result, reason })
        }
        M::Flatten { request } => Payload::Flatten(grpc::FlattenPayload { request: Some(header(request)?) }),
        M::Resize { size, request, allow_shrink } => {
            let request = Some(header(request)?);
            Payload::Resize(grpc::ResizePayload { request, size, allow_shrink })
        }
        // Nobody there pauses for a snapshot, whatever the flags say.
        M::SnapCreate { name, namespace: SnapshotNamespace::User, request, flags: _ } => {
            Payload::SnapCreate(grpc::SnapCreatePayload { request: Some(header(request)?), name })
        }
        M::SnapRemove { name, namespace: SnapshotNamespace::User, request } => {
            Payload::SnapRemove(grpc::SnapRemovePayload { request: Some(header(request)?), name })
        }
        M::Rename { name, request } => {
            Payload::Rename(grpc::RenamePayload { request: Some(header(request)?), name })
        }
        M::SnapCreate { .. }
        | M::SnapRemove { .. }
        | M::RebuildObjectMap { .. }
        | M::SnapRename { .. }
        | M::SnapProtect { .. }
        | M::SnapUnprotect { .. }
        | M::UpdateFeatures { .. }
        | M::Migrate { .. }
        | M::Sparsify { .. }
        | M::Quiesce { .. }
        | M::Unquiesce { .. }
        | M::MetadataUpdate { .. } => return None,
    })
}

/// `None`: a part is missing that every sender fills in.
fn message_to_ceph(message: Payload) -> Option<NotifyMessage> {
    use NotifyMessage as M;
    let namespace = SnapshotNamespace::User;
    Some(match message {
        Payload::AcquiredLock(announced) => M::AcquiredLock { client: client_to_ceph(announced.client_id?) },
        // A peer that does not say who it is.
        Payload::ReleasedLock(announced) => {
            M::ReleasedLock { client: announced.client_id.map(client_to_ceph).unwrap_or_default() }
        }
        Payload::RequestLock(asked) => {
            M::RequestLock { client: client_to_ceph(asked.client_id?), is_forced: asked.force }
        }
        Payload::HeaderUpdate(grpc::HeaderUpdatePayload {}) => M::HeaderUpdate {},
        Payload::AsyncProgress(grpc::AsyncProgressPayload { id, offset, total }) => {
            M::AsyncProgress { request: id_to_ceph(id?), offset, total }
        }
        Payload::AsyncComplete(grpc::AsyncCompletePayload { id, result, reason: _ }) => {
            M::AsyncComplete { request: id_to_ceph(id?), result }
        }
        Payload::Flatten(asked) => M::Flatten { request: id_of(asked.request)? },
        Payload::Resize(grpc::ResizePayload { request, size, allow_shrink }) => {
            M::Resize { size, request: id_of(request)?, allow_shrink }
        }
        Payload::SnapCreate(grpc::SnapCreatePayload { request, name }) => {
            M::SnapCreate { name, namespace, request: id_of(request)?, flags: SKIP_QUIESCE }
        }
        Payload::SnapRemove(grpc::SnapRemovePayload { request, name }) => {
            M::SnapRemove { name, namespace, request: id_of(request)? }
        }
        Payload::Rename(grpc::RenamePayload { request, name }) => {
            M::Rename { name, request: id_of(request)? }
        }
    })
}

/// `None` = nobody: librbd says so by zeros.
fn client_to_grpc(client: ClientId) -> Option<grpc::ClientId> {
    let ClientId { gid, handle } = client;
    (client != ClientId::default()).then_some(grpc::ClientId { gid, handle })
}

fn client_to_ceph(grpc::ClientId { gid, handle }: grpc::ClientId) -> ClientId {
    ClientId { gid, handle }
}

/// `None`: a request of a client older than ids.
fn id_to_grpc(AsyncRequestId { client, request }: AsyncRequestId) -> Option<grpc::AsyncRequestId> {
    let ClientId { gid, handle } = client;
    let id = grpc::AsyncRequestId { gid, open_number: handle, request_number: request };
    (client != ClientId::default()).then_some(id)
}

fn id_to_ceph(id: grpc::AsyncRequestId) -> AsyncRequestId {
    let grpc::AsyncRequestId { gid, open_number, request_number } = id;
    AsyncRequestId { client: ClientId { gid, handle: open_number }, request: request_number }
}

/// librbd neither counts its attempts nor says which of its requests have ended.
fn header(request: AsyncRequestId) -> Option<grpc::RequestHeader> {
    let (id, handle) = (Some(id_to_grpc(request)?), request.client.handle);
    Some(grpc::RequestHeader { id, handle, attempt: 1, low_water_mark: 0 })
}

fn id_of(header: Option<grpc::RequestHeader>) -> Option<AsyncRequestId> {
    header?.id.map(id_to_ceph)
}
