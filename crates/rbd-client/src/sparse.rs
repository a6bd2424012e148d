//! Which parts of a piece of an image hold data: what is zero need not be written, by import and by export.

use std::ops::Range;

/// The runs of `bytes` that hold data: `block`s of zeros are left out, neighbours are joined. Each run begins at a
/// multiple of `block` and ends at one, or at the end.
pub(crate) fn data_runs(bytes: &[u8], block: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, chunk) in bytes.chunks(block).enumerate() {
        if is_zero(chunk) {
            continue;
        }
        let start = index * block;
        let end = start + chunk.len();
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

fn is_zero(bytes: &[u8]) -> bool {
    // Comparing with a constant is one memcmp; a loop over the bytes would be slower than the network.
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_blocks_are_left_out_and_neighbours_are_joined() {
        let mut bytes = vec![0; 40];
        bytes[9] = 1;
        bytes[16] = 1;
        bytes[39] = 1;
        assert_eq!(data_runs(&bytes, 8), [8..24, 32..40]);
    }

    #[test]
    fn a_last_block_may_be_short() {
        assert_eq!(data_runs(&[1, 1, 0, 0, 1], 2), [0..2, 4..5]);
    }

    #[test]
    fn zeros_alone_are_no_run() {
        assert!(data_runs(&[0; 17], 4).is_empty());
        assert!(data_runs(&[], 4).is_empty());
    }
}
