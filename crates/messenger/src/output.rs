//! What is to be sent.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use ceph_wire::Writer;

/// Shorter pieces are copied: a system call looks at each piece that it is given.
const REFERRED_BYTES_MIN: usize = 8 << 10;

/// Bytes to be sent, in pieces: what is short is written one behind the other, what is long is sent from where it is.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Bytes>,
    /// Behind all pieces.
    tail: Writer,
    /// Of the pieces.
    bytes: usize,
}

impl Output {
    /// Appends bytes that are copied.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.tail.bytes(bytes);
    }

    /// Appends bytes, by reference when they are many.
    pub fn piece(&mut self, piece: &Bytes) {
        if piece.len() < REFERRED_BYTES_MIN {
            self.tail.bytes(piece);
        } else {
            self.seal();
            self.push(piece.clone());
        }
    }

    /// For values that are short.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.tail
    }

    /// The tail becomes a piece.
    fn seal(&mut self) {
        if !self.tail.written().is_empty() {
            let tail = std::mem::take(&mut self.tail).finish();
            self.push(tail);
        }
    }

    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// As it is to be sent: nothing is appended any more.
    pub(crate) fn sealed(mut self) -> Self {
        self.seal();
        self
    }
}

/// Of what was sealed.
impl Buf for Output {
    fn remaining(&self) -> usize {
        self.bytes + self.tail.written().len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(self.tail.written(), |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(self.tail.written()).filter(|tail| !tail.is_empty());
        let chunks = self.pieces.iter().map(|piece| &piece[..]).chain(tail);
        slices.iter_mut().zip(chunks).map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(first) = self.pieces.front_mut() else {
                self.seal();
                assert!(!self.pieces.is_empty(), "no more is taken than there is");
                continue;
            };
            let taken = count.min(first.len());
            first.advance(taken);
            if first.is_empty() {
                self.pieces.pop_front();
            }
            self.bytes -= taken;
            count -= taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_order_and_long_ones_their_place() {
        let long = Bytes::from(vec![7; REFERRED_BYTES_MIN]);
        let mut output = Output::default();
        output.bytes(b"before");
        output.piece(&long);
        output.piece(&Bytes::from_static(b"short"));
        output.bytes(b"behind");
        let mut output = output.sealed();
        let mut slices = [IoSlice::new(&[]); 8];
        let count = output.chunks_vectored(&mut slices);
        let slices: Vec<&[u8]> = slices[..count].iter().map(|slice| &slice[..]).collect();
        assert_eq!(slices, [b"before", &long[..], b"shortbehind"]);
        assert_eq!(slices[1].as_ptr(), long.as_ptr(), "it was not copied");
        let all = slices.concat();
        let mut taken = Vec::new();
        while output.has_remaining() {
            let step = output.remaining().min(1000);
            taken.extend_from_slice(&output.copy_to_bytes(step));
        }
        assert_eq!(taken, all);
    }
}
