//! Payloads of notifies and acks. Their encoding is not what is searched: each is the number of a message in a table.

use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use rbd_protocol::{Message, Payload};

/// There are few different ones.
type Table<T> = Mutex<Vec<T>>;

static MESSAGES: LazyLock<Table<Message>> = LazyLock::new(Mutex::default);
static ACKS: LazyLock<Table<Payload>> = LazyLock::new(Mutex::default);

fn encode<T: Clone + Eq>(table: &Table<T>, value: &T) -> Bytes {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let number = table.iter().position(|known| known == value).unwrap_or_else(|| {
        table.push(value.clone());
        table.len() - 1
    });
    Bytes::copy_from_slice(&(number as u32).to_le_bytes())
}

fn decode<T: Clone>(table: &Table<T>, payload: &[u8]) -> Option<T> {
    let number = u32::from_le_bytes(payload.try_into().ok()?);
    table.lock().unwrap_or_else(PoisonError::into_inner).get(number as usize).cloned()
}

/// Of a notify.
pub fn encode_message(message: &Message) -> Bytes {
    encode(&MESSAGES, message)
}

/// Of a notify.
pub fn decode_message(payload: &[u8]) -> Message {
    decode(&MESSAGES, payload).unwrap_or(Message::Unknown)
}

/// Of an ack.
pub fn encode_ack(ack: &Payload) -> Bytes {
    encode(&ACKS, ack)
}

/// Of an ack.
pub fn decode_ack(payload: &[u8]) -> Payload {
    decode(&ACKS, payload).unwrap_or(Payload::Undecodable)
}
