//! What a notify says, as far as rules ask.

use ceph_wire::librbd::NotifyMessage;

/// Start of the names of the objects on which librbd's clients talk in Ceph's encoding.
const HEADERS: &str = "rbd_header.";

/// The kind of a notify or an ack on the object of this name. `rbd.v1.NotifyMessage` has Ceph's numbers, each as the field one above:
/// what librbd says has the number of the same field, whether our protocol has it or not. Of everything else it is the first protobuf
/// field. Who is who the first byte says: no field has a number below 1, so that no protobuf begins as librbd's version does.
pub(super) fn kind(object: &str, payload: &[u8]) -> Option<u32> {
    first_field(payload).or_else(|| {
        let said = ceph_wire::from_bytes::<NotifyMessage>(payload);
        said.ok().filter(|_| object.starts_with(HEADERS)).map(|said| said.number() + 1)
    })
}

/// Number of the first field of an encoded protobuf message: for a message that is one oneof, the field that is set.
/// `None` for what is no protobuf, and for the empty message.
pub(super) fn first_field(payload: &[u8]) -> Option<u32> {
    let key = payload.iter().take(5).scan(true, |goes_on, &byte| {
        let is_part = *goes_on;
        *goes_on = byte & 0x80 != 0;
        is_part.then_some(byte)
    });
    let bytes: Vec<u8> = key.collect();
    let is_complete = bytes.last().is_some_and(|byte| byte & 0x80 == 0);
    let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    let number = u32::try_from(value >> 3).ok()?;
    (is_complete && number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::rbd::v1 as grpc;

    use super::*;

    const HEADER: &str = "rbd_header.1";

    #[test]
    fn what_librbd_says_has_the_number_of_the_field_that_says_the_same() {
        let said = [NotifyMessage::HeaderUpdate {}, NotifyMessage::Quiesce { request: Default::default() }];
        let kinds = said.map(|said| kind(HEADER, &ceph_wire::to_bytes(&said)));
        assert_eq!(kinds, [Some(4), Some(19)]);
        let octopus = b"\x06\x01\x04\0\0\0\x03\0\0\0";
        assert_eq!(kind(HEADER, octopus), Some(4));
        assert_eq!(kind("rbd_mirroring", octopus), None, "others have numbers of their own");
        assert_eq!(kind(HEADER, &octopus[..9]), None, "half of it");
    }

    #[test]
    fn the_field_of_an_outermost_oneof_is_its_number() {
        let payload = Some(grpc::notify_message::Payload::AsyncComplete(Default::default()));
        assert_eq!(first_field(&grpc::NotifyMessage { payload }.encode_to_vec()), Some(6));
    }

    #[test]
    fn large_field_numbers_take_several_bytes() {
        assert_eq!(first_field(&[0x82, 0x01]), Some(16));
        assert_eq!(first_field(&[0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00]), Some(536_870_911));
    }

    #[test]
    fn what_is_no_message_has_no_field() {
        for payload in [&[][..], &[0x80], &[0x02], &[0xff; 8]] {
            assert_eq!(first_field(payload), None, "{payload:?}");
        }
    }
}
