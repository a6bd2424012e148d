//! What classes have stored in objects, when somebody else has written over it.

use bytes::Bytes;
use fuzz::{Decoder, unhex};
use osd::op::{Dialect, Op, Output};

use crate::methods::{CALLS, Method, OF_METHOD, all, answer, lived};

pub(crate) const NAMES: [&str; 3] = ["stored:omap", "stored:xattr", "stored:data"];

const STRUCTS: &str = include_str!("../../../ceph-wire/tests/golden/class-structs.txt");
const LOCK: &str = "lock.rbd_lock";

/// Numbers that choose the place and the method, and the value that is put there before the method is called.
fn chosen<'a, T>(
    bytes: &'a [u8],
    places: &'a [T],
    methods: &'a [Method],
) -> Option<(&'a T, &'a Method, Bytes)> {
    let [place, method, value @ ..] = bytes else { return None };
    let place = &places[usize::from(*place) % places.len()];
    Some((place, &methods[usize::from(*method) % methods.len()], Bytes::copy_from_slice(value)))
}

/// What is stored is understood, or its keeper says that it is not.
fn is_understood(answered: Result<(), osd::OpError>) -> bool {
    answered.map_or_else(|error| !error.text.contains("does not decode"), |()| true)
}

/// The value with every method.
fn with_all(place: usize, methods: &[Method], value: &[u8]) -> Vec<Vec<u8>> {
    (0..methods.len()).map(|method| [&[place as u8, method as u8], value].concat()).collect()
}

#[test]
fn fuzz_decoders_of_what_is_stored() {
    let (mut world, objects) = lived();
    let methods = all();
    assert!(methods.len() <= 256, "a byte chooses one");
    let mut entries = Vec::new();
    for object in &objects {
        let list = Op::OmapList { after: "".into(), prefix: "".into(), max: 100 };
        let Ok(listed) = world.ops(object, [list]) else { continue };
        let Output::Omap { entries: found, .. } = &listed.results[0].output else { panic!("no listing") };
        entries.extend(found.iter().map(|(key, value)| ((object.clone(), key.clone()), value.to_vec())));
    }
    assert!((20..=256).contains(&entries.len()), "{} entries", entries.len());
    let every_third = |place: usize, (_, value): &(_, Vec<u8>)| {
        with_all(place, &methods, value).into_iter().skip(place % 7).step_by(7)
    };
    let of_omap: Vec<Vec<u8>> =
        entries.iter().enumerate().flat_map(|(place, entry)| every_third(place, entry)).collect();
    let places: Vec<(String, store::Name)> = entries.into_iter().map(|(place, _)| place).collect();
    let omap = Decoder::new(NAMES[0], OF_METHOD, |bytes| {
        let Some(((object, key), method, value)) = chosen(bytes, &places, &methods) else { return false };
        let set = Op::OmapSet { entries: [(key.clone(), value)].into() };
        is_understood(answer(&world, object, vec![set, method.of(&method.usual_input())]))
    })
    .with_examples(of_omap);

    let of_lock: Vec<Method> = methods.iter().filter(|method| method.class == "lock").cloned().collect();
    let locks = STRUCTS.lines().filter_map(|line| line.strip_prefix("rados::cls::lock::lock_info_t "));
    let of_xattr: Vec<Vec<u8>> = locks.flat_map(|hex| with_all(0, &of_lock, &unhex(hex))).collect();
    let xattr = Decoder::new(NAMES[1], OF_METHOD, |bytes| {
        let Some((_, method, value)) = chosen(bytes, &objects, &of_lock) else { return false };
        let input = match method.dialect {
            Dialect::Ceph => method.usual_input(),
            Dialect::Protobuf => b"\x0a\x08rbd_lock".to_vec(),
        };
        let set = Op::SetXattr { name: LOCK.into(), value };
        is_understood(answer(&world, "object", vec![set, method.of(&input)]))
    })
    .with_examples(of_xattr);

    let maps = STRUCTS.lines().filter_map(|line| line.strip_prefix("BitVector<2> ")).map(unhex);
    let headers = CALLS.lines().filter(|line| line.contains("!write_full"));
    let headers = headers.filter_map(|line| line.rsplit_once(' ')).map(|(_, hex)| unhex(hex));
    let of_data: Vec<Vec<u8>> = maps.chain(headers).flat_map(|data| with_all(0, &methods, &data)).collect();
    let data = Decoder::new(NAMES[2], OF_METHOD, |bytes| {
        let Some((_, method, data)) = chosen(bytes, &objects, &methods) else { return false };
        let ops = vec![Op::WriteFull { data }, method.of(&method.usual_input())];
        is_understood(answer(&world, "object", ops))
    })
    .with_examples(of_data);
    fuzz::play("osd:stored", vec![omap, xattr, data], &[], &crate::regressions(&NAMES.map(str::to_owned)));
}
