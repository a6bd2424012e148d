//! The class methods that only Ceph's clients call, on values. Each rule is that of Ceph's class of the same name.

#[path = "../common/mod.rs"]
mod common;

mod data;
mod directories;
mod groups;
mod hello;
mod metadata;
mod migration;
mod mirror;
mod mirror_images;
mod mirror_snapshots;
mod object_map;
mod old_header;
mod settings;
mod trash;

use bytes::Bytes;
use ceph_wire::{Wire, from_bytes, to_bytes};
use common::World;
use errno::Errno;
use osd::op::{Op, Output};

/// The input of a method that has none.
const NOTHING: [u8; 0] = [];

impl World {
    /// The answer of a method of class "rbd".
    fn ask<O: Wire>(&mut self, object: &str, method: &str, input: &impl Wire) -> Result<O, Errno> {
        let output = self.ceph_call(1, object, &format!("rbd.{method}"), to_bytes(input))?;
        Ok(from_bytes(&output).expect("a class answers in Ceph's encoding"))
    }

    /// Runs a method of class "rbd" that answers nothing.
    fn tell(&mut self, object: &str, method: &str, input: &impl Wire) -> Result<(), Errno> {
        let output = self.ceph_call(1, object, &format!("rbd.{method}"), to_bytes(input))?;
        assert_eq!(output, Bytes::new(), "{method}");
        Ok(())
    }

    /// The header of an image in objects of 4 KiB.
    fn image(&mut self, features: u64) -> &'static str {
        let entry = |key: &str, value: Bytes| (key.into(), value);
        let numbers = [("size", 1 << 20), ("features", features), ("snap_seq", 0)];
        let numbers = numbers.map(|(key, number)| entry(key, to_bytes(&number)));
        let others =
            [entry("order", to_bytes(&12_u8)), entry("object_prefix", to_bytes(&"rbd_data.1".to_owned()))];
        self.must("rbd_header.1", [Op::OmapSet { entries: numbers.into_iter().chain(others).collect() }]);
        "rbd_header.1"
    }

    /// A number in a header; 0 when it is not there.
    fn number(&mut self, object: &str, key: &str) -> u64 {
        let found = self.omap(object).into_iter().find(|(known, _)| known == key);
        found.map_or(0, |(_, value)| from_bytes(&value).expect("it is a number"))
    }

    /// Every key of an object, and its value.
    fn omap(&mut self, object: &str) -> Vec<(String, Vec<u8>)> {
        let list = Op::OmapList { after: "".into(), prefix: "".into(), max: 100 };
        let Output::Omap { entries, .. } = &self.must(object, [list]).results[0].output else {
            panic!("not a listing's result")
        };
        entries.iter().map(|(key, value)| (key.to_string(), value.to_vec())).collect()
    }
}

fn omap_set(key: &str, value: &'static [u8]) -> Op {
    Op::OmapSet { entries: [(key.into(), Bytes::from_static(value))].into() }
}
