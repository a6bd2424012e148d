//! The methods, as both kinds of clients call them.

use ceph_wire::Utime;
use ceph_wire::cls::{self, LockInfo, LockKind, LockName, LockNames, LockerId, LockerInfo, lock_flag};
use errno::Errno;
use proto::cls::lock::v1 as wire;

use super::methods;
use super::state::{locker, store, store_or_drop};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};

pub(in crate::cls) const METHODS: &[Method] = &[
    Method::writes(
        "lock",
        |target, caller, input| done(methods::lock(target, caller, request(protobuf::decode(input)?)?)),
        |target, caller, input| done(methods::lock(target, caller, ceph::decode(input)?)),
    ),
    Method::writes(
        "unlock",
        |target, caller, input| {
            let wire::Unlock { name, cookie } = protobuf::decode(input)?;
            done(methods::unlock(target, caller, &name, &cookie, store_or_drop))
        },
        |target, caller, input| {
            let cls::Unlock { name, cookie } = ceph::decode(input)?;
            done(methods::unlock(target, caller, &name, &cookie, store))
        },
    ),
    Method::writes(
        "break_lock",
        |target, caller, input| {
            let wire::BreakLock { name, gid, cookie } = protobuf::decode(input)?;
            done(methods::break_lock(target, caller, &name, &locker(gid, &cookie), store_or_drop))
        },
        |target, caller, input| {
            let cls::BreakLock { name, locker, cookie } = ceph::decode(input)?;
            let holder = LockerId { name: locker, cookie };
            done(methods::break_lock(target, caller, &name, &holder, store))
        },
    ),
    Method::writes(
        "set_cookie",
        |target, caller, input| {
            let wire::SetCookie { name, r#type, cookie, tag, new_cookie } = protobuf::decode(input)?;
            let kind = kind(r#type)?;
            done(methods::set_cookie(target, caller, cls::SetCookie { name, kind, cookie, tag, new_cookie }))
        },
        |target, caller, input| done(methods::set_cookie(target, caller, ceph::decode(input)?)),
    ),
    Method::reads(
        "get_info",
        |target, caller, input| {
            let wire::GetInfo { name } = protobuf::decode(input)?;
            protobuf::reply(&info(caller.unix_ms, methods::get_info(target, caller, &name)?))
        },
        |target, caller, input| {
            let LockName { name } = ceph::decode(input)?;
            ceph::reply(&methods::get_info(target, caller, &name)?)
        },
    ),
    Method::reads(
        "list_locks",
        |target, _, _| {
            let held = methods::list(target)?.into_iter().filter(|(_, is_held)| *is_held);
            protobuf::reply(&wire::ListLocksReply { names: held.map(|(name, _)| name).collect() })
        },
        |target, _, _| {
            let names = methods::list(target)?.into_iter().map(|(name, _)| name).collect();
            ceph::reply(&LockNames { names })
        },
    ),
    Method::reads(
        "assert_locked",
        |target, caller, input| {
            let wire::AssertLocked { name, r#type, cookie, tag } = protobuf::decode(input)?;
            let kind = kind(r#type)?;
            done(methods::assert_locked(target, caller, &cls::AssertLocked { name, kind, cookie, tag }))
        },
        |target, caller, input| done(methods::assert_locked(target, caller, &ceph::decode(input)?)),
    ),
];

fn request(request: wire::Lock) -> Outcome<cls::Lock> {
    let wire::Lock { name, r#type, cookie, tag, description, duration_ms, may_renew, must_renew } = request;
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    Ok(cls::Lock {
        name,
        kind: kind(r#type)?,
        cookie,
        tag,
        description,
        duration: Utime::from_millis(duration_ms),
        flags: flag(may_renew, lock_flag::MAY_RENEW) | flag(must_renew, lock_flag::MUST_RENEW),
    })
}

/// EINVAL for what is no lock type.
fn kind(number: i32) -> Outcome<LockKind> {
    match u8::try_from(number).ok().and_then(LockKind::from_number) {
        Some(kind) => Ok(kind),
        None => refuse(Errno::EINVAL, format!("{number} is no lock type")),
    }
}

/// A lock that nobody holds is as one that nobody ever took.
fn info(now_unix_ms: u64, lock: LockInfo) -> wire::GetInfoReply {
    if lock.lockers.is_empty() {
        return wire::GetInfoReply::default();
    }
    let LockInfo { lockers, kind, tag } = lock;
    let message = |(id, info): (LockerId, LockerInfo)| wire::Locker {
        gid: id.name.number as u64,
        cookie: id.cookie,
        address: info.address.to_string(),
        description: info.description,
        expires_in_ms: (info.expiration != Utime::default())
            .then(|| info.expiration.as_millis().saturating_sub(now_unix_ms)),
    };
    let lockers = lockers.into_iter().map(message).collect();
    wire::GetInfoReply { lockers, r#type: kind.number().into(), tag }
}
