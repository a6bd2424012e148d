//! Class `lock` on an image's header: the one place that fills its inputs and reads its answers.

use proto::cls::lock::v1 as wire;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::locker::{LOCK_NAME, LOCK_TAG, LockInfo, LockKind, LockerInfo};

/// Takes the automatic exclusive lock; `may_renew`: holding it already is fine.
pub(crate) fn lock(op: ObjectOp, cookie: &str, may_renew: bool) -> ObjectOp {
    let tag = LOCK_TAG.to_owned();
    let input = wire::Lock { tag, may_renew, ..a_lock(wire::LockType::Exclusive, cookie) };
    op.exec("lock", "lock", &input)
}

/// Takes a lock by hand: shared with all who use the same tag, or exclusively.
pub(crate) fn lock_by_hand(op: ObjectOp, cookie: &str, shared_tag: Option<&str>) -> ObjectOp {
    let kind = if shared_tag.is_some() { wire::LockType::Shared } else { wire::LockType::Exclusive };
    let tag = shared_tag.unwrap_or_default().to_owned();
    op.exec("lock", "lock", &wire::Lock { tag, ..a_lock(kind, cookie) })
}

fn a_lock(kind: wire::LockType, cookie: &str) -> wire::Lock {
    let (name, cookie) = (LOCK_NAME.to_owned(), cookie.to_owned());
    wire::Lock { name, r#type: kind.into(), cookie, ..wire::Lock::default() }
}

/// EBUSY unless this client holds the automatic exclusive lock under the cookie.
pub(crate) fn assert_locked(op: ObjectOp, cookie: &str) -> ObjectOp {
    let input = wire::AssertLocked {
        name: LOCK_NAME.to_owned(),
        r#type: wire::LockType::Exclusive.into(),
        cookie: cookie.to_owned(),
        tag: LOCK_TAG.to_owned(),
    };
    op.exec("lock", "assert_locked", &input)
}

/// Changes the cookie of the automatic exclusive lock.
pub(crate) fn set_cookie(op: ObjectOp, old: &str, new: &str) -> ObjectOp {
    let input = wire::SetCookie {
        name: LOCK_NAME.to_owned(),
        r#type: wire::LockType::Exclusive.into(),
        cookie: old.to_owned(),
        tag: LOCK_TAG.to_owned(),
        new_cookie: new.to_owned(),
    };
    op.exec("lock", "set_cookie", &input)
}

/// Gives an own lock back.
pub(crate) fn unlock(op: ObjectOp, cookie: &str) -> ObjectOp {
    op.exec("lock", "unlock", &wire::Unlock { name: LOCK_NAME.to_owned(), cookie: cookie.to_owned() })
}

/// Takes a lock away from its holder.
pub(crate) fn break_lock(op: ObjectOp, gid: u64, cookie: &str) -> ObjectOp {
    let (name, cookie) = (LOCK_NAME.to_owned(), cookie.to_owned());
    op.exec("lock", "break_lock", &wire::BreakLock { name, gid, cookie })
}

/// Who holds the lock of the image with this header.
pub(crate) async fn info(io: &IoCtx, header: &str) -> Result<LockInfo, rados::Error> {
    let input = wire::GetInfo { name: LOCK_NAME.to_owned() };
    let reply = io.operate(header, ObjectOp::new().exec("lock", "get_info", &input)).await?;
    let info: wire::GetInfoReply = reply.exec(0)?;
    let kind = match info.r#type() {
        wire::LockType::Exclusive => LockKind::Exclusive,
        wire::LockType::Shared => LockKind::Shared,
        wire::LockType::None | wire::LockType::ExclusiveEphemeral => LockKind::Other,
    };
    let locker =
        |locker: wire::Locker| LockerInfo { gid: locker.gid, cookie: locker.cookie, address: locker.address };
    Ok(LockInfo { kind, tag: info.tag, lockers: info.lockers.into_iter().map(locker).collect() })
}
