//! Data objects.

use bytes::Bytes;
use errno::Errno;
use osd::op::{Op, Output};

use crate::common::{World, write};

const OBJECT: &str = "rbd_data.1.0";

fn sparsified(data: &[u8], block_bytes: u64, removes_empty: bool) -> Option<Vec<u8>> {
    let mut world = World::new();
    world.must(OBJECT, [write(0, data)]);
    assert_eq!(world.tell(OBJECT, "sparsify", &(block_bytes, removes_empty)), Ok(()));
    world.read(OBJECT, None)
}

#[test]
fn an_object_of_zeros_is_removed_or_emptied() {
    assert_eq!(sparsified(&[0; 9], 4, true), None);
    assert_eq!(sparsified(&[0; 9], 4, false), Some(Vec::new()));
    assert_eq!(sparsified(b"", 4, false), Some(Vec::new()));
    let mut world = World::new();
    assert_eq!(world.tell(OBJECT, "sparsify", &(4_u64, true)), Err(Errno::ENOENT));
}

#[test]
fn blocks_of_zeros_are_cut_off_at_the_end_and_holes_elsewhere() {
    assert_eq!(sparsified(b"ab\0\0\0\0\0\0\0\0", 4, true), Some(b"ab\0\0".to_vec()));
    assert_eq!(sparsified(b"\0\0\0\0ab\0\0\0", 4, true), Some(b"\0\0\0\0ab\0\0".to_vec()));
    let mut world = World::new();
    world.must(OBJECT, [write(0, b"aaaa\0\0\0\0bbbb\0\0\0\0")]);
    world.tell(OBJECT, "sparsify", &(4_u64, true)).unwrap();
    let Output::SparseRead { data } =
        &world.must(OBJECT, [Op::SparseRead { offset: 0, length: 16 }]).results[0].output
    else {
        panic!("not a read's result")
    };
    assert_eq!(*data, [(0, Bytes::from("aaaa")), (8, Bytes::from("bbbb"))].into_iter().collect());
}

#[test]
fn an_object_without_blocks_of_zeros_stays_as_it_is() {
    let mut world = World::new();
    world.must(OBJECT, [write(0, b"a\0\0\0b")]);
    let sparsify = crate::common::ceph_exec("rbd.sparsify", ceph_wire::to_bytes(&(4_u64, true)));
    assert_eq!(world.must(OBJECT, [sparsify]).transaction, None);
    assert_eq!(world.tell(OBJECT, "sparsify", &(0_u64, true)), Err(Errno::EINVAL));
}

/// State 0 asks for an older one, state 1 for the same or a newer one.
#[test]
fn a_writer_asserts_under_which_snapshot_an_object_was_written() {
    let mut world = World::new();
    let assert =
        |world: &mut World, seq: u64, state: u8| world.tell(OBJECT, "assert_snapc_seq", &(seq, state));
    assert_eq!(assert(&mut world, 0, 0), Ok(()), "there is no object");
    assert_eq!(assert(&mut world, 0, 1), Err(Errno::ERANGE));
    let snap = world.snap();
    world.must(OBJECT, [write(0, b"a")]);
    assert_eq!(assert(&mut world, snap, 0), Err(Errno::ERANGE));
    assert_eq!(assert(&mut world, snap + 1, 0), Ok(()));
    assert_eq!(assert(&mut world, snap, 1), Ok(()));
    assert_eq!(assert(&mut world, snap + 1, 1), Err(Errno::ERANGE));
    assert_eq!(assert(&mut world, snap, 2), Err(Errno::EOPNOTSUPP));
}
