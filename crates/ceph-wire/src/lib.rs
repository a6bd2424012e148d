//! Ceph's encodings as values: what its clients, monitors and OSDs say to each other, both directions, without I/O.
//!
//! Everything that travels implements [`Wire`]: it appends itself to a [`Writer`] and reads itself from a bounded
//! [`Reader`]. Integers are little-endian; a sequence is a u32 count and its items; a versioned struct says its version,
//! the oldest decoder that may read it, and its length, so that each side skips what it does not know.

#[macro_use]
mod numbered;
#[macro_use]
mod record;

mod address;
mod basic;
pub mod cls;
pub mod crc;
mod error;
#[cfg(test)]
mod fuzzing;
pub mod librbd;
mod message;
pub mod mon;
pub mod osd;
pub mod osdmap;
mod place;
#[cfg(test)]
mod properties;
mod reader;
#[cfg(test)]
mod sample;
mod tail;
mod wire;
mod writer;

pub use address::{AddrKind, AddrVec, EntityAddr};
pub use basic::{AuthName, EntityName, EntityType, Eversion, Utime, Uuid};
pub use error::{Problem, WireError};
pub use message::{Message, MessageHeader, Payload, kind};
pub use place::{Hobject, ObjectLocator, Pg, ReqId, SnapContext, Spg};
pub use reader::Reader;
pub use tail::Tail;
pub use wire::{Wire, from_bytes, to_bytes};
pub use writer::Writer;

/// The features of a peer, as Pacific's daemons say them. It has neither Squid's nor Tentacle's bit: newer clients fall
/// back to the encodings of this crate.
pub const FEATURES: u64 = 0x3f01_cfbd_fffd_ffff;

/// The HEAD of an object, where a snapshot id is asked for.
pub const NOSNAP: u64 = 0xffff_ffff_ffff_fffe;

/// All preserved states of an object, where a snapshot id is asked for.
pub const SNAPDIR: u64 = 0xffff_ffff_ffff_ffff;
