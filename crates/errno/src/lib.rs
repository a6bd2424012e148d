//! Ceph's error numbers as one enum. An errno is a name first: EBLOCKLISTED and ESHUTDOWN share a number.

use std::fmt;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// An error by its Linux name. `number` is positive; protocols that carry results use the negative number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(clippy::upper_case_acronyms, reason = "these are the names of the errors")]
        pub enum Errno {
            $(#[doc = $text] $name,)*
        }

        impl Errno {
            /// Every errno, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The positive Linux number.
            pub const fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The name, e.g. "ENOENT".
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it means, in a few words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such object, image or snapshot";
    EIO = 5, "input/output error";
    E2BIG = 7, "more than the limit";
    ENOEXEC = 8, "feature missing for this call";
    EBADF = 9, "bad directory state";
    EAGAIN = 11, "try again";
    EBUSY = 16, "busy";
    EEXIST = 17, "exists already";
    EXDEV = 18, "in another namespace";
    ENODEV = 19, "disappeared";
    EINVAL = 22, "invalid argument";
    EMFILE = 24, "too many watches";
    EFBIG = 27, "too large";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only";
    ERANGE = 34, "out of range";
    ENAMETOOLONG = 36, "name too long";
    ENOSYS = 38, "not known here";
    ENODATA = 61, "no such attribute";
    EOVERFLOW = 75, "version is newer";
    EBADMSG = 74, "message does not decode";
    ERESTART = 85, "interrupted, start over";
    EOPNOTSUPP = 95, "not supported";
    ENOTCONN = 107, "watch or session is gone";
    EBLOCKLISTED = 108, "this client instance is blocklisted";
    ESHUTDOWN = 108, "shut down";
    ETIMEDOUT = 110, "timed out";
    ESTALE = 116, "stale";
    EDQUOT = 122, "quota exceeded";
    ECANCELED = 125, "cancelled or comparison failed";
}

impl Errno {
    /// By name, e.g. "EBLOCKLISTED".
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| errno.name() == name)
    }

    /// By number, negative or positive. 108 is EBLOCKLISTED's as well as ESHUTDOWN's and gives ESHUTDOWN: only a name
    /// can say "blocklisted".
    pub fn from_number(number: i32) -> Option<Self> {
        let number = number.checked_abs()?;
        Self::ALL.iter().copied().rev().find(|errno| errno.number() == number)
    }

    /// As a message carries it: the negative number.
    pub const fn result(self) -> i32 {
        -self.number()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_errno() {
        for &errno in Errno::ALL {
            assert_eq!(Errno::from_name(errno.name()), Some(errno));
            assert_eq!(Errno::from_number(errno.result()).map(Errno::number), Some(errno.number()));
        }
    }

    #[test]
    fn a_bare_108_never_claims_a_fence() {
        assert_eq!(Errno::from_number(108), Some(Errno::ESHUTDOWN));
    }
}
