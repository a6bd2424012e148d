//! The methods.

use bytes::Bytes;
use errno::Errno;
use proto::cls::lock::v1::{
    AssertLocked, BreakLock, GetInfo, GetInfoReply, ListLocksReply, Lock, LockType, Locker, SetCookie, Unlock,
};

use super::state::{Holder, LockState, PREFIX};
use crate::cls::done;
use crate::cls::protobuf::{decode, reply};
use crate::error::{Outcome, refuse};
use crate::time::Millis;
use crate::vector::target::Target;
use crate::vector::{Caller, Fact};

pub(super) fn lock(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let request: Lock = decode(input)?;
    identify(caller)?;
    if valid_type(request.r#type).is_none() || (request.may_renew && request.must_renew) {
        return refuse(Errno::EINVAL, "a lock needs a type, and at most one of may_renew and must_renew");
    }
    let mut state = LockState::load(target, &request.name, caller.now)?;
    admit(&mut state, caller.gid, &request)?;
    let holders_max = target.limits().holders_per_lock_max;
    if state.holders.len() >= holders_max as usize {
        let rule = format!("lock {:?} has holders_per_lock_max = {holders_max} holders", request.name);
        return refuse(Errno::EDQUOT, rule);
    }
    state.r#type = request.r#type;
    state.tag = request.tag;
    state.holders.push(Holder {
        gid: caller.gid,
        cookie: request.cookie.clone(),
        address: caller.address.to_owned(),
        description: request.description,
        expires_at_ms: (request.duration_ms > 0).then(|| caller.now.0.saturating_add(request.duration_ms)),
    });
    state.store(target, &request.name)?;
    target.tell(Fact::LockTaken { name: request.name, cookie: request.cookie });
    done(Ok(()))
}

/// The check order of cls_lock: tag, own entry, others. A renewed entry is taken out, to be put in again.
fn admit(state: &mut LockState, gid: u64, request: &Lock) -> Outcome<()> {
    let Lock { name, cookie, tag, .. } = request;
    if !state.holders.is_empty() && state.tag != *tag {
        return refuse(Errno::EBUSY, format!("lock {name:?} is held with tag {:?}, not {tag:?}", state.tag));
    }
    match state.position(gid, cookie) {
        Some(mine) if request.may_renew || request.must_renew => drop(state.holders.remove(mine)),
        Some(_) => {
            return refuse(Errno::EEXIST, format!("lock {name:?} is held by client {gid} cookie {cookie:?}"));
        }
        None if request.must_renew => {
            return refuse(
                Errno::ENOENT,
                format!("client {gid} cookie {cookie:?} holds no lock {name:?} to renew"),
            );
        }
        None => {}
    }
    let is_shared = request.r#type == state.r#type && request.r#type() == LockType::Shared;
    match state.holders.first() {
        Some(Holder { gid, cookie, .. }) if !is_shared => {
            refuse(Errno::EBUSY, format!("lock {name:?} is held by client {gid} cookie {cookie:?}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn unlock(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let Unlock { name, cookie } = decode(input)?;
    identify(caller)?;
    remove_holder(target, caller.now, &name, caller.gid, &cookie)?;
    target.tell(Fact::LockReleased { name, cookie });
    done(Ok(()))
}

pub(super) fn break_lock(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let BreakLock { name, gid, cookie } = decode(input)?;
    remove_holder(target, caller.now, &name, gid, &cookie)?;
    target.tell(Fact::LockBroken { name, gid, cookie });
    done(Ok(()))
}

fn remove_holder(target: &mut Target<'_>, now: Millis, name: &str, gid: u64, cookie: &str) -> Outcome<()> {
    let mut state = LockState::load(target, name, now)?;
    let Some(holder) = state.position(gid, cookie) else {
        return refuse(Errno::ENOENT, format!("client {gid} cookie {cookie:?} does not hold lock {name:?}"));
    };
    state.holders.remove(holder);
    state.store(target, name)
}

pub(super) fn set_cookie(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SetCookie { name, r#type, cookie, tag, new_cookie } = decode(input)?;
    target.stat()?;
    let mut state = LockState::load(target, &name, caller.now)?;
    let holder = held(&state, caller, &name, r#type, &tag, &cookie)?;
    if state.position(caller.gid, &new_cookie).is_some() {
        let gid = caller.gid;
        return refuse(
            Errno::EBUSY,
            format!("client {gid} holds lock {name:?} with cookie {new_cookie:?} already"),
        );
    }
    state.holders[holder].cookie.clone_from(&new_cookie);
    state.store(target, &name)?;
    target.tell(Fact::LockCookieChanged { name, old: cookie, new: new_cookie });
    done(Ok(()))
}

pub(super) fn assert_locked(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let AssertLocked { name, r#type, cookie, tag } = decode(input)?;
    target.stat()?;
    let state = LockState::load(target, &name, caller.now)?;
    held(&state, caller, &name, r#type, &tag, &cookie)?;
    done(Ok(()))
}

/// The caller's place among the holders; EBUSY unless he holds exactly this.
fn held(
    state: &LockState,
    caller: &Caller<'_>,
    name: &str,
    r#type: i32,
    tag: &str,
    cookie: &str,
) -> Outcome<usize> {
    identify(caller)?;
    let Some(wanted) = valid_type(r#type) else {
        return refuse(Errno::EINVAL, format!("{type} is no lock type"));
    };
    let gid = caller.gid;
    if state.holders.is_empty() {
        return refuse(Errno::EBUSY, format!("nobody holds lock {name:?}"));
    }
    if state.r#type() != wanted || state.tag != tag {
        return refuse(
            Errno::EBUSY,
            format!("lock {name:?} is held with another type, or with tag {:?}", state.tag),
        );
    }
    match state.position(gid, cookie) {
        Some(position) => Ok(position),
        None => refuse(Errno::EBUSY, format!("client {gid} cookie {cookie:?} does not hold lock {name:?}")),
    }
}

pub(super) fn get_info(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let GetInfo { name } = decode(input)?;
    target.stat()?;
    let state = LockState::load(target, &name, caller.now)?;
    let mut lockers: Vec<Locker> = state.holders.iter().map(|holder| locker(holder, caller.now)).collect();
    lockers.sort_by(|left, right| (left.gid, &left.cookie).cmp(&(right.gid, &right.cookie)));
    reply(&GetInfoReply { lockers, r#type: state.r#type, tag: state.tag })
}

fn locker(holder: &Holder, now: Millis) -> Locker {
    let Holder { gid, cookie, address, description, expires_at_ms } = holder.clone();
    Locker {
        gid,
        cookie,
        address,
        description,
        expires_in_ms: expires_at_ms.map(|at| at.saturating_sub(now.0)),
    }
}

pub(super) fn list_locks(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    target.stat()?;
    let xattrs = target.xattrs()?;
    let names = xattrs.keys().filter_map(|key| key.strip_prefix(PREFIX.as_bytes()));
    reply(&ListLocksReply { names: names.map(|name| String::from_utf8_lossy(name).into_owned()).collect() })
}

/// EINVAL for a caller without a session: nobody could ever be asked to give the lock up.
fn identify(caller: &Caller<'_>) -> Outcome<()> {
    if caller.gid == 0 {
        return refuse(Errno::EINVAL, "a lock is held by a client instance, and gid 0 is none");
    }
    Ok(())
}

fn valid_type(number: i32) -> Option<LockType> {
    LockType::try_from(number).ok().filter(|&found| found != LockType::None)
}
