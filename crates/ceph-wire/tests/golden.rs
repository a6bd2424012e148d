//! Bytes of a real cluster (16.2.15), read and written again.

use std::net::SocketAddr;

use ceph_wire::mon::{FeatureSet, MonMap};
use ceph_wire::osd::{Extent, OsdOpReply, OsdOpRequest, WatchNotify, code};
use ceph_wire::osdmap::{CrushMap, OsdMap, pool_flag, release};
use ceph_wire::{AddrKind, AddrVec, EntityAddr, NOSNAP, Wire, from_bytes, to_bytes};

const OSDMAP: &[u8] = include_bytes!("golden/osdmap.bin");
const MONMAP: &[u8] = include_bytes!("golden/monmap.bin");
const CRUSH: &[u8] = include_bytes!("golden/crush.bin");

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Read, and written again byte for byte.
fn known<T: Wire>(bytes: &[u8]) -> T {
    let value: T = from_bytes(bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(to_bytes(&value), bytes);
    value
}

#[test]
fn a_real_osd_map_is_read_and_written_again() {
    let OsdMap { client, osd } = known(OSDMAP);
    assert_eq!((client.epoch, client.pool_max, client.flags), (13, 2, OsdMap::FLAGS));
    assert_eq!(client.pool_names.values().collect::<Vec<_>>(), ["rbd", "snaps"]);
    let (rbd, snaps) = (&client.pools[&1], &client.pools[&2]);
    assert_eq!(rbd.flags, pool_flag::HASHPSPOOL | pool_flag::SELFMANAGED_SNAPS);
    assert!(rbd.application_metadata.contains_key("rbd"));
    assert_eq!(snaps.flags, pool_flag::HASHPSPOOL | pool_flag::POOL_SNAPS | pool_flag::CREATING);
    assert_eq!(snaps.snaps[&1].name, "one");
    let fenced: Vec<_> = osd.blocklist.keys().map(ToString::to_string).collect();
    assert_eq!(fenced, ["1.2.3.4:0/77"]);
    assert_eq!(osd.blocklist.keys().next().map(|address| address.kind), Some(AddrKind::Any));
    assert_eq!(release::name(osd.require_osd_release), "pacific");
    assert_eq!(client.crush, CRUSH);
}

#[test]
fn a_changed_byte_of_an_osd_map_is_seen() {
    for at in [20, 60, 700, OSDMAP.len() - 1] {
        let mut bytes = OSDMAP.to_vec();
        bytes[at] ^= 1;
        assert!(from_bytes::<OsdMap>(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn a_real_monitor_map_is_read_and_written_again() {
    let map: MonMap = known(MONMAP);
    assert_eq!(
        (map.epoch, map.ranks, map.persistent_features),
        (1, vec!["a".to_owned()], FeatureSet { bits: 0xff })
    );
}

#[test]
fn a_real_crush_map_is_read_and_written_again() {
    let map: CrushMap = known(CRUSH);
    assert_eq!((map.buckets.iter().flatten().count(), map.class_names[&0].as_str()), (4, "hdd"));
}

#[test]
fn an_address_is_that_of_the_real_wire() {
    let bytes = unhex("01 01 01 1c000000 02000000 00000000 10000000 0200 5b04 7f000001 0000000000000000");
    let address: EntityAddr = known(&bytes);
    assert_eq!(address, EntityAddr::msgr2(SocketAddr::from(([127, 0, 0, 1], 23300))));
    assert_eq!(AddrVec::from(address).to_string(), "[v2:127.0.0.1:23300/0]");
}

#[test]
fn addresses_are_read_as_people_write_them() {
    for (text, shown) in [
        ("1.2.3.4:0/77", "1.2.3.4:0/77"),
        ("1.2.3.4", "1.2.3.4:0/0"),
        ("v2:1.2.3.4:5/6", "1.2.3.4:5/6"),
        ("[::1]:0/9", "[::1]:0/9"),
        ("[::1]", "[::1]:0/0"),
    ] {
        assert_eq!(text.parse::<EntityAddr>().map(|address| address.to_string()), Ok(shown.to_owned()));
    }
    assert!("garbage".parse::<EntityAddr>().is_err());
}

/// `rados put obj1` of 100,000 bytes.
#[test]
fn a_real_request_is_read_and_written_again() {
    let request: OsdOpRequest = known(&unhex(
        "010112000000 01 0100000000000000 1f000000 ffffffff ff
         ffdef86c 09000000 24004000
         020215000000 000000000000000000 0000000000000000 00000000
         000000000000000000000000000000000000000000000000 00000000 5fc4096b 5b491a26
         06031c000000 0100000000000000 ffffffff 00000000 00000000 ffffffffffffffff
         04000000 6f626a31 0100
         0222 00000000 0000000000000000 a086010000000000 0000000000000000 00000000 a0860100
         feffffffffffffff 0000000000000000 00000000 00000000 fffffdffbdcf013f",
    ));
    assert_eq!(
        (request.head.oid.as_ref(), request.head.locator.pool, request.head.epoch),
        (&b"obj1"[..], 1, 9)
    );
    assert_eq!((request.ops[0].code, request.ops[0].data_bytes), (code::WRITEFULL, 100_000));
    assert_eq!(
        request.ops[0].argument::<Extent>().map(|extent| (extent.offset, extent.length)),
        Ok((0, 100_000))
    );
    assert_eq!((request.tail.snap_id, request.tail.retry), (NOSNAP, 0));
}

#[test]
fn a_real_reply_is_read_and_written_again() {
    let reply: OsdOpReply = known(&unhex(
        "04000000 6f626a31 01 0100000000000000 1f000000 ffffffff 1500400000000000 00000000
         0100000000000000 00000000 09000000 01000000
         0112 00000000 0000000000000000 a086010000000000 0000000000000000 00000000 a0860100
         00000000 00000000 0000000000000000 00000000 0100000000000000 00
         000000000000000000000000000000000000000000000000",
    ));
    assert_eq!((reply.result, reply.user_version, reply.ops[0].1), (0, 1, 0));
    assert_eq!(reply.ops[0].0.data_bytes, 100_000);
}

#[test]
fn a_kernel_clients_locator_has_no_hash() {
    let bytes = unhex("0504 14000000 0100000000000000 ffffffff 00000000 00000000");
    let locator: ceph_wire::ObjectLocator = from_bytes(&bytes).expect("version 5 is read");
    assert_eq!((locator.pool, locator.hash), (1, -1));
}

#[test]
fn a_newer_struct_is_read_as_far_as_it_is_known() {
    let newer = unhex("0201 10000000 ff00000000000000 1122334455667788");
    assert_eq!(from_bytes(&newer), Ok(FeatureSet { bits: 0xff }));
    let unreadable = unhex("0202 08000000 ff00000000000000");
    let error = from_bytes::<FeatureSet>(&unreadable).expect_err("it needs a newer decoder");
    assert_eq!(error.to_string(), "FeatureSet: needs a decoder of version 2, this is 1");
}

#[test]
fn an_error_names_the_field() {
    let error = from_bytes::<WatchNotify>(&[1, 1, 7]).expect_err("the cookie is cut");
    assert_eq!(error.to_string(), "WatchNotify.cookie: needs 8 bytes, 1 are left");
}
