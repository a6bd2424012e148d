use bytes::Bytes;
use errno::Errno;
use osd::op::{Op, Output};

use crate::common::World;

const OBJECT: &str = "greeting";

fn call(world: &mut World, method: &str, input: &'static str) -> Result<Bytes, Errno> {
    world.ceph_call(7, OBJECT, &format!("hello.{method}"), Bytes::from(input))
}

#[test]
fn hello_is_said_to_the_world_or_to_somebody() {
    let mut world = World::new();
    assert_eq!(call(&mut world, "say_hello", ""), Err(Errno::ENOENT), "nobody is there to say it");
    world.must(OBJECT, [Op::Create { exclusive: true }]);
    assert_eq!(call(&mut world, "say_hello", "").as_deref(), Ok(&b"Hello, world!"[..]));
    assert_eq!(call(&mut world, "say_hello", "you").as_deref(), Ok(&b"Hello, you!"[..]));
    assert_eq!(world.ceph_call(7, OBJECT, "hello.say_hello", vec![b'x'; 101].into()), Err(Errno::EINVAL));
}

#[test]
fn a_greeting_is_recorded_once_and_amplified() {
    let mut world = World::new();
    assert_eq!(call(&mut world, "record_hello", "you"), Ok(Bytes::new()));
    assert_eq!(call(&mut world, "record_hello", "me"), Err(Errno::EEXIST));
    assert_eq!(call(&mut world, "replay", "").as_deref(), Ok(&b"Hello, you!"[..]));
    assert_eq!(call(&mut world, "turn_it_to_11", "x"), Err(Errno::EINVAL));
    assert_eq!(call(&mut world, "turn_it_to_11", ""), Ok(Bytes::new()));
    assert_eq!(call(&mut world, "replay", "").as_deref(), Ok(&b"HELLO, YOU!"[..]));
    let Output::Xattrs { entries } = &world.must(OBJECT, [Op::ListXattrs {}]).results[0].output else {
        panic!("not a listing's result")
    };
    let names: Vec<_> = entries.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    assert_eq!(
        names,
        [r#"amplified_by: b"client.7 127.0.0.1:1/1""#, r#"said_by: b"client.7 127.0.0.1:1/1""#]
    );
}

#[test]
fn a_change_that_is_refused_is_not_made() {
    let mut world = World::new();
    assert_eq!(call(&mut world, "writes_dont_return_data", "x"), Err(Errno::EINVAL));
    assert_eq!(world.read(OBJECT, None), None);
    assert!(call(&mut world, "writes_dont_return_data", "").is_ok());
    assert_eq!(world.read(OBJECT, None), Some(Vec::new()));
}
