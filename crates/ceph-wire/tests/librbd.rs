//! Notifies of real librbd clients (16.2.15, 18.2.7), and those of Ceph's own encoder of an older version.

use std::collections::BTreeSet;

use ceph_wire::cls::SnapshotNamespace;
use ceph_wire::librbd::{AsyncRequestId, ClientId, NotifyMessage, ResponseMessage};
use ceph_wire::{from_bytes, to_bytes};

/// The client is (1, 2) and the request 3 in all of them.
const REAL: &[(&str, &str)] = &[
    ("AcquiredLock", "0701 14000000 00000000 CLIENT"),
    ("ReleasedLock", "0701 14000000 01000000 CLIENT"),
    ("RequestLock", "0701 15000000 02000000 CLIENT 00"),
    ("HeaderUpdate", "0701 04000000 03000000"),
    ("AsyncProgress", "0701 2c000000 04000000 CLIENT REQUEST 0100000000000000 0a00000000000000"),
    ("AsyncComplete", "0701 20000000 05000000 CLIENT REQUEST 00000000"),
    ("Flatten", "0701 1c000000 06000000 CLIENT REQUEST"),
    ("Resize", "0701 25000000 07000000 0000900000000000 CLIENT REQUEST 01"),
    (
        "SnapCreate",
        "0701 33000000 08000000 01000000 61 0101 04000000 00000000 CLIENT REQUEST 0000000000000000",
    ),
    ("SnapRemove", "0701 2e000000 09000000 04000000 736e6170 0101 04000000 00000000 CLIENT REQUEST"),
    ("RebuildObjectMap", "0701 1c000000 0a000000 CLIENT REQUEST"),
    (
        "SnapRename",
        "0701 3d000000 0b000000 0100000000000000 0b000000 736e61702d72656e616d65 0101 04000000 00000000
         CLIENT REQUEST",
    ),
    ("SnapProtect", "0701 2e000000 0c000000 04000000 736e6170 0101 04000000 00000000 CLIENT REQUEST"),
    ("SnapUnprotect", "0701 2e000000 0d000000 04000000 736e6170 0101 04000000 00000000 CLIENT REQUEST"),
    ("Rename", "0701 28000000 0e000000 08000000 6e65775f6e616d65 CLIENT REQUEST"),
    ("UpdateFeatures", "0701 25000000 0f000000 1800000000000000 00 CLIENT REQUEST"),
    ("Sparsify", "0701 24000000 11000000 CLIENT REQUEST 0010000000000000"),
    ("Quiesce", "0701 1c000000 12000000 CLIENT REQUEST"),
    ("Unquiesce", "0701 1c000000 13000000 CLIENT REQUEST"),
    ("MetadataUpdate", "0701 27000000 14000000 01000000 6b 01 01000000 76 CLIENT REQUEST"),
];

const REQUEST: AsyncRequestId = AsyncRequestId { client: ClientId { gid: 1, handle: 2 }, request: 3 };

fn real(text: &str) -> Vec<u8> {
    let text = text.replace("CLIENT", "0100000000000000 0200000000000000");
    unhex(&text.replace("REQUEST", "0300000000000000"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn real_notifies_are_read_and_written_again() {
    for (kind, text) in REAL {
        let bytes = real(text);
        let message: NotifyMessage = from_bytes(&bytes).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((message.kind(), &to_bytes(&message)[..]), (*kind, &bytes[..]));
    }
    let seen: BTreeSet<_> = REAL.iter().map(|(kind, _)| *kind).chain(["Migrate"]).collect();
    assert_eq!(seen, NotifyMessage::KINDS.iter().copied().collect(), "every kind has its example");
}

#[test]
fn the_fields_of_a_notify_are_where_real_clients_put_them() {
    let read = |index: usize| from_bytes::<NotifyMessage>(&real(REAL[index].1));
    assert_eq!(read(7), Ok(NotifyMessage::Resize { size: 9 << 20, request: REQUEST, allow_shrink: true }));
    let (name, namespace) = ("snap-rename".to_owned(), SnapshotNamespace::User);
    assert_eq!(read(11), Ok(NotifyMessage::SnapRename { snap_id: 1, name, namespace, request: REQUEST }));
    let (key, value) = ("k".to_owned(), Some("v".to_owned()));
    assert_eq!(read(19), Ok(NotifyMessage::MetadataUpdate { key, value, request: REQUEST }));
}

/// Version 6 has no request in those that a client of Octopus does not forward.
#[test]
fn notifies_of_octopus_are_read() {
    let mut kinds = BTreeSet::new();
    for line in include_str!("golden/class-structs.txt").lines() {
        let Some((_, hex)) = line.split_once("NotifyMessage ") else { continue };
        let message: NotifyMessage =
            from_bytes(&unhex(hex)).unwrap_or_else(|error| panic!("{line}: {error}"));
        if let NotifyMessage::SnapCreate { name, request, flags, .. } = &message {
            assert_eq!((name.as_str(), *request, *flags), ("foo", AsyncRequestId::default(), 0));
        }
        kinds.insert(message.kind());
    }
    assert_eq!(kinds.len(), 17);
}

#[test]
fn an_unknown_kind_is_refused_by_its_number() {
    let error = from_bytes::<NotifyMessage>(&unhex("0701 04000000 63000000")).expect_err("there is no 99");
    assert_eq!(error.to_string(), "NotifyMessage: 99 means nothing here");
}

#[test]
fn an_answer_is_that_of_a_real_client() {
    let bytes = unhex("0101 04000000 feffffff");
    assert_eq!(from_bytes(&bytes), Ok(ResponseMessage { result: -2 }));
    assert_eq!(to_bytes(&ResponseMessage { result: -2 }), bytes);
}
