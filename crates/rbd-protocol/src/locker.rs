//! Who holds the lock, read from what class `lock` says (facts 3.1, 3.2).

use errno::Errno;

use crate::ids::ClientId;

/// Name of the lock on the header object.
pub const LOCK_NAME: &str = "rbd_lock";
/// Tag of locks that the exclusive lock takes; any other tag is a user's manual lock.
pub const LOCK_TAG: &str = "internal";

const COOKIE_PREFIX: &str = "auto ";

/// The cookie under which a client with this watch handle holds the lock.
pub fn encode_cookie(handle: u64) -> String {
    format!("{COOKIE_PREFIX}{handle}")
}

/// The watch handle in a cookie; None: not a cookie of the exclusive lock.
pub fn decode_cookie(cookie: &str) -> Option<u64> {
    let digits = cookie.strip_prefix(COOKIE_PREFIX)?;
    let handle: u64 = digits.parse().ok()?;
    (encode_cookie(handle) == cookie).then_some(handle)
}

/// Kind of a lock at the OSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// One locker.
    Exclusive,
    /// Many lockers.
    Shared,
    /// Anything else; never the exclusive lock's.
    Other,
}

/// Answer of `lock.get_info`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockInfo {
    /// Of all lockers.
    pub kind: LockKind,
    /// Of all lockers.
    pub tag: String,
    /// Who holds it.
    pub lockers: Vec<LockerInfo>,
}

/// One locker in the answer of `lock.get_info`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockerInfo {
    /// Client instance.
    pub gid: u64,
    /// Chosen by it.
    pub cookie: String,
    /// Its address when it took the lock; empty = unknown.
    pub address: String,
}

/// An owner of the exclusive lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Locker {
    /// Instance and watch handle.
    pub client: ClientId,
    /// As the OSD stores it.
    pub cookie: String,
    /// Its address when it took the lock.
    pub address: String,
}

/// The owner of the exclusive lock (facts 3.2). ENOENT: nobody. EBUSY: a lock that is not the exclusive lock's, i.e. a
/// foreign tag, a shared lock, a cookie that does not decode, or a locker without address.
pub fn get_locker(info: &LockInfo) -> Result<Locker, Errno> {
    let locker = info.lockers.first().ok_or(Errno::ENOENT)?;
    if info.tag != LOCK_TAG || info.kind != LockKind::Exclusive || locker.address.is_empty() {
        return Err(Errno::EBUSY);
    }
    let handle = decode_cookie(&locker.cookie).ok_or(Errno::EBUSY)?;
    let client = ClientId { gid: locker.gid, handle };
    Ok(Locker { client, cookie: locker.cookie.clone(), address: locker.address.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(kind: LockKind, tag: &str, cookie: &str, address: &str) -> LockInfo {
        let locker = LockerInfo { gid: 2, cookie: cookie.to_owned(), address: address.to_owned() };
        LockInfo { kind, tag: tag.to_owned(), lockers: vec![locker] }
    }

    /// Catalogue row 77.
    #[test]
    fn exclusive_locker_is_decoded() {
        let info = held(LockKind::Exclusive, LOCK_TAG, "auto 7", "a");
        let locker = get_locker(&info).unwrap();
        assert_eq!(locker.client, ClientId { gid: 2, handle: 7 });
        assert_eq!((locker.cookie.as_str(), locker.address.as_str()), ("auto 7", "a"));
    }

    /// Catalogue row 78.
    #[test]
    fn no_locker_is_enoent_whatever_the_tag() {
        let info = LockInfo { kind: LockKind::Shared, tag: "mine".to_owned(), lockers: Vec::new() };
        assert_eq!(get_locker(&info), Err(Errno::ENOENT));
    }

    /// Catalogue row 79.
    #[test]
    fn foreign_tag_is_busy() {
        for tag in ["", "mine", "Internal"] {
            assert_eq!(
                get_locker(&held(LockKind::Exclusive, tag, "auto 7", "a")),
                Err(Errno::EBUSY),
                "{tag:?}"
            );
        }
    }

    /// Catalogue row 80.
    #[test]
    fn other_kind_of_lock_is_busy() {
        for kind in [LockKind::Shared, LockKind::Other] {
            assert_eq!(get_locker(&held(kind, LOCK_TAG, "auto 7", "a")), Err(Errno::EBUSY), "{kind:?}");
        }
    }

    /// Catalogue row 81.
    #[test]
    fn cookie_of_somebody_else_is_busy() {
        for cookie in
            ["", "auto", "auto ", "auto x", "auto -1", "auto +7", "auto 07", "auto 7 ", "manual 7", "7"]
        {
            let info = held(LockKind::Exclusive, LOCK_TAG, cookie, "a");
            assert_eq!(get_locker(&info), Err(Errno::EBUSY), "{cookie:?}");
        }
    }

    /// Facts 3.2: a locker with a blank address is EBUSY, as in newer Ceph.
    #[test]
    fn locker_without_address_is_busy() {
        assert_eq!(get_locker(&held(LockKind::Exclusive, LOCK_TAG, "auto 7", "")), Err(Errno::EBUSY));
    }

    #[test]
    fn cookies_lead_back_to_their_handles() {
        for handle in [0, 1, 94_000_111, u64::MAX] {
            assert_eq!(decode_cookie(&encode_cookie(handle)), Some(handle));
        }
        assert_eq!(decode_cookie("auto 18446744073709551616"), None, "one more than a handle can be");
    }
}
