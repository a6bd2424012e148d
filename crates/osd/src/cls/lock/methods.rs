//! The rules.

use ceph_wire::cls::{AssertLocked, Lock, LockInfo, LockKind, LockerId, LockerInfo, SetCookie, lock_flag};
use ceph_wire::{AddrKind, EntityAddr, Utime};
use errno::Errno;

use super::state::{PREFIX, Store, load, locker, store};
use crate::cls::ceph;
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;
use crate::vector::{Caller, Fact};

pub(super) fn lock(target: &mut Target<'_>, caller: &Caller<'_>, request: Lock) -> Outcome<()> {
    identify(caller)?;
    let both = lock_flag::MAY_RENEW | lock_flag::MUST_RENEW;
    if request.kind == LockKind::None || request.flags & both == both {
        return refuse(Errno::EINVAL, "a lock needs a type, and at most one of may_renew and must_renew");
    }
    let mut lock = load(target, caller, &request.name)?;
    let id = locker(caller.gid, &request.cookie);
    admit(&mut lock, &id, &request)?;
    let holders_max = target.limits().holders_per_lock_max;
    if lock.lockers.len() >= holders_max as usize {
        let rule = format!("lock {:?} has holders_per_lock_max = {holders_max} holders", request.name);
        return refuse(Errno::EDQUOT, rule);
    }
    lock.kind = request.kind;
    lock.tag = request.tag;
    let expiration = expiration(caller, request.duration);
    let address = EntityAddr { kind: AddrKind::Legacy, ..caller.entity() };
    lock.lockers.insert(id, LockerInfo { expiration, address, description: request.description });
    store(target, &request.name, &lock)?;
    target.tell(Fact::LockTaken { name: request.name, cookie: request.cookie });
    Ok(())
}

/// 0 = never.
fn expiration(caller: &Caller<'_>, duration: Utime) -> Utime {
    if duration == Utime::default() {
        return duration;
    }
    Utime::from_millis(caller.unix_ms.saturating_add(duration.as_millis().max(1)))
}

/// The check order of cls_lock: tag, own entry, others. A renewed entry is taken out, to be put in again.
fn admit(lock: &mut LockInfo, id: &LockerId, request: &Lock) -> Outcome<()> {
    let Lock { name, tag, flags, .. } = request;
    let (must_renew, renews) = (flags & lock_flag::MUST_RENEW != 0, *flags != 0);
    if !lock.lockers.is_empty() && lock.tag != *tag {
        return refuse(Errno::EBUSY, format!("lock {name:?} is held with tag {:?}, not {tag:?}", lock.tag));
    }
    if lock.lockers.contains_key(id) && !renews {
        return refuse(Errno::EEXIST, format!("lock {name:?} is held by {}", shown(id)));
    }
    if lock.lockers.remove(id).is_none() && must_renew {
        return refuse(Errno::ENOENT, format!("{} holds no lock {name:?} to renew", shown(id)));
    }
    let is_shared = request.kind == lock.kind && request.kind == LockKind::Shared;
    match lock.lockers.keys().next() {
        Some(holder) if !is_shared => {
            refuse(Errno::EBUSY, format!("lock {name:?} is held by {}", shown(holder)))
        }
        _ => Ok(()),
    }
}

pub(super) fn unlock(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    name: &str,
    cookie: &str,
    store: Store,
) -> Outcome<()> {
    identify(caller)?;
    remove(target, caller, name, &locker(caller.gid, cookie), store)?;
    target.tell(Fact::LockReleased { name: name.to_owned(), cookie: cookie.to_owned() });
    Ok(())
}

pub(super) fn break_lock(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    name: &str,
    holder: &LockerId,
    store: Store,
) -> Outcome<()> {
    remove(target, caller, name, holder, store)?;
    let (gid, cookie) = (holder.name.number as u64, holder.cookie.clone());
    target.tell(Fact::LockBroken { name: name.to_owned(), gid, cookie });
    Ok(())
}

/// ENOENT unless he holds it.
fn remove(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    name: &str,
    holder: &LockerId,
    store: Store,
) -> Outcome<()> {
    let mut lock = load(target, caller, name)?;
    match lock.lockers.remove(holder) {
        Some(_) => store(target, name, &lock),
        None => refuse(Errno::ENOENT, format!("{} does not hold lock {name:?}", shown(holder))),
    }
}

pub(super) fn set_cookie(target: &mut Target<'_>, caller: &Caller<'_>, request: SetCookie) -> Outcome<()> {
    let SetCookie { name, kind, cookie, tag, new_cookie } = request;
    target.stat()?;
    let mut lock = load(target, caller, &name)?;
    let held = held(&lock, caller, &AssertLocked { name: name.clone(), kind, cookie: cookie.clone(), tag })?;
    let wanted = locker(caller.gid, &new_cookie);
    if lock.lockers.contains_key(&wanted) {
        return refuse(Errno::EBUSY, format!("{} holds lock {name:?} already", shown(&wanted)));
    }
    if let Some(info) = lock.lockers.remove(&held) {
        lock.lockers.insert(wanted, info);
    }
    store(target, &name, &lock)?;
    target.tell(Fact::LockCookieChanged { name, old: cookie, new: new_cookie });
    Ok(())
}

pub(super) fn assert_locked(target: &Target<'_>, caller: &Caller<'_>, wanted: &AssertLocked) -> Outcome<()> {
    target.stat()?;
    held(&load(target, caller, &wanted.name)?, caller, wanted).map(drop)
}

/// The caller's place among the holders; EBUSY unless he holds exactly this.
fn held(lock: &LockInfo, caller: &Caller<'_>, wanted: &AssertLocked) -> Outcome<LockerId> {
    let AssertLocked { name, kind, cookie, tag } = wanted;
    identify(caller)?;
    if *kind == LockKind::None {
        return refuse(Errno::EINVAL, "a lock is not held as one that nobody holds");
    }
    if lock.lockers.is_empty() {
        return refuse(Errno::EBUSY, format!("nobody holds lock {name:?}"));
    }
    if lock.kind != *kind || lock.tag != *tag {
        let rule = format!("lock {name:?} is held with another type, or with tag {:?}", lock.tag);
        return refuse(Errno::EBUSY, rule);
    }
    let id = locker(caller.gid, cookie);
    if !lock.lockers.contains_key(&id) {
        return refuse(Errno::EBUSY, format!("{} does not hold lock {name:?}", shown(&id)));
    }
    Ok(id)
}

pub(super) fn get_info(target: &Target<'_>, caller: &Caller<'_>, name: &str) -> Outcome<LockInfo> {
    target.stat()?;
    load(target, caller, name)
}

/// Names of all locks, those without holders too; whether somebody holds it stands beside each.
pub(super) fn list(target: &Target<'_>) -> Outcome<Vec<(String, bool)>> {
    target.stat()?;
    let mut locks = Vec::new();
    for (key, value) in target.xattrs()? {
        let Some(name) = key.strip_prefix(PREFIX.as_bytes()) else { continue };
        let name = String::from_utf8_lossy(name).into_owned();
        let lock: LockInfo = ceph::stored(&name, &value)?;
        locks.push((name, !lock.lockers.is_empty()));
    }
    Ok(locks)
}

/// EINVAL for a caller without a session: nobody could ever be asked to give the lock up.
fn identify(caller: &Caller<'_>) -> Outcome<()> {
    if caller.gid == 0 {
        return refuse(Errno::EINVAL, "a lock is held by a client instance, and gid 0 is none");
    }
    Ok(())
}

fn shown(id: &LockerId) -> String {
    format!("client {} cookie {:?}", id.name.number, id.cookie)
}
