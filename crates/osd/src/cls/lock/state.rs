//! What is stored of a lock: the value of attribute `lock.NAME`, as Ceph encodes it.

use ceph_wire::cls::{LockInfo, LockKind, LockerId};
use ceph_wire::{EntityName, EntityType, Utime};
use errno::Errno;

use crate::cls::ceph;
use crate::error::{Outcome, refuse};
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::vector::Caller;
use crate::vector::target::Target;

/// Attributes with this prefix are locks.
pub(super) const PREFIX: &str = "lock.";

/// The lock as it stands: expired holders have gone. An object without it has it unlocked.
pub(super) fn load(target: &Target<'_>, caller: &Caller<'_>, name: &str) -> Outcome<LockInfo> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "a lock needs a name");
    }
    check_name("a lock's name", name, NAME_BYTES_MAX - PREFIX.len())?;
    let key = format!("{PREFIX}{name}");
    let value = target.xattr(key.as_bytes())?;
    let mut lock: LockInfo = value.map_or(Ok(LockInfo::none()), |value| ceph::stored(&key, &value))?;
    let now = Utime::from_millis(caller.unix_ms);
    lock.lockers.retain(|_, locker| locker.expiration == Utime::default() || locker.expiration > now);
    Ok(lock)
}

/// How a lock is stored that somebody has left.
pub(super) type Store = fn(&mut Target<'_>, &str, &LockInfo) -> Outcome<()>;

/// Stores it. An unlocked lock keeps its kind and tag; an ephemeral one takes its object along.
pub(super) fn store(target: &mut Target<'_>, name: &str, lock: &LockInfo) -> Outcome<()> {
    if lock.lockers.is_empty() && lock.kind == LockKind::ExclusiveEphemeral {
        return target.remove();
    }
    target.set_xattr(format!("{PREFIX}{name}"), ceph_wire::to_bytes(lock))
}

/// The same, but an unlocked lock leaves nothing behind.
pub(super) fn store_or_drop(target: &mut Target<'_>, name: &str, lock: &LockInfo) -> Outcome<()> {
    if lock.lockers.is_empty() && lock.kind != LockKind::ExclusiveEphemeral {
        return target.remove_xattr(format!("{PREFIX}{name}"));
    }
    store(target, name, lock)
}

/// A client instance and which one of its holds.
pub(super) fn locker(gid: u64, cookie: &str) -> LockerId {
    LockerId { name: EntityName { kind: EntityType::Client, number: gid as i64 }, cookie: cookie.to_owned() }
}
