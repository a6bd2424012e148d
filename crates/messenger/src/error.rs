use ceph_wire::WireError;

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It speaks something else.
    #[error("the peer does not speak messenger v2")]
    Banner,
    /// It has none of the frames that are spoken here.
    #[error("the peer does not speak revision 1 of messenger v2")]
    Revision,
    /// A checksum is not that of the bytes.
    #[error("{0}: wrong checksum")]
    Checksum(&'static str),
    /// A frame that makes no sense.
    #[error("a frame {0}")]
    Frame(&'static str),
    /// A frame above the limit.
    #[error("a frame of {bytes} bytes; at most {max} are taken")]
    TooLarge {
        /// Of it.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A frame that has no place in this state.
    #[error("a frame with tag {tag} is not expected {state}")]
    Unexpected {
        /// Its tag.
        tag: u8,
        /// Where the connection stands.
        state: &'static str,
    },
    /// A frame whose content does not decode.
    #[error(transparent)]
    Wire(#[from] WireError),
}
