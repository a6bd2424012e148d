use std::{fmt, str::FromStr};

use errno::Errno;

use crate::error::{Error, Result};

/// What an image can do: Ceph's feature bits, the part of them that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u64);

const NAMES: [(Features, &str); 4] = [
    (Features::LAYERING, "layering"),
    (Features::STRIPING, "striping"),
    (Features::EXCLUSIVE_LOCK, "exclusive-lock"),
    (Features::DEEP_FLATTEN, "deep-flatten"),
];

/// What a writer has to keep up and a reader may pass over. Reading goes without it, except that the data lies where `data-pool` says.
const READABLE: [(Features, &str); 6] = [
    (Features(1 << 3), "object-map"),
    (Features(1 << 4), "fast-diff"),
    (Features(1 << 6), "journaling"),
    (Features::DATA_POOL, "data-pool"),
    (Features(1 << 10), "non-primary"),
    (Features(1 << 11), "dirty-cache"),
];

/// Part of its data is another image's.
const MIGRATING: u64 = 1 << 9;

impl Features {
    /// May have a parent.
    pub const LAYERING: Self = Self(1);
    /// Has a stripe unit and count of its own.
    pub const STRIPING: Self = Self(1 << 1);
    /// At most one client writes at a time.
    pub const EXCLUSIVE_LOCK: Self = Self(1 << 2);
    /// Flatten takes the parent from the snapshots too.
    pub const DEEP_FLATTEN: Self = Self(1 << 5);
    /// Its data objects lie in another pool.
    pub(crate) const DATA_POOL: Self = Self(1 << 7);
    /// Internal: set by the header class while `op_features` is not 0.
    const OPERATIONS: Self = Self(1 << 8);

    /// No feature.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The features of an image header. ENOSYS if it has one without which it cannot even be read (facts of class `rbd`, 6.3: a
    /// migration, and what this client does not know): such an image must not be opened.
    pub fn from_header(bits: u64) -> Result<Self> {
        let refused = |what: String| Err(Error::refused(Errno::ENOSYS, format!("the image {what}")));
        let known = Self::all_names().fold(Self::OPERATIONS.0, |bits, (feature, _)| bits | feature.0);
        match bits & !known {
            0 => Ok(Self(bits & !Self::OPERATIONS.0)),
            unknown if unknown & MIGRATING != 0 => {
                refused("has the feature migrating: a part of its data is another image's".to_owned())
            }
            unknown => refused(format!("uses feature bits {unknown:#x}, which this client does not know")),
        }
    }

    fn all_names() -> impl Iterator<Item = (Self, &'static str)> {
        NAMES.into_iter().chain(READABLE)
    }

    /// Names of those that this client does not maintain: an image with one of them can be read only.
    pub fn unmaintained(self) -> Vec<&'static str> {
        READABLE.iter().filter(|(feature, _)| self.contains(*feature)).map(|(_, name)| *name).collect()
    }

    /// Those that this client maintains.
    #[must_use]
    pub fn maintained(self) -> Self {
        NAMES
            .iter()
            .filter(|(feature, _)| self.contains(*feature))
            .fold(Self(0), |all, (one, _)| all.union(*one))
    }

    /// As the header keeps them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are in.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Ceph's names, in the order of the bits.
    pub fn names(self) -> Vec<&'static str> {
        let mut names: Vec<_> = Self::all_names().filter(|(feature, _)| self.contains(*feature)).collect();
        names.sort_by_key(|(feature, _)| feature.0);
        names.into_iter().map(|(_, name)| name).collect()
    }
}

impl Default for Features {
    /// layering, exclusive-lock, deep-flatten.
    fn default() -> Self {
        Self::LAYERING.union(Self::EXCLUSIVE_LOCK).union(Self::DEEP_FLATTEN)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

impl FromStr for Features {
    type Err = Error;

    /// From "layering,exclusive-lock". EINVAL names the unknown one. The empty string is no feature.
    fn from_str(text: &str) -> Result<Self> {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).try_fold(Self::none(), |all, name| {
            let known = NAMES.iter().find(|(_, known)| *known == name);
            known.map(|(feature, _)| all.union(*feature)).ok_or_else(|| {
                let names = NAMES.map(|(_, name)| name).join(", ");
                Error::invalid(format!("unknown feature \"{name}\": must be one of {names}"))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_features() {
        let features = Features::default();
        assert_eq!(features.to_string(), "layering,exclusive-lock,deep-flatten");
        assert_eq!(features.to_string().parse::<Features>().unwrap(), features);
        assert_eq!("".parse::<Features>().unwrap(), Features::none());
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = "layering,journaling".parse::<Features>().unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(error.to_string().contains("\"journaling\""), "{error}");
    }

    #[test]
    fn what_is_not_maintained_is_named_in_the_order_of_the_bits() {
        let features = Features::from_header(0x1 | 0x3d | 1 << 7).unwrap();
        assert_eq!(
            features.to_string(),
            "layering,exclusive-lock,object-map,fast-diff,deep-flatten,data-pool"
        );
        assert_eq!(features.unmaintained(), ["object-map", "fast-diff", "data-pool"]);
        assert_eq!(features.maintained(), Features::default());
        assert!(Features::default().unmaintained().is_empty());
    }

    #[test]
    fn a_header_with_an_unknown_bit_is_refused_and_the_internal_bit_is_hidden() {
        let migrating = Features::from_header(1 | 1 << 9).unwrap_err();
        assert!(
            migrating.errno() == Errno::ENOSYS && migrating.to_string().contains("migrating"),
            "{migrating}"
        );
        assert_eq!(Features::from_header(1 << 12).unwrap_err().errno(), Errno::ENOSYS);
        assert_eq!(Features::from_header(1 | 1 << 8).unwrap(), Features::LAYERING);
    }
}
