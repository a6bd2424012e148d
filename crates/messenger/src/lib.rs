//! Ceph's messenger v2 (revision 1, mode crc, authentication none) as a value: the server's end of one connection. Bytes
//! that arrived go in, messages and bytes to send come out. There is no socket, no clock and no task here.

mod connection;
mod error;
mod frame;
mod handshake;
mod limits;
mod output;

pub use connection::{Connection, Event, Local, Peer};
pub use error::Broken;
pub use frame::{Decoder, Frame, Tag, encode};
pub use handshake::{
    AuthBadMethod, AuthClaim, AuthDone, AuthRequest, BANNER, ClientIdent, Hello, ServerIdent, banner,
};
pub use limits::Limits;
pub use output::Output;
