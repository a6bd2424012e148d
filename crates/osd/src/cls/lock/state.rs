//! What is stored of a lock.

use errno::Errno;
use prost::Message;
use proto::cls::lock::v1::LockType;

use crate::cls::protobuf::stored;
use crate::error::{Outcome, refuse};
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::time::Millis;
use crate::vector::target::Target;

/// Attributes with this prefix are locks.
pub(super) const PREFIX: &str = "lock.";

/// The value of attribute "lock.<name>".
#[derive(Clone, PartialEq, Message)]
pub(super) struct LockState {
    #[prost(enumeration = "LockType", tag = "1")]
    pub(super) r#type: i32,
    #[prost(string, tag = "2")]
    pub(super) tag: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) holders: Vec<Holder>,
}

/// One who holds the lock; (gid, cookie) is unique in a lock.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Holder {
    #[prost(uint64, tag = "1")]
    pub(super) gid: u64,
    #[prost(string, tag = "2")]
    pub(super) cookie: String,
    #[prost(string, tag = "3")]
    pub(super) address: String,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    /// By the OSD's clock; absent = never.
    #[prost(uint64, optional, tag = "5")]
    pub(super) expires_at_ms: Option<u64>,
}

impl LockState {
    /// The lock as it stands at `now`: expired holders have gone. An object without it has it unlocked.
    pub(super) fn load(target: &Target<'_>, name: &str, now: Millis) -> Outcome<Self> {
        if name.is_empty() {
            return refuse(Errno::EINVAL, "a lock needs a name");
        }
        check_name("a lock's name", name, NAME_BYTES_MAX - PREFIX.len())?;
        let key = format!("{PREFIX}{name}");
        let value = target.xattr(key.as_bytes())?;
        let mut state: Self = value.map_or(Ok(Self::default()), |value| stored(&key, &value))?;
        state.holders.retain(|holder| holder.expires_at_ms.is_none_or(|at| at > now.0));
        Ok(state)
    }

    pub(super) fn position(&self, gid: u64, cookie: &str) -> Option<usize> {
        self.holders.iter().position(|holder| holder.gid == gid && holder.cookie == cookie)
    }

    /// Stores it; an unlocked lock leaves nothing behind, and an ephemeral one takes its object along.
    pub(super) fn store(self, target: &mut Target<'_>, name: &str) -> Outcome<()> {
        let key = format!("{PREFIX}{name}");
        if !self.holders.is_empty() {
            target.set_xattr(key, self.encode_to_vec().into())
        } else if self.r#type() == LockType::ExclusiveEphemeral {
            target.remove()
        } else {
            target.remove_xattr(key)
        }
    }
}
