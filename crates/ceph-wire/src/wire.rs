//! What everything that travels can do, and the primitives and containers that can do it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::error::{Problem, WireError};
use crate::{Reader, Writer};

/// A value with one encoding.
pub trait Wire: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Writer);
    /// Reads one from the front.
    fn take(from: &mut Reader<'_>) -> Result<Self, WireError>;
}

/// The encoding of one value.
pub fn to_bytes(value: &impl Wire) -> Bytes {
    let mut out = Writer::new();
    value.put(&mut out);
    out.finish()
}

/// The value at the front of the bytes; what follows it is of no concern: newer peers append.
pub fn from_bytes<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    T::take(&mut Reader::new(bytes))
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Wire for $number {
            fn put(&self, out: &mut Writer) {
                out.bytes(&self.to_le_bytes());
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(Self::from_le_bytes(from.array()?))
            }
        })*
    };
}

numbers! { u8 u16 u32 u64 i8 i16 i32 i64 f32 }

/// Any value but 0 is true.
impl Wire for bool {
    fn put(&self, out: &mut Writer) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(u8::take(from)? != 0)
    }
}

/// A count and bytes.
impl Wire for Bytes {
    fn put(&self, out: &mut Writer) {
        out.counted(|out| out.bytes(self));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self::copy_from_slice(from.counted()?.left()))
    }
}

/// A count and bytes that are text.
impl Wire for String {
    fn put(&self, out: &mut Writer) {
        out.counted(|out| out.bytes(self.as_bytes()));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let text = std::str::from_utf8(from.counted()?.left());
        text.map(str::to_owned).map_err(|_| WireError::new(Problem::NotUtf8))
    }
}

/// Bytes of a known number.
impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Writer) {
        out.bytes(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        from.array()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

/// One field after the other.
macro_rules! tuples {
    ($(($($part:ident $index:tt),*))*) => {
        $(impl<$($part: Wire),*> Wire for ($($part,)*) {
            fn put(&self, out: &mut Writer) {
                $(self.$index.put(out);)*
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(($($part::take(from)?,)*))
            }
        })*
    };
}

tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

/// A count of items. Nothing in Ceph's protocol is encoded as no bytes, so a count above the bytes that are left is wrong.
fn count(from: &mut Reader<'_>) -> Result<usize, WireError> {
    let (count, left) = (u32::take(from)? as usize, from.left().len());
    if count > left {
        return Err(WireError::new(Problem::Short { needed: count, left }));
    }
    Ok(count)
}

fn put_count(count: usize, out: &mut Writer) {
    u32::try_from(count).expect("nothing has 4,294,967,296 items").put(out);
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer) {
        put_count(self.len(), out);
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        // Grown item by item: a count is not believed before its items are there.
        (0..count(from)?).map(|_| T::take(from)).collect::<Result<Self, _>>()
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Writer) {
        put_count(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        (0..count(from)?).map(|_| <(K, V)>::take(from)).collect()
    }
}

impl<T: Wire + Ord> Wire for BTreeSet<T> {
    fn put(&self, out: &mut Writer) {
        put_count(self.len(), out);
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        (0..count(from)?).map(|_| T::take(from)).collect()
    }
}
