//! Frames of any content arrive as they were sent, however they are cut, and no bytes do harm.

mod client;

use bytes::Bytes;
use messenger::{Broken, Decoder, Frame, Output, Tag, encode};
use proptest::prelude::*;

const BYTES_MAX: usize = 1 << 16;

fn segment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 1..300)]
}

/// The last segment is sent in pieces.
fn encoded(segments: &[Vec<u8>; 4]) -> Bytes {
    let mut out = Output::default();
    let [first, second, third, data] = segments.each_ref().map(Vec::as_slice);
    let (begin, end) = data.split_at(data.len() / 3);
    let pieces = [begin, end].map(Bytes::copy_from_slice);
    encode(Tag::Message, [first, second, third], &pieces, &mut out);
    client::joined(out)
}

/// What a preamble promises is not made room for before it arrives.
#[test]
fn room_grows_with_what_has_arrived() {
    const LENGTH: usize = 48 << 20;
    let sent = encoded(&[vec![], vec![], vec![], vec![7; LENGTH]]);
    let mut decoder = Decoder::default();
    let mut at = 100;
    decoder.push(&sent[..at]);
    assert_eq!(decoder.next_frame(LENGTH), Ok(None));
    while decoder.lacking_bytes() > 0 {
        let before = decoder.arrived_bytes();
        let room = decoder.room();
        let count = room.spare_capacity_mut().len();
        assert!(count > 0 && count <= 2 * (5 * before + (64 << 10)), "{count} bytes of room behind {before}");
        let count = count.min(sent.len() - at);
        room.extend_from_slice(&sent[at..at + count]);
        at += count;
    }
    let frame = decoder.next_frame(LENGTH).expect("it is whole").expect("it has arrived");
    assert_eq!(frame.segments[3].len(), LENGTH);
}

proptest! {
    #[test]
    fn a_frame_arrives_as_it_was_sent(segments: [Vec<u8>; 4], cut: usize) {
        let bytes = encoded(&segments);
        let cut = cut % bytes.len();
        let mut decoder = Decoder::default();
        decoder.push(&bytes[..cut]);
        prop_assert_eq!(decoder.next_frame(BYTES_MAX), Ok(None));
        decoder.push(&bytes[cut..]);
        let frame = Frame { tag: Tag::Message.number(), segments: segments.map(Bytes::from) };
        prop_assert_eq!(decoder.next_frame(BYTES_MAX), Ok(Some(frame)));
        prop_assert_eq!(decoder.arrived_bytes(), 0);
    }

    #[test]
    fn a_flipped_bit_is_seen(
        segments in [segment(), segment(), segment(), segment()], at: usize, bit in 0..8u32,
    ) {
        let mut bytes = encoded(&segments).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let read = decoder.next_frame(BYTES_MAX);
        let is_whole = matches!(&read, Ok(Some(frame)) if frame.segments != segments.clone().map(Bytes::from));
        prop_assert!(!is_whole, "byte {} of {}: {:?}", at, bytes.len(), read);
    }

    #[test]
    fn arbitrary_bytes_harm_nobody(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_frame(BYTES_MAX) {}
        let mut connection = client::open();
        connection.receive(&bytes);
        while let Ok(Some(_)) = connection.next_event() {}
        let mut connection = client::accepted();
        connection.receive(&bytes);
        while let Ok(Some(_)) = connection.next_event() {}
    }
}

#[test]
fn a_frame_that_was_given_up_is_skipped() {
    let mut bytes = encoded(&[b"header".to_vec(), b"front".to_vec(), Vec::new(), Vec::new()]).to_vec();
    let status = bytes.len() - 13;
    bytes[status] = 1;
    bytes.extend_from_slice(&encoded(&[b"next".to_vec(), Vec::new(), Vec::new(), Vec::new()]));
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    let next = decoder.next_frame(BYTES_MAX).map(|frame| frame.map(|frame| frame.segments[0].clone()));
    assert_eq!(next, Ok(Some(Bytes::from_static(b"next"))));
}

#[test]
fn a_frame_above_the_limit_is_refused_before_it_arrives() {
    let bytes = encoded(&[vec![0; 10], Vec::new(), Vec::new(), vec![0; 91]]);
    let mut decoder = Decoder::default();
    decoder.push(&bytes[..32]);
    assert_eq!(decoder.next_frame(100), Err(Broken::TooLarge { bytes: 101, max: 100 }));
}
