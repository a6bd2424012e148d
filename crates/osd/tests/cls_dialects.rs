//! Class methods by their two doors: the same state, in the messages of `proto/cls` and in Ceph's encoding.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{World, ceph_exec, exec_output};
use errno::Errno;
use osd::op::Op;
use osd::vector::mutates;
use proto::cls::rbd::v1::ImageId;

/// As `rbd create` of 16.2.15 was seen to send it, and as the id object was seen to hold it.
const SET_ID: &[u8] = b"\x0b\0\0\x001107ed6ad36";

#[test]
fn what_one_dialect_stores_the_other_reads() {
    let mut world = World::new();
    let create = Op::Create { exclusive: true };
    world.must("rbd_id.a", [create, ceph_exec("rbd.set_id", Bytes::from_static(SET_ID))]);
    assert_eq!(world.read("rbd_id.a", None).as_deref(), Some(SET_ID));
    let id = ImageId { id: "1107ed6ad36".into() };
    assert_eq!(world.call(1, "rbd_id.a", "rbd.get_id", &()), Ok(id.clone()));
    assert_eq!(world.call(1, "rbd_id.b", "rbd.set_id", &id), Ok(()));
    let evaluated = world.must("rbd_id.b", [ceph_exec("rbd.get_id", Bytes::new())]);
    assert_eq!(exec_output(&evaluated), SET_ID);
}

#[test]
fn a_method_has_a_door_for_each_dialect_that_it_is_called_in() {
    let mut world = World::new();
    world.must("h", [Op::Create { exclusive: true }]);
    assert_eq!(
        world.ceph_call(1, "h", "rbd.get_all_features", Bytes::new()),
        Ok(ceph_wire::to_bytes(&0xfff_u64))
    );
    assert_eq!(world.call(1, "h", "rbd.get_all_features", &()), Err::<(), _>(Errno::EOPNOTSUPP));
    assert_eq!(world.ceph_call(1, "h", "rbd.get_header", Bytes::new()), Err(Errno::EOPNOTSUPP));
    assert!(mutates(&[ceph_exec("rbd.set_id", Bytes::new())]));
    assert!(!mutates(&[ceph_exec("rbd.get_id", Bytes::new())]));
}

#[test]
fn an_id_object_of_ceph_is_created_by_its_client_and_has_an_id_of_letters_and_digits() {
    let mut world = World::new();
    let set = |id: &str| ceph_exec("rbd.set_id", ceph_wire::to_bytes(&id.to_owned()));
    assert_eq!(world.errno("rbd_id.a", [set("1")]), Errno::ENOENT);
    world.must("rbd_id.a", [Op::Create { exclusive: true }]);
    for id in ["", "a b", "a/b"] {
        assert_eq!(world.errno("rbd_id.a", [set(id)]), Errno::EINVAL, "{id:?}");
    }
    assert_eq!(
        world.errno("rbd_id.a", [ceph_exec("rbd.set_id", Bytes::from_static(b"\x09\0\0\0short"))]),
        Errno::EINVAL
    );
    assert_eq!(world.errno("rbd_id.a", [ceph_exec("rbd.get_id", Bytes::new())]), Errno::ENOENT);
    world.must("rbd_id.a", [set("1")]);
    assert_eq!(world.errno("rbd_id.a", [set("2")]), Errno::EEXIST);
    world.must("rbd_id.a", [Op::WriteFull { data: Bytes::from_static(b"garbage") }]);
    assert_eq!(world.errno("rbd_id.a", [ceph_exec("rbd.get_id", Bytes::new())]), Errno::EIO);
}

#[test]
fn ceph_brings_the_parent_up_as_raw_bytes_or_as_extents_and_their_data() {
    let mut world = World::new();
    world.must("whole", [ceph_exec("rbd.copyup", Bytes::from_static(b"parent"))]);
    assert_eq!(world.read("whole", None).as_deref(), Some(b"parent".as_slice()));
    let extents = |data: &'static str| {
        let lengths = BTreeMap::from([(1_u64, 2_u64), (8, 1)]);
        ceph_exec("rbd.sparse_copyup", ceph_wire::to_bytes(&(lengths, Bytes::from(data))))
    };
    assert_eq!(world.errno("sparse", [extents("ab")]), Errno::EINVAL);
    world.must("sparse", [extents("abc")]);
    assert_eq!(world.read("sparse", None).as_deref(), Some(b"\0ab\0\0\0\0\0c".as_slice()));
    world.must("sparse", [extents("xyz")]);
    assert_eq!(world.read("sparse", None).as_deref(), Some(b"\0ab\0\0\0\0\0c".as_slice()), "it exists");
}
