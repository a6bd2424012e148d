//! Data objects: giving back the room of zeros.

use std::ops::Range;

use bytes::Bytes;
use errno::Errno;

use crate::cls::ceph::decode;
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[Method::ceph_writes("sparsify", sparsify)];

/// An object of zeros goes, or becomes one without data; of another one the blocks of zeros become holes, and those at the end
/// are cut off.
fn sparsify(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (block_bytes, removes_empty): (u64, bool) = decode(input)?;
    if block_bytes == 0 {
        return refuse(Errno::EINVAL, "blocks of 0 bytes");
    }
    let size = target.stat()?.size;
    let data = target.read(0, size)?.to_bytes(0, size);
    let runs = runs(&data, usize::try_from(block_bytes).unwrap_or(usize::MAX));
    match runs.last() {
        None if removes_empty => return done(target.remove()),
        None if size == 0 => return done(Ok(())),
        Some(run) if run.len() == data.len() => return done(Ok(())),
        _ => {}
    }
    target.truncate(0)?;
    done(runs.into_iter().try_for_each(|run| target.write(run.start as u64, data.slice(run))))
}

/// The ranges without a block of zeros.
fn runs(data: &[u8], block_bytes: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, block) in data.chunks(block_bytes).enumerate() {
        let start = index * block_bytes;
        match runs.last_mut() {
            _ if block.iter().all(|&byte| byte == 0) => {}
            Some(run) if run.end == start => run.end += block.len(),
            _ => runs.push(start..start + block.len()),
        }
    }
    runs
}
