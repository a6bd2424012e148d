use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;

use crate::common::World;

const INFO: &str = "rbd_info";

fn pairs(pairs: &[(&str, &'static str)]) -> BTreeMap<String, Bytes> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), Bytes::from(value))).collect()
}

#[test]
fn metadata_is_stored_as_bare_bytes_under_its_prefix() {
    let mut world = World::new();
    assert_eq!(world.tell(INFO, "metadata_set", &pairs(&[("k", "v")])), Ok(()));
    assert_eq!(world.omap(INFO), [("metadata_k".to_owned(), b"v".to_vec())]);
    assert_eq!(world.ask(INFO, "metadata_get", &"k".to_owned()), Ok(Bytes::from("v")));
    assert_eq!(world.ask::<Bytes>(INFO, "metadata_get", &"x".to_owned()), Err(Errno::ENOENT));
}

#[test]
fn metadata_is_listed_page_by_page() {
    let mut world = World::new();
    assert_eq!(
        world.ask::<BTreeMap<String, Bytes>>(INFO, "metadata_list", &(String::new(), 9_u64)),
        Err(Errno::ENOENT)
    );
    world.tell(INFO, "metadata_set", &pairs(&[("a", "1"), ("b", "2"), ("c", "3")])).unwrap();
    let list = |world: &mut World, after: &str, max: u64| {
        world.ask::<BTreeMap<String, Bytes>>(INFO, "metadata_list", &(after.to_owned(), max)).unwrap()
    };
    assert_eq!(list(&mut world, "", 2), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(list(&mut world, "b", 2), pairs(&[("c", "3")]));
    assert_eq!(list(&mut world, "c", 2), pairs(&[]));
}

/// 0 is how old clients ask for a page.
#[test]
fn metadata_of_no_pairs_is_64_of_them() {
    let mut world = World::new();
    let many: BTreeMap<String, Bytes> = (0..70).map(|key| (format!("{key:02}"), Bytes::new())).collect();
    world.tell(INFO, "metadata_set", &many).unwrap();
    let list: BTreeMap<String, Bytes> = world.ask(INFO, "metadata_list", &(String::new(), 0_u64)).unwrap();
    assert_eq!(list.len(), 64);
}

#[test]
fn metadata_that_is_not_there_may_be_removed_from_an_object_that_is() {
    let mut world = World::new();
    assert_eq!(world.tell(INFO, "metadata_remove", &"k".to_owned()), Err(Errno::ENOENT));
    world.tell(INFO, "metadata_set", &pairs(&[("k", "v")])).unwrap();
    assert_eq!(world.tell(INFO, "metadata_remove", &"x".to_owned()), Ok(()));
    assert_eq!(world.tell(INFO, "metadata_remove", &"k".to_owned()), Ok(()));
    assert_eq!(world.omap(INFO), []);
}
