//! Images as a whole: made, listed and removed without being opened.
//!
//! The id object claims the name, the directory entry says that the image is complete. Everything in between can be found
//! from the name, so that what a crash leaves behind can be made again or removed.

mod clone;
mod create;
mod directory;
mod remove;

pub use clone::{CloneOptions, clone};
pub use create::{CreateOptions, create};
pub(crate) use directory::entry_by_id;
pub use directory::{Child, children, image_id, list, watchers};
pub use remove::remove;
