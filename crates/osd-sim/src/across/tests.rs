use ceph_wire::librbd::{AsyncRequestId, ClientId, NotifyMessage, ResponseMessage};
use ceph_wire::{from_bytes, to_bytes};
use proptest::prelude::*;
use prost::Message;
use proto::rbd::v1 as grpc;
use proto::rbd::v1::notify_message::Payload;

use super::*;

const HEADER: &str = "rbd_header.1";
const CLIENT: &str = "0100000000000000 0200000000000000";
const REQUEST: &str = "0100000000000000 0200000000000000 0300000000000000";

/// What real librbd clients were heard to say (16.2.15, 18.2.7), and what it is at the other door. C is the client (1, 2), R his request 3.
fn said_by_librbd() -> Vec<(Bytes, Option<Payload>)> {
    let client_id = Some(grpc::ClientId { gid: 1, handle: 2 });
    let id = Some(grpc::AsyncRequestId { gid: 1, open_number: 2, request_number: 3 });
    let request = Some(grpc::RequestHeader { id, handle: 2, attempt: 1, low_water_mark: 0 });
    let reason = String::new();
    let snapshot = |name: &str| name.to_owned();
    [
        ("0701 14000000 00000000 C", Some(Payload::AcquiredLock(grpc::AcquiredLockPayload { client_id }))),
        ("0701 14000000 01000000 C", Some(Payload::ReleasedLock(grpc::ReleasedLockPayload { client_id }))),
        (
            "0701 15000000 02000000 C 00",
            Some(Payload::RequestLock(grpc::RequestLockPayload { client_id, force: false })),
        ),
        ("0701 04000000 03000000", Some(Payload::HeaderUpdate(grpc::HeaderUpdatePayload {}))),
        (
            "0701 2c000000 04000000 R 0100000000000000 0a00000000000000",
            Some(Payload::AsyncProgress(grpc::AsyncProgressPayload { id, offset: 1, total: 10 })),
        ),
        (
            "0701 20000000 05000000 R 00000000",
            Some(Payload::AsyncComplete(grpc::AsyncCompletePayload { id, result: 0, reason })),
        ),
        ("0701 1c000000 06000000 R", Some(Payload::Flatten(grpc::FlattenPayload { request }))),
        (
            "0701 25000000 07000000 0000900000000000 R 01",
            Some(Payload::Resize(grpc::ResizePayload { request, size: 9 << 20, allow_shrink: true })),
        ),
        (
            "0701 33000000 08000000 01000000 61 0101 04000000 00000000 R 0100000000000000",
            Some(Payload::SnapCreate(grpc::SnapCreatePayload { request, name: snapshot("a") })),
        ),
        (
            "0701 2e000000 09000000 04000000 736e6170 0101 04000000 00000000 R",
            Some(Payload::SnapRemove(grpc::SnapRemovePayload { request, name: snapshot("snap") })),
        ),
        (
            "0701 28000000 0e000000 08000000 6e65775f6e616d65 R",
            Some(Payload::Rename(grpc::RenamePayload { request, name: "new_name".to_owned() })),
        ),
        ("0701 1c000000 0a000000 R", None),
        (
            "0701 3d000000 0b000000 0100000000000000 0b000000 736e61702d72656e616d65 0101 04000000 00000000 R",
            None,
        ),
        ("0701 2e000000 0c000000 04000000 736e6170 0101 04000000 00000000 R", None),
        ("0701 2e000000 0d000000 04000000 736e6170 0101 04000000 00000000 R", None),
        ("0701 25000000 0f000000 1800000000000000 00 R", None),
        ("0701 1c000000 10000000 R", None),
        ("0701 24000000 11000000 R 0010000000000000", None),
        ("0701 1c000000 12000000 R", None),
        ("0701 1c000000 13000000 R", None),
        ("0701 27000000 14000000 01000000 6b 01 01000000 76 R", None),
    ]
    .map(|(text, known)| (unhex(&text.replace('C', CLIENT).replace('R', REQUEST)), known))
    .into()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn to_grpc(payload: &Bytes) -> Bytes {
    heard(HEADER, Door::Ceph, Door::Grpc, payload.clone())
}

fn to_ceph(payload: &Bytes) -> Bytes {
    heard(HEADER, Door::Grpc, Door::Ceph, payload.clone())
}

fn encoded(payload: Payload) -> Bytes {
    grpc::NotifyMessage { payload: Some(payload) }.encode_to_vec().into()
}

/// Of every kind; those without a counterpart stay in a field that nobody knows.
#[test]
fn what_librbd_says_is_heard_by_grpc_clients() {
    let said = said_by_librbd();
    for (bytes, known) in &said {
        let heard = to_grpc(bytes);
        let message = grpc::NotifyMessage::decode(heard.clone()).expect("it is a message");
        assert_eq!(&message.payload, known);
        assert!(!heard.is_empty(), "nothing at all would be a HeaderUpdate");
        if known.is_some() {
            let number = from_bytes::<NotifyMessage>(bytes).expect("it is real").number();
            assert_eq!(
                u32::from(heard[0] >> 3),
                number + 1,
                "fault rules take both for one kind: {message:?}"
            );
        }
    }
    let kinds = said.iter().map(|(bytes, _)| from_bytes::<NotifyMessage>(bytes).expect("it is real").kind());
    let kinds: std::collections::BTreeSet<_> = kinds.collect();
    assert_eq!(kinds, NotifyMessage::KINDS.iter().copied().collect(), "every kind has its example");
}

#[test]
fn what_grpc_clients_say_is_what_librbd_would_have_said() {
    for (bytes, known) in said_by_librbd() {
        let expected = if known.is_some() { bytes } else { notifies::UNKNOWN_TO_CEPH };
        let said = known.map_or_else(|| Bytes::from_static(b"\xc2\x3e\0"), encoded);
        assert_eq!(to_ceph(&said), expected);
    }
}

/// Reasons, counts of attempts and marks have no place there; the watch is a part of the id.
#[test]
fn what_librbd_cannot_say_is_left_out() {
    let id = Some(grpc::AsyncRequestId { gid: 1, open_number: 2, request_number: 3 });
    let (result, reason) = (-22, "why".to_owned());
    let complete = encoded(Payload::AsyncComplete(grpc::AsyncCompletePayload { id, result, reason }));
    let request = AsyncRequestId { client: ClientId { gid: 1, handle: 2 }, request: 3 };
    assert_eq!(from_bytes(&to_ceph(&complete)), Ok(NotifyMessage::AsyncComplete { request, result }));
    let request = Some(grpc::RequestHeader { id, handle: 94, attempt: 7, low_water_mark: 3 });
    let flatten = to_grpc(&to_ceph(&encoded(Payload::Flatten(grpc::FlattenPayload { request }))));
    let request = Some(grpc::RequestHeader { id, handle: 2, attempt: 1, low_water_mark: 0 });
    assert_eq!(flatten, encoded(Payload::Flatten(grpc::FlattenPayload { request })));
}

/// A client that does not say who it is says so by zeros there, by leaving it out here; a request without an id cannot be
/// answered, and is nothing that is known.
#[test]
fn nobody_is_nobody_at_the_other_door() {
    let nobody = to_bytes(&NotifyMessage::ReleasedLock { client: ClientId::default() });
    let released = encoded(Payload::ReleasedLock(grpc::ReleasedLockPayload { client_id: None }));
    assert_eq!((to_grpc(&nobody), to_ceph(&released)), (released, nobody));
    let old = to_bytes(&NotifyMessage::Flatten { request: AsyncRequestId::default() });
    let heard = grpc::NotifyMessage::decode(to_grpc(&old)).expect("it is a message");
    assert_eq!(heard.payload, None);
    let without_id = encoded(Payload::Flatten(grpc::FlattenPayload { request: None }));
    assert_eq!(to_ceph(&without_id), notifies::UNKNOWN_TO_CEPH);
}

#[test]
fn what_does_not_decode_is_unknown_at_the_other_door_and_nothing_stays_nothing() {
    for garbage in [&b"\xff"[..], b"hello", b"\x07\x01\x04\0\0\0\x0f"] {
        let garbage = Bytes::from_static(garbage);
        assert_eq!(to_ceph(&garbage), notifies::UNKNOWN_TO_CEPH, "{garbage:?}");
        let heard = grpc::NotifyMessage::decode(to_grpc(&garbage)).expect("it is a message");
        assert_eq!(heard.payload, None, "{garbage:?}");
    }
    assert_eq!((to_ceph(&Bytes::new()), to_grpc(&Bytes::new())), (Bytes::new(), Bytes::new()));
}

fn ack(door: Door, payload: Bytes) -> osd::Ack {
    osd::Ack { gid: 4, cookie: 7, door, payload }
}

/// 0101 04000000 and a number, as captured.
#[test]
fn an_ack_says_its_number_at_either_door() {
    for result in [0, -30, -95] {
        let ceph = to_bytes(&ResponseMessage { result });
        assert_eq!(ceph[..6], [1, 1, 4, 0, 0, 0]);
        let responder = Some(grpc::ClientId { gid: 4, handle: 7 });
        let bare = grpc::ResponseMessage { result, responder, unrecorded: true, ..Default::default() };
        let grpc = grpc::ResponseMessage { reason: "why".to_owned(), unrecorded: false, ..bare.clone() };
        let there = answered(HEADER, Door::Ceph, &ack(Door::Grpc, grpc.encode_to_vec().into()));
        let here = answered(HEADER, Door::Grpc, &ack(Door::Ceph, ceph.clone()));
        assert_eq!((there, here), (ceph, bare.encode_to_vec().into()), "{result}");
    }
}

#[test]
fn an_empty_ack_stays_empty_and_one_that_does_not_decode_does_not_decode() {
    for (from, to) in [(Door::Ceph, Door::Grpc), (Door::Grpc, Door::Ceph)] {
        assert_eq!(answered(HEADER, to, &ack(from, Bytes::new())), Bytes::new());
        let garbage = answered(HEADER, to, &ack(from, Bytes::from_static(b"\x07")));
        assert!(grpc::ResponseMessage::decode(garbage.clone()).is_err());
        assert!(from_bytes::<ResponseMessage>(&garbage).is_err());
    }
}

#[test]
fn bytes_pass_as_they_are_between_clients_of_one_door_and_on_other_objects() {
    let payload = to_bytes(&NotifyMessage::HeaderUpdate {});
    for door in [Door::Grpc, Door::Ceph] {
        assert_eq!(heard(HEADER, door, door, payload.clone()), payload);
        assert_eq!(answered(HEADER, door, &ack(door, payload.clone())), payload);
    }
    for object in ["rbd_children", "rbd_header", "my_rbd_header.1", ""] {
        assert_eq!(heard(object, Door::Ceph, Door::Grpc, payload.clone()), payload, "{object}");
        assert_eq!(answered(object, Door::Grpc, &ack(Door::Ceph, payload.clone())), payload, "{object}");
    }
}

/// Of a kind that both know; with the numbers and names that it is made of.
fn known(kind: usize, numbers: [u64; 5], result: i32, flag: bool, name: String) -> NotifyMessage {
    use NotifyMessage as M;
    let [gid, handle, request, offset, total] = numbers;
    let client = ClientId { gid: gid.max(1), handle };
    let request = AsyncRequestId { client, request };
    let namespace = ceph_wire::cls::SnapshotNamespace::User;
    match kind {
        0 => M::AcquiredLock { client },
        1 => M::ReleasedLock { client },
        2 => M::RequestLock { client, is_forced: flag },
        3 => M::HeaderUpdate {},
        4 => M::AsyncProgress { request, offset, total },
        5 => M::AsyncComplete { request, result },
        6 => M::Flatten { request },
        7 => M::Resize { size: offset, request, allow_shrink: flag },
        8 => M::SnapCreate { name, namespace, request, flags: notifies::SKIP_QUIESCE },
        9 => M::SnapRemove { name, namespace, request },
        _ => M::Rename { name, request },
    }
}

proptest! {
    #[test]
    fn what_both_know_comes_back_as_it_went(
        kind in 0..=10_usize, numbers: [u64; 5], result: i32, flag: bool, name in "\\PC{0,20}",
    ) {
        let there = to_bytes(&known(kind, numbers, result, flag, name));
        let here = to_grpc(&there);
        prop_assert_eq!(to_ceph(&here), there);
        prop_assert_eq!(to_grpc(&to_ceph(&here)), here);
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let (here, there) = (to_grpc(&bytes), to_ceph(&bytes));
        prop_assert!(grpc::NotifyMessage::decode(here).is_ok());
        prop_assert!(bytes.is_empty() || from_bytes::<NotifyMessage>(&there).is_ok() || there == notifies::UNKNOWN_TO_CEPH);
        for (from, to) in [(Door::Ceph, Door::Grpc), (Door::Grpc, Door::Ceph)] {
            let answer = answered(HEADER, to, &ack(from, bytes.clone()));
            prop_assert_eq!(answer.is_empty(), bytes.is_empty());
        }
    }
}
