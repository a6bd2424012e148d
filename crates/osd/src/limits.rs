//! What a client may ask for at most.

/// Every limit of an OSD. Whoever meets one gets an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one op vector carries, all ops together; as many for its results (E2BIG).
    pub payload_bytes_max: u64,
    /// Ops in one vector (E2BIG).
    pub ops_per_vector_max: u32,
    /// Watches on one object (EMFILE).
    pub watches_per_object_max: u32,
    /// Notifies that wait for acks on one object (EAGAIN).
    pub pending_notifies_per_object_max: u32,
    /// Unanswered ops of one session (EAGAIN).
    pub in_flight_ops_per_session_max: u32,
    /// Bytes of one object (EFBIG).
    pub object_bytes_max: u64,
}

/// Keys in one answer to `OmapList` and `dir_list`; also what a wish for 0 means.
pub(crate) const KEYS_PER_PAGE_MAX: u32 = 1_000;

/// Bytes of an object's name.
pub(crate) const NAME_BYTES_MAX: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 16 << 20,
            ops_per_vector_max: 64,
            watches_per_object_max: 1024,
            pending_notifies_per_object_max: 1024,
            in_flight_ops_per_session_max: 1024,
            object_bytes_max: 128 << 20,
        }
    }
}
