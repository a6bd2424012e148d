//! No message does harm: it is answered, ignored, or its sender's error.

mod fake;

use bytes::Bytes;
use ceph_wire::mon::{MonCommand, Paxos};
use ceph_wire::{Message, kind, to_bytes};
use fake::{CLIENT, FSID, Lab, NOW};
use monitor::Event;
use proptest::prelude::*;

fn hears(lab: &mut Lab, kind: u16, front: Bytes) {
    let message = Message { tid: 1, kind, version: 1, compat: 1, front, data: Bytes::new() };
    let _ = lab.monitor.step(NOW, Event::Message(CLIENT, message), &mut lab.cluster);
}

proptest! {
    #[test]
    fn arbitrary_fronts_harm_nobody(
        kind in prop_oneof![any::<u16>(), 0..70u16], front in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut lab = Lab::new();
        hears(&mut lab, kind, front.into());
        prop_assert_eq!(lab.command(r#"{"prefix":"osd pool ls"}"#).2, "rbd\n");
    }

    #[test]
    fn a_changed_command_harms_nobody(at: usize, byte: u8, cut: usize) {
        let text = r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"127.0.0.1:0/77","expire":100.0}"#;
        let command = MonCommand { paxos: Paxos, fsid: FSID, command: vec![text.into()] };
        let mut front = to_bytes(&command).to_vec();
        let at = at % front.len();
        front[at] = byte;
        front.truncate(cut % (front.len() + 1));
        let mut lab = Lab::new();
        hears(&mut lab, kind::MON_COMMAND, front.into());
        prop_assert_eq!(lab.command(r#"{"prefix":"osd pool ls"}"#).2, "rbd\n");
    }
}

/// A time that is no time is not one of Ceph's either.
#[test]
fn a_giant_expiry_is_taken_as_far_as_a_map_can_say_it() {
    let mut lab = Lab::new();
    for expire in ["1e300", "-1", "18446744073709551615"] {
        let command = format!(
            r#"{{"prefix":"osd blocklist","blocklistop":"add","addr":"127.0.0.1:0/7","expire":{expire}}}"#
        );
        assert_eq!(lab.command(&command).0, 0, "{expire}");
    }
}
