//! Plays inputs on decoders: what a corpus has, and mutations of it. A decoder may take an input or refuse it. It has failed when
//! it panics, when it makes more room than the input justifies, or when what it took does not travel on as it came.
//!
//! For tests only. Without further word a test plays a fixed number of inputs of a fixed seed; with `FUZZ_SECONDS` it plays for so
//! long, from `FUZZ_SEED` on, and tells what it played (`scripts/fuzz`).

mod mutation;
mod player;
mod reread;

pub use player::{Decoder, Room, play};
pub use reread::reread;

/// Bytes out of hexadecimal digits; anything else between them is of no concern.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
