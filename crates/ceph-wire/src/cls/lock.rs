use std::collections::BTreeMap;

use crate::{EntityAddr, EntityName, Utime};

numbered! {
    /// Who may hold a lock beside whom.
    LockKind: u8 {
        /// Nobody holds it and nobody has.
        None = 0,
        /// One alone.
        Exclusive = 1,
        /// Many.
        Shared = 2,
        /// One alone, and the object goes with the lock.
        ExclusiveEphemeral = 3,
    }
}

/// What [`Lock::flags`] says.
pub mod lock_flag {
    /// It may be held by the caller already.
    pub const MAY_RENEW: u8 = 1;
    /// It has to be held by the caller already.
    pub const MUST_RENEW: u8 = 2;
}

records! {
    /// A holder of a lock.
    #[derive(Eq, PartialOrd, Ord)]
    LockerId version 1, 1 {
        /// Who.
        name: EntityName,
        /// Which one of his.
        cookie: String,
    }

    /// What is known of a holder.
    #[derive(Eq)]
    LockerInfo version 1, 1 {
        /// When he loses it; 0 = never.
        expiration: Utime,
        /// Where he is.
        address: EntityAddr,
        /// What he says of it.
        description: String,
    }

    /// A lock: the value of its xattr, and the answer of `get_info`.
    #[derive(Eq)]
    LockInfo version 1, 1 {
        /// Who holds it.
        lockers: BTreeMap<LockerId, LockerInfo>,
        /// Who may hold it beside whom.
        kind: LockKind,
        /// What all holders have to say.
        tag: String,
    }

    /// `lock`.
    #[derive(Eq)]
    Lock version 1, 1 {
        /// The lock's name.
        name: String,
        /// Who may hold it beside the caller.
        kind: LockKind,
        /// Which one of the caller's.
        cookie: String,
        /// What all holders have to say.
        tag: String,
        /// What the caller says of it.
        description: String,
        /// How long he wants it; 0 = for ever.
        duration: Utime,
        /// See [`lock_flag`].
        flags: u8,
    }

    /// `unlock`.
    #[derive(Eq)]
    Unlock version 1, 1 {
        /// The lock's name.
        name: String,
        /// Which one of the caller's.
        cookie: String,
    }

    /// `break_lock`.
    #[derive(Eq)]
    BreakLock version 1, 1 {
        /// The lock's name.
        name: String,
        /// Who loses it.
        locker: EntityName,
        /// Which one of his.
        cookie: String,
    }

    /// `get_info`.
    #[derive(Eq)]
    LockName version 1, 1 {
        /// The lock's name.
        name: String,
    }

    /// The answer of `list_locks`.
    #[derive(Eq)]
    LockNames version 1, 1 {
        /// Sorted.
        names: Vec<String>,
    }

    /// `assert_locked`.
    #[derive(Eq)]
    AssertLocked version 1, 1 {
        /// The lock's name.
        name: String,
        /// How it has to be held.
        kind: LockKind,
        /// Which one of the caller's.
        cookie: String,
        /// What it was locked with.
        tag: String,
    }

    /// `set_cookie`.
    #[derive(Eq)]
    SetCookie version 1, 1 {
        /// The lock's name.
        name: String,
        /// How it is held.
        kind: LockKind,
        /// Which one of the caller's.
        cookie: String,
        /// What it was locked with.
        tag: String,
        /// Which one it is from then on.
        new_cookie: String,
    }
}

impl LockInfo {
    /// A lock that nobody ever took.
    pub fn none() -> Self {
        Self { lockers: BTreeMap::new(), kind: LockKind::None, tag: String::new() }
    }
}
