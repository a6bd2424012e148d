//! Ops on the data objects of an image: reads that fall through to the parent, and guarded writes.

mod read;
mod window;
mod write;

pub(crate) use read::{Detail, ReadOutcome, Source, parent_data, read_extent};
pub(crate) use window::Window;
pub(crate) use write::{Change, Guard, ObjectWriter, Written};

/// Largest piece of one object that is read or written by one op, in bytes; well below the OSD's payload limit.
pub(crate) const PIECE_BYTES_MAX: u64 = 4 << 20;
