//! Parts of a state, which most other states share, and their hashes, in which names are counted anew.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

/// A part with its hash. Cloning shares it; changing it makes another one.
#[derive(Debug)]
pub struct Shared<T>(Arc<Part<T>>);

#[derive(Debug)]
struct Part<T> {
    value: T,
    hash: u128,
    lowest_notify: Option<u64>,
}

/// What has notifies in it.
pub trait HasNotifies: Hash {
    /// The lowest number of one that is under way here.
    fn lowest_notify(&self) -> Option<u64>;
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: HasNotifies> Shared<T> {
    /// Of this value.
    pub fn new(value: T) -> Self {
        let lowest_notify = value.lowest_notify();
        let hash = fingerprint(&value, lowest_notify.unwrap_or(0));
        Self(Arc::new(Part { value, hash, lowest_notify }))
    }

    /// In 128 bits, with notifies counted from the lowest one that is under way here.
    pub fn hash(&self) -> u128 {
        self.0.hash
    }

    /// Which that is.
    pub fn lowest_notify(&self) -> Option<u64> {
        self.0.lowest_notify
    }
}

/// A hash in 128 bits; that two values that differ have the same is as likely as 1 : 2^128. Tokens and numbers of questions
/// (highest bit 1) go in by the order in which they come up first, notifies (highest bits 01) by their distance from `lowest_notify`.
pub fn fingerprint(value: &impl Hash, lowest_notify: u64) -> u128 {
    let mut hasher = Names { hasher: Xxh3Default::new(), names: Vec::new(), lowest_notify };
    value.hash(&mut hasher);
    hasher.hasher.digest128()
}

/// Hashes the number of a question as a name.
pub fn hash_name(number: u64, into: &mut impl Hasher) {
    into.write_u64(number | 0b11 << 62);
}

/// Hashes the number of a notify.
pub fn hash_notify(number: u64, into: &mut impl Hasher) {
    into.write_u64(number | 0b01 << 62);
}

struct Names {
    hasher: Xxh3Default,
    names: Vec<u64>,
    lowest_notify: u64,
}

impl Names {
    fn position(&mut self, name: u64) -> u64 {
        let known = self.names.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        }) as u64
    }
}

impl Hasher for Names {
    fn finish(&self) -> u64 {
        self.hasher.digest()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        let number = match number >> 62 {
            // A time that never comes.
            _ if number == u64::MAX => number,
            0b10 | 0b11 => self.position(number),
            0b01 => (number & !(0b11 << 62)).wrapping_sub(self.lowest_notify),
            _ => number,
        };
        self.hasher.update(&number.to_le_bytes());
    }
}
