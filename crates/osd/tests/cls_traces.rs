//! Class "rbd" in Ceph's encoding: what a real cluster was seen to answer to unmodified clients, byte for byte.

mod common;

use bytes::Bytes;
use ceph_wire::Utime;
use ceph_wire::cls::{SnapshotInfo, SnapshotNamespace};
use common::{World, ceph_exec};
use osd::op::{Op, Output, Terms};

const CALLS: &str = include_str!("golden/rbd-class-calls.txt");

fn hex(text: &str) -> Bytes {
    let digits = if text == "-" { "" } else { text };
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The op of a line and, of a class call, the number and the output that were seen.
fn parse(fields: &[&str]) -> (Op, Option<(i32, Bytes)>) {
    match *fields {
        ["!create"] => (Op::Create { exclusive: true }, None),
        ["!remove"] => (Op::Remove {}, None),
        ["!write_full", data] => (Op::WriteFull { data: hex(data) }, None),
        [method, input, number, output] => {
            let seen = (number.parse().expect("a number"), hex(output));
            (ceph_exec(&format!("rbd.{method}"), hex(input)), Some(seen))
        }
        _ => panic!("{fields:?} is no line of the file"),
    }
}

/// Times are each cluster's own, and so are the names that it gives to snapshots in the trash.
fn comparable(method: &str, output: Bytes) -> Bytes {
    if method.ends_with("_timestamp") {
        return ceph_wire::to_bytes(&(output.len() as u64));
    }
    if method != "snapshot_get" || output.is_empty() {
        return output;
    }
    let mut info: SnapshotInfo = ceph_wire::from_bytes(&output).expect("a snapshot");
    info.timestamp = Utime::default();
    if let SnapshotNamespace::Trash { .. } = info.namespace {
        info.name = info.name.len().to_string();
    }
    ceph_wire::to_bytes(&info)
}

#[test]
fn class_calls_are_answered_as_on_a_real_cluster() {
    let mut world = World::new();
    world.terms = Terms::ceph();
    let mut compared = 0;
    for line in CALLS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let (op, seen) = parse(&fields[1..]);
        let answered = match world.ops(fields[0], [op]) {
            Ok(evaluated) => match &evaluated.results[0].output {
                Output::Exec { output } => (0, output.clone()),
                _ => (0, Bytes::new()),
            },
            Err(error) => (error.errno.result(), Bytes::new()),
        };
        let Some((number, output)) = seen else {
            assert_eq!(answered.0, 0, "{line}");
            continue;
        };
        assert_eq!(answered.0, number, "{line}");
        assert_eq!(comparable(fields[1], answered.1), comparable(fields[1], output), "{line}");
        compared += 1;
    }
    assert!(compared > 300, "only {compared} calls were compared");
}
