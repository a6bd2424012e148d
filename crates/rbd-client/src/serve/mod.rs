//! The serving process: one image kept open, and services RbdClient and Clock over it.

mod client_events;
mod clock;
mod held_image;
mod new_images;
mod operation_stream;
mod server;
mod service;
mod wire;

pub(crate) use held_image::HeldImage;
pub(crate) use server::until;
