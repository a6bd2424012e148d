//! The translation between the doors, fuzzed.

use bytes::Bytes;
use ceph_wire::from_bytes;
use ceph_wire::librbd::{AsyncRequestId, ClientId, NotifyMessage, ResponseMessage};
use fuzz::{Decoder, Room, unhex};
use osd::op::Door;
use prost::Message;
use proto::rbd::v1 as grpc;

use super::{answered, heard, notifies};

const HEADER: &str = "rbd_header.1";

/// Of protobuf's structs, which are larger than what librbd writes.
const TRANSLATED: Room = Room { per_byte: 64, base: 64 << 10 };

/// What is known at the other door says the same when it comes back, and what is not is known nowhere.
fn is_understood_by_grpc(bytes: &[u8]) -> bool {
    let there = heard(HEADER, Door::Ceph, Door::Grpc, Bytes::copy_from_slice(bytes));
    let message = grpc::NotifyMessage::decode(there.clone()).expect("it is a message, whatever it says");
    let back = heard(HEADER, Door::Grpc, Door::Ceph, there.clone());
    if message.payload.is_none() {
        assert!(back == notifies::UNKNOWN_TO_CEPH || bytes.is_empty());
        return false;
    }
    // Nobody cannot own a lock or want it, at the door where it would be said without a name.
    if back != notifies::UNKNOWN_TO_CEPH {
        from_bytes::<NotifyMessage>(&back).expect("librbd understands it");
        assert_eq!(heard(HEADER, Door::Ceph, Door::Grpc, back), there);
    }
    true
}

fn is_understood_by_librbd(bytes: &[u8]) -> bool {
    let there = heard(HEADER, Door::Grpc, Door::Ceph, Bytes::copy_from_slice(bytes));
    if there.is_empty() || there == notifies::UNKNOWN_TO_CEPH {
        return false;
    }
    from_bytes::<NotifyMessage>(&there).expect("librbd understands it");
    let back = heard(HEADER, Door::Ceph, Door::Grpc, there.clone());
    let message = grpc::NotifyMessage::decode(back.clone()).expect("it is a message, whatever it says");
    // As above.
    if message.payload.is_some() {
        let again = heard(HEADER, Door::Grpc, Door::Ceph, back);
        assert!(
            again == there || again == notifies::UNKNOWN_TO_CEPH,
            "{again:?} is neither {there:?} nor nothing"
        );
    }
    true
}

/// An ack without bytes stays one, one that means nothing means nothing.
fn is_answer(from: Door, to: Door, bytes: &[u8]) -> bool {
    let payload = Bytes::copy_from_slice(bytes);
    let ack = |door, payload| osd::Ack { gid: 4, cookie: 7, door, payload };
    let there = answered(HEADER, to, &ack(from, payload));
    assert_eq!(there.is_empty(), bytes.is_empty());
    let is_known = |door, bytes: &Bytes| match door {
        Door::Ceph => from_bytes::<ResponseMessage>(bytes).is_ok(),
        Door::Grpc => grpc::ResponseMessage::decode(bytes.clone()).is_ok(),
    };
    if there.is_empty() || !is_known(to, &there) {
        return false;
    }
    let back = answered(HEADER, from, &ack(to, there.clone()));
    assert!(is_known(from, &back));
    assert_eq!(answered(HEADER, to, &ack(from, back)), there);
    true
}

/// What librbd was heard to say.
fn said_by_librbd() -> Vec<Vec<u8>> {
    let structs = include_str!("../../../ceph-wire/tests/golden/class-structs.txt").lines();
    let old = structs.filter_map(|line| line.split_once("NotifyMessage ")).map(|(_, hex)| unhex(hex));
    let request = AsyncRequestId { client: ClientId { gid: 1, handle: 2 }, request: 3 };
    let progress = NotifyMessage::AsyncProgress { request, offset: 1, total: 10 };
    let resize = NotifyMessage::Resize { size: 9 << 20, request, allow_shrink: true };
    let rename = NotifyMessage::Rename { name: "new_name".to_owned(), request };
    let all =
        [progress, resize, rename, NotifyMessage::RequestLock { client: request.client, is_forced: true }];
    old.chain(all.iter().map(|message| ceph_wire::to_bytes(message).to_vec())).collect()
}

#[test]
fn fuzz_decoders_of_the_translation() {
    let said = said_by_librbd();
    let there = said.iter().map(|bytes| heard(HEADER, Door::Ceph, Door::Grpc, bytes.clone().into()).to_vec());
    let there: Vec<_> = there.collect();
    let acks = [0, -22].map(|result| ceph_wire::to_bytes(&ResponseMessage { result }).to_vec());
    let responder = Some(grpc::ClientId { gid: 4, handle: 7 });
    let answer =
        grpc::ResponseMessage { result: -22, responder, reason: "why".to_owned(), unrecorded: false };
    let decoders = vec![
        Decoder::new("notify_to_grpc", TRANSLATED, is_understood_by_grpc).with_examples(said),
        Decoder::new("notify_to_ceph", TRANSLATED, is_understood_by_librbd).with_examples(there),
        Decoder::new("ack_to_grpc", TRANSLATED, |bytes| is_answer(Door::Ceph, Door::Grpc, bytes))
            .with_examples(acks),
        Decoder::new("ack_to_ceph", TRANSLATED, |bytes| is_answer(Door::Grpc, Door::Ceph, bytes))
            .with_examples([answer.encode_to_vec()]),
    ];
    fuzz::play("across", decoders, &[], "");
}
