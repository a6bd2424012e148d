//! The messages of `proto/cls` at a method's door.

use bytes::Bytes;
use errno::Errno;
use prost::Message;

use crate::error::{Outcome, refuse};

/// EINVAL for input that is not the method's message.
pub(super) fn decode<M: Message + Default>(input: &Bytes) -> Outcome<M> {
    M::decode(input.clone())
        .or_else(|error| refuse(Errno::EINVAL, format!("the input does not decode: {error}")))
}

pub(super) fn reply(message: &impl Message) -> Outcome<Bytes> {
    Ok(message.encode_to_vec().into())
}
