//! Every decoder of this crate, fuzzed. Its corpus are the bytes of real clusters that the tests have, and values drawn for it.

use bytes::Bytes;
use fuzz::{Decoder, Room, reread, unhex};

use crate::cls::{BitVectorLayout, ObjectState};
use crate::properties::{every_open_type, every_type};
use crate::sample::{Draw, Sample};
use crate::{EntityAddr, Reader, Wire, to_bytes};

/// Values that are drawn for each type.
const EXAMPLES: u8 = 24;

fn is_read<T: Wire>(bytes: &[u8]) -> bool {
    let take = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        T::take(&mut reader).ok().map(|value| (value, reader.left().len()))
    };
    reread(bytes, take, |value| to_bytes(value).to_vec())
}

fn examples<T: Wire + Sample>() -> impl Iterator<Item = Vec<u8>> {
    let drawn = |seed: u8| -> Vec<u8> { (0..250).map(|at: u8| at.wrapping_mul(seed) ^ seed).collect() };
    (0..EXAMPLES).map(move |seed| to_bytes(&T::sample(&mut Draw(&drawn(seed)))).to_vec())
}

/// What a real cluster's clients, daemons and tools wrote.
fn corpus() -> Vec<Vec<u8>> {
    let files = [
        &include_bytes!("../tests/golden/osdmap.bin")[..],
        include_bytes!("../tests/golden/monmap.bin"),
        include_bytes!("../tests/golden/crush.bin"),
    ];
    let structs = include_str!("../tests/golden/class-structs.txt").lines();
    let structs = structs.filter_map(|line| line.rsplit_once(' ')).map(|(_, hex)| unhex(hex));
    let calls = include_str!("../tests/golden/class-calls.txt").lines().filter(|line| !line.starts_with('#'));
    let calls = calls.flat_map(|line| line.split(' ').filter_map(|field| field.split_once('=')));
    files.map(<[u8]>::to_vec).into_iter().chain(structs).chain(calls.map(|(_, hex)| unhex(hex))).collect()
}

/// The first entries of a stored object map, and the last ones, changed.
fn is_map_changed(bytes: &[u8]) -> bool {
    let Ok(layout) = BitVectorLayout::read(bytes) else { return false };
    let (entries, _) = (layout.entries(), layout.stored_bytes());
    if entries == 0 {
        return true;
    }
    for range in [0..1, entries - 1..entries] {
        let window = layout.window(range.clone());
        assert!(window.first <= range.start && window.data.start < window.data.end);
        let part = |range: &std::ops::Range<u64>| {
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            &bytes[at(range.start)..at(range.end)]
        };
        if let Ok(mut entries) = window.read(part(&window.data), part(&window.checksums)) {
            entries.set(range.start - window.first, ObjectState::Exists);
            window.write(entries);
        }
    }
    true
}

macro_rules! decoders {
    ($($name:ident: $type:ty;)*) => {
        [$(Decoder::new(stringify!($name), Room::DECODED, is_read::<$type>).with_examples(examples::<$type>()),)*]
    };
}

#[test]
fn fuzz_decoders() {
    let mut decoders: Vec<Decoder<'_>> = every_type!(decoders).into();
    decoders.extend(every_open_type!(decoders));
    decoders.extend([
        Decoder::new("texts", Room::DECODED, is_read::<Vec<String>>),
        Decoder::new("entries", Room::DECODED, is_read::<std::collections::BTreeMap<Bytes, Bytes>>),
        Decoder::new("stored_object_map", Room::DECODED, is_map_changed),
        Decoder::new("address_as_text", Room::DECODED, |bytes| {
            std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<EntityAddr>().is_ok())
        })
        .with_examples(["v2:1.2.3.4:5/6", "[::1]:0/9", "1.2.3.4"].map(|text| text.as_bytes().to_vec())),
    ]);
    fuzz::play("ceph-wire", decoders, &corpus(), include_str!("../tests/fuzz-regressions.txt"));
}
