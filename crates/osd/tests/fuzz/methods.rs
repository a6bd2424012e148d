//! Inputs of class methods.

use bytes::Bytes;
use fuzz::{Decoder, Room, unhex};
use osd::op::{Dialect, Op, Terms, Vector};
use osd::vector::{Caller, Subject, evaluate, names};
use osd::{Limits, Millis, OpError};

use crate::common::{self, World};

pub(crate) const CALLS: &str = include_str!("../golden/rbd-class-calls.txt");
/// Of every method that a real client was seen to call: class.method, input, output, object.
const EACH: &str = include_str!("../../../ceph-wire/tests/golden/class-calls.txt");
const STRUCTS: &str = include_str!("../../../ceph-wire/tests/golden/class-structs.txt");

/// A method may answer with all that its object has, which is small here.
pub(crate) const OF_METHOD: Room = Room { per_byte: 64, base: 1 << 20 };

/// Bytes of one object here.
const OBJECT_BYTES_MAX: u64 = 64 << 10;

#[derive(Clone)]
pub(crate) struct Method {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
}

impl Method {
    pub(crate) fn of(&self, input: &[u8]) -> Op {
        let Self { class, name, dialect } = self.clone();
        Op::Exec { class, method: name, dialect, input: Bytes::copy_from_slice(input) }
    }

    fn decoder_name(&self) -> String {
        let dialect = if self.dialect == Dialect::Ceph { "ceph" } else { "protobuf" };
        format!("{dialect}:{}.{}", self.class, self.name)
    }

    /// What real clients called it with, and on what.
    fn calls(&self) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        let start = format!("{}.{} in=", self.class, self.name);
        let each = EACH.lines().filter_map(move |line| line.strip_prefix(&start)?.split(' ').next());
        let fields = lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields
            .filter(|fields| fields[1] == self.name)
            .map(|fields| (fields[0], unhex(fields[2])))
            .chain(each.map(|input| ("", unhex(input))))
    }

    /// An input that it is likely to understand.
    pub(crate) fn usual_input(&self) -> Vec<u8> {
        let called = self.calls().next().filter(|_| self.dialect == Dialect::Ceph).map(|(_, input)| input);
        called.unwrap_or_else(|| if self.dialect == Dialect::Ceph { vec![0; 64] } else { Vec::new() })
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    CALLS.lines().filter(|line| !line.starts_with('#'))
}

/// Every class method in every dialect that it has.
pub(crate) fn all() -> Vec<Method> {
    let world = World::new();
    let of_objects = names().filter(|(_, subject)| *subject == Subject::Object);
    let methods = of_objects.filter_map(|(name, _)| {
        name.split_once('.').map(|(class, name)| (class.to_owned(), name.to_owned()))
    });
    let both = |(class, name): (String, String)| {
        [Dialect::Protobuf, Dialect::Ceph].map(|dialect| Method {
            class: class.clone(),
            name: name.clone(),
            dialect,
        })
    };
    let is_there = |method: &Method| match answer(&world, "object", vec![method.of(b"")]) {
        Err(error) => !error.text.contains("has no method"),
        Ok(()) => true,
    };
    methods.flat_map(both).filter(is_there).collect()
}

/// A world in which real clients have made images, snapshots and clones; and its objects.
pub(crate) fn lived() -> (World, Vec<String>) {
    let mut world = World::new();
    world.limits = Limits { object_bytes_max: OBJECT_BYTES_MAX, ..Limits::default() };
    world.terms = Terms::ceph();
    let mut objects = Vec::new();
    for fields in lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
        let op = match fields[1..] {
            ["!create"] => Op::Create { exclusive: true },
            ["!write_full", data] => Op::WriteFull { data: unhex(data).into() },
            // What is there is wanted.
            ["!remove"] => continue,
            [method, ..] if method.contains("remove") || method.contains("detach") => continue,
            [method, input, ..] => common::ceph_exec(&format!("rbd.{method}"), unhex(input).into()),
            _ => panic!("{fields:?} is no line of the file"),
        };
        // Some were refused there, too.
        let _ = world.ops(fields[0], [op]);
        if !objects.iter().any(|known| known == fields[0]) {
            objects.push(fields[0].to_owned());
        }
    }
    world.terms = Terms::default();
    (world, objects)
}

/// What a vector comes to, without a change to the world.
pub(crate) fn answer(world: &World, object: &str, ops: Vec<Op>) -> Result<(), OpError> {
    let vector: Vector = world.vector(object, ops);
    let pools = [(world.pool.name.clone(), world.pool.clone())].into();
    let (address, unix_ms) = ("127.0.0.1:0/1", common::STARTED_UNIX_MS);
    let caller =
        Caller { gid: 1, address, pools: &pools, watchers: &[], now: Millis(0), unix_ms, around: None };
    let evaluated = evaluate(&world.store, &world.limits, &world.pool, &caller, &vector);
    evaluated.map(drop).map_err(|refused| refused.error)
}

/// Of a number that chooses the object, and the input.
fn decoder<'a>(world: &'a World, objects: &'a [String], method: Method) -> Decoder<'a> {
    // Wherever, when it is not known.
    let place = |object: &str| objects.iter().position(|known| known == object).unwrap_or(0);
    let real = method.calls().map(|(object, input)| [&[place(object) as u8], &input[..]].concat());
    // In protobuf: a text, a number, and both.
    let made = [&b"\x0a\x01a"[..], b"\x08\x01", b"\x0a\x01a\x10\x01", b"\x08\x01\x12\x01a", b"", &[0; 300]];
    let made = (0..objects.len()).flat_map(|object| made.map(|input| [&[object as u8], input].concat()));
    let examples: Vec<Vec<u8>> = real.chain(made).collect();
    Decoder::new(method.decoder_name(), OF_METHOD, move |bytes| {
        let [object, input @ ..] = bytes else { return false };
        let answered = answer(world, &objects[usize::from(*object) % objects.len()], vec![method.of(input)]);
        answered.map_or_else(|error| !error.text.contains("the input does not decode"), |()| true)
    })
    .with_examples(examples)
}

pub(crate) fn decoder_names() -> Vec<String> {
    all().iter().map(Method::decoder_name).collect()
}

#[test]
fn fuzz_decoders_of_class_inputs() {
    let (world, objects) = lived();
    let decoders = all().into_iter().map(|method| decoder(&world, &objects, method)).collect();
    let structs = STRUCTS.lines().filter_map(|line| line.rsplit_once(' '));
    // Alone, and behind a text.
    let inputs =
        |(_, hex): (&str, &str)| [&b"\0"[..], b"\0\x01\0\0\0a"].map(|before| [before, &unhex(hex)].concat());
    let corpus: Vec<Vec<u8>> = structs.flat_map(inputs).collect();
    fuzz::play("osd:inputs", decoders, &corpus, &crate::regressions(&decoder_names()));
}
