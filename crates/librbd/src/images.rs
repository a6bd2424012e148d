//! Images as a whole: made, listed and removed without being opened.
//!
//! The directory has an image before anything of it exists and until everything of it has gone, and the header says that it is
//! complete ([`unfinished`]). So what a crash leaves behind is found from its name, and finished or removed by whoever meets it.

mod answering;
mod children;
mod clone;
mod create;
mod directory;
mod remove;
pub(crate) mod rename;
mod unfinished;

pub(crate) use children::children_of;
pub use children::{Child, children};
pub use clone::{CloneOptions, clone};
pub use create::{CreateOptions, create};
pub(crate) use directory::entry_by_id;
pub use directory::{image_id, image_name, list, watchers};
pub use remove::remove;
