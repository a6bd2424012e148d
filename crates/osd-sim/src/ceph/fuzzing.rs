//! What Ceph's clients ask of objects, fuzzed.

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, OsdOpRequest, code};
use ceph_wire::{Message, Payload as _, to_bytes};
use fuzz::{Decoder, Room, unhex};

use super::request::{Asked, What};

/// A name is kept in a place of its own, beside what it was read from.
const OF_REQUEST: Room = Room { per_byte: 128, base: 64 << 10 };

/// `rados put obj1` of 100,000 bytes.
const REAL: &str = "010112000000 01 0100000000000000 1f000000 ffffffff ff
    ffdef86c 09000000 24004000
    020215000000 000000000000000000 0000000000000000 00000000
    000000000000000000000000000000000000000000000000 00000000 5fc4096b 5b491a26
    06031c000000 0100000000000000 ffffffff 00000000 00000000 ffffffffffffffff
    04000000 6f626a31 0100
    0222 00000000 0000000000000000 a086010000000000 0000000000000000 00000000 a0860100
    feffffffffffffff 0000000000000000 00000000 00000000 fffffdffbdcf013f";

/// Every op that there is.
const CODES: &[u16] = &[
    code::READ,
    code::STAT,
    code::SPARSE_READ,
    code::NOTIFY,
    code::NOTIFY_ACK,
    code::ASSERT_VER,
    code::LIST_WATCHERS,
    code::LIST_SNAPS,
    code::OMAP_GET_KEYS,
    code::OMAP_GET_VALS,
    code::OMAP_GET_HEADER,
    code::OMAP_GET_VALS_BY_KEYS,
    code::OMAP_CMP,
    code::CHECKSUM,
    code::CMPEXT,
    code::GETXATTR,
    code::GETXATTRS,
    code::CMPXATTR,
    code::CALL,
    code::PGNLS,
    code::WRITE,
    code::WRITEFULL,
    code::TRUNCATE,
    code::ZERO,
    code::DELETE,
    code::APPEND,
    code::CREATE,
    code::ROLLBACK,
    code::WATCH,
    code::OMAP_SET_VALS,
    code::OMAP_SET_HEADER,
    code::OMAP_CLEAR,
    code::OMAP_RM_KEYS,
    code::COPY_FROM,
    code::SET_ALLOC_HINT,
    code::WRITESAME,
    code::OMAP_RM_KEY_RANGE,
    code::COPY_FROM2,
    code::SETXATTR,
    code::RMXATTR,
    code::TMAPUP,
];

fn is_asked(front: Bytes, data: Bytes) -> bool {
    let (kind, version, compat) = (OsdOpRequest::KIND, OsdOpRequest::VERSION, OsdOpRequest::COMPAT);
    let asked = Asked::read(&Message { tid: 1, kind, version, compat, front, data });
    asked.is_ok_and(|asked| match asked.what {
        What::Vector(vector) => {
            assert_eq!(vector.ops.len(), asked.request.ops.len());
            true
        }
        What::List(_) => true,
        What::Refused(_) => false,
    })
}

/// A whole message: two bytes that count its front, the front, and its data.
fn is_message(bytes: &[u8]) -> bool {
    let [low, high, rest @ ..] = bytes else { return false };
    let front = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    is_asked(Bytes::copy_from_slice(&rest[..front]), Bytes::copy_from_slice(&rest[front..]))
}

/// One op: a byte that chooses its code, its argument, and its data.
fn is_op(bytes: &[u8]) -> bool {
    const ARGUMENT_BYTES: usize = 28;
    let [number, rest @ ..] = bytes else { return false };
    let Some((argument, data)) = rest.split_first_chunk::<ARGUMENT_BYTES>() else { return false };
    let code = CODES[usize::from(*number) % CODES.len()];
    let op = OsdOp { code, flags: 0, argument: *argument, data_bytes: data.len() as u32 };
    let mut request: OsdOpRequest = ceph_wire::from_bytes(&unhex(REAL)).expect("it is real");
    request.ops = vec![op];
    is_asked(to_bytes(&request), Bytes::copy_from_slice(data))
}

/// Of each code: with nothing, with numbers, and with a text, a number and a text.
fn ops() -> impl Iterator<Item = Vec<u8>> {
    let texts = to_bytes(&("key".to_owned(), 3_u64, "prefix".to_owned()));
    let pairs = to_bytes(&vec![("key".to_owned(), "value".to_owned())]);
    let names = to_bytes(&vec!["key".to_owned()]);
    let datas = [Bytes::new(), vec![0; 80].into(), texts, pairs, names];
    (0..CODES.len() as u8).flat_map(move |number| {
        let op = |data: &Bytes, argument: u8| [&[number][..], &[argument; 28], data].concat();
        datas.iter().flat_map(|data| [op(data, 0), op(data, 1)]).collect::<Vec<_>>()
    })
}

#[test]
fn fuzz_decoders_of_requests() {
    let mut short: OsdOpRequest = ceph_wire::from_bytes(&unhex(REAL)).expect("it is real");
    short.ops[0].data_bytes = 10;
    let front = to_bytes(&short);
    let message = [&(front.len() as u16).to_le_bytes()[..], &front, &[7; 10]].concat();
    let decoders = vec![
        Decoder::new("request", OF_REQUEST, is_message).with_examples([message]),
        Decoder::new("op", OF_REQUEST, is_op).with_examples(ops()),
    ];
    fuzz::play("osd-sim", decoders, &[], "");
}
