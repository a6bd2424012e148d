//! What a client may ask for at most.

use bytes::Bytes;
use errno::Errno;

use crate::Millis;
use crate::error::{Outcome, refuse};
use crate::text::beginning;

/// Every limit of an OSD. Whoever meets one gets an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one op vector carries, all ops and its snap context together; as many for its results (E2BIG).
    pub payload_bytes_max: u64,
    /// Ops in one vector (E2BIG).
    pub ops_per_vector_max: u32,
    /// Watches on one object (EMFILE).
    pub watches_per_object_max: u32,
    /// Watches of one session (EMFILE).
    pub watches_per_session_max: u32,
    /// Notifies that wait for acks on one object (EAGAIN).
    pub pending_notifies_per_object_max: u32,
    /// Ops in flight: of the unary calls of one session (EAGAIN), and of each op stream, which waits at the limit.
    pub in_flight_ops_per_session_max: u32,
    /// Bytes of one object (EFBIG).
    pub object_bytes_max: u64,
    /// Objects of one pool (EDQUOT).
    pub objects_per_pool_max: u64,
    /// Bytes of data of one pool; what clones share counts for each (EDQUOT).
    pub bytes_per_pool_max: u64,
    /// Xattrs and omap keys of one object (EDQUOT).
    pub entries_per_object_max: u64,
    /// Bytes of their names and values (EDQUOT).
    pub entry_bytes_per_object_max: u64,
    /// Who holds one lock of class `lock` at a time (EDQUOT).
    pub holders_per_lock_max: u32,
}

/// Keys in one answer to `OmapList` and `dir_list`; also what a wish for 0 means.
pub(crate) const KEYS_PER_PAGE_MAX: u32 = 1_000;

/// How long a watch may ask to be silent, 1 h (EINVAL).
pub const WATCH_TIMEOUT_MAX: Millis = Millis(3_600_000);

/// How long a notify may ask to wait for acks, 1 h (EINVAL).
pub const NOTIFY_TIMEOUT_MAX: Millis = Millis(3_600_000);

/// Payload of one ack, 64 KiB. A larger one counts as an answer without payload.
pub const ACK_BYTES_MAX: usize = 64 << 10;

/// Payloads of all acks of one notify, 8 MiB, so that its reply always fits into a message. An ack that would exceed it
/// counts as an answer without payload.
pub const ACKS_BYTES_MAX: usize = 8 << 20;

/// Smaller values are copied where they are kept: each is a part of the message that brought it and would keep all of
/// that.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// A value to keep for long.
pub(crate) fn kept(value: Bytes) -> Bytes {
    if value.len() < COPIED_BYTES_MAX { Bytes::copy_from_slice(&value) } else { value }
}

/// Bytes of the name of a pool, an object, a client, a class, a method or an xattr.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// Bytes of an omap key.
pub(crate) const OMAP_KEY_BYTES_MAX: usize = 1024;

/// Bytes of what was attempted in an error's text, and as many of the rule that it broke. The text travels in the header of
/// a reply.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// Bytes of an event's detail. It holds the names of all ops of a vector.
pub(crate) const DETAIL_BYTES_MAX: usize = 4096;

/// Bytes of a payload that an event shows, 4 KiB: what clients of images say to each other is smaller. How long it was is in
/// the event.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 4096;

/// Bytes of a name that an error repeats when it is too long.
const TOO_LONG_SHOWN_BYTES: usize = 32;

/// ENAMETOOLONG beyond the limit; `what` says whose name it is: "a pool's name".
pub(crate) fn check_name(what: &str, name: &str, bytes_max: usize) -> Outcome<()> {
    check_bytes(what, name.as_bytes(), bytes_max)
}

/// The same for a name of bytes.
pub(crate) fn check_bytes(what: &str, name: &[u8], bytes_max: usize) -> Outcome<()> {
    if name.len() <= bytes_max {
        return Ok(());
    }
    let name = String::from_utf8_lossy(name);
    let shown = beginning(&name, TOO_LONG_SHOWN_BYTES);
    refuse(Errno::ENAMETOOLONG, format!("{what} has at most {bytes_max} bytes, unlike {shown}"))
}

/// E2BIG for more bytes than a payload may have; `what` says of what: "a notify".
pub(crate) fn check_bytes_max(what: &str, bytes: u64, bytes_max: u64) -> Outcome<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    refuse(Errno::E2BIG, format!("{what} of {bytes} bytes is more than payload_bytes_max = {bytes_max}"))
}

/// EINVAL for a time beyond a limit: what waits for a client must end. `what` says which: "a watch timeout".
pub(crate) fn check_span(
    what: &str,
    Millis(span): Millis,
    (limit, Millis(max)): (&str, Millis),
) -> Outcome<()> {
    if span <= max {
        return Ok(());
    }
    refuse(Errno::EINVAL, format!("{what} of {span} ms is more than {limit} = {max} ms"))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 16 << 20,
            ops_per_vector_max: 64,
            watches_per_object_max: 1024,
            watches_per_session_max: 16_384,
            pending_notifies_per_object_max: 1024,
            in_flight_ops_per_session_max: 1024,
            object_bytes_max: 128 << 20,
            objects_per_pool_max: 256_000_000,
            bytes_per_pool_max: 1 << 40,
            entries_per_object_max: 10_000_000,
            entry_bytes_per_object_max: 1 << 30,
            holders_per_lock_max: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_value_does_not_keep_the_message_that_brought_it() {
        let message = Bytes::from(vec![7; 4 << 20]);
        let (small, large) = (message.slice(..COPIED_BYTES_MAX - 1), message.slice(..COPIED_BYTES_MAX));
        assert_eq!(kept(small.clone()), small);
        assert_ne!(kept(small).as_ptr(), message.as_ptr());
        assert_eq!(kept(large).as_ptr(), message.as_ptr());
    }
}
