//! An RBD image: open, read, write, copy-up, snapshots, clones, the exclusive lock, and maintenance operations that go to
//! whoever owns it.
//!
//! * [`Image`] is an open image. Behind it stands one owner task (`owner`) that feeds the machines of `rbd-protocol` and
//!   performs their effects; nobody else changes lock or watcher state.
//! * Block I/O passes one gate (`gate`), captures one immutable [`ImageState`] and works under it to its end (`data`).
//! * A maintenance operation goes through `invoke`: take the lock and run it (`operations`), or forward it to the owner.
//! * [`create`], [`clone`], [`list`], [`remove`] and the manual [`locks`] need no open image.

mod breaking;
mod config;
mod copyup;
mod data;
mod done;
mod error;
mod event;
mod features;
mod gate;
mod header;
mod held_lock;
mod image;
mod images;
mod info;
mod invoke;
mod lock_class;
pub mod locks;
pub mod names;
mod object_io;
mod omap;
mod opened;
mod operations;
mod owner;
mod parent;
mod progress;
mod reclaim;
mod requests;
mod state;
pub mod striping;
mod throttle;
mod timestamps;
mod usage;
mod wire;

pub use config::Config;
pub use data::{Applied, DataIo, ObjectFlattened, READ_BYTES_MAX};
pub use error::{Error, IoError, Result};
pub use event::ImageEvent;
pub use features::Features;
pub use header::{Header, load_state, read_header};
pub use image::{Image, OpenOptions};
pub use images::{
    Child, CloneOptions, CreateOptions, children, clone, create, image_id, image_name, list, remove, watchers,
};
pub use info::{Info, LockOwner, ParentInfo};
pub use parent::ParentImage;
pub use progress::{CallOptions, OperationEvent, ProgressSink};
pub use state::{ImageState, ParentLink, ParentSpec, Protection, Snapshot, Times, View};
pub use striping::{Extent, Layout, ObjectExtent};
pub use usage::Usage;
pub use wire::{decode_message, decode_response};

/// The maintenance operations that are forwarded to the lock's owner.
pub const OPERATIONS: &[rbd_protocol::Entry] = rbd_protocol::Operation::TABLE;
