/// What one connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame, all of its segments together.
    pub frame_bytes_max: usize,
    /// Bytes of one frame before the peer has said who it is.
    pub handshake_frame_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes_max: 100 << 20, handshake_frame_bytes_max: 4 << 10 }
    }
}
