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
    use proto::rbd::v1::{AsyncCompletePayload, NotifyMessage, notify_message::Payload};

    use super::*;

    #[test]
    fn the_field_of_an_outermost_oneof_is_its_number() {
        let payload = Some(Payload::AsyncComplete(AsyncCompletePayload::default()));
        assert_eq!(first_field(&NotifyMessage { payload }.encode_to_vec()), Some(6));
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
