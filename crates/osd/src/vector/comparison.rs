//! How guards compare a value that is stored with one that is given.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use store::Name;

/// What must hold. Which side comes first is said by the op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// By RADOS' number, from 1; `None` for others.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Equal,
            2 => Self::NotEqual,
            3 => Self::Greater,
            4 => Self::GreaterOrEqual,
            5 => Self::Less,
            6 => Self::LessOrEqual,
            _ => return None,
        })
    }

    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

/// What keys are compared with, and how.
pub type Assertions = BTreeMap<Name, (Bytes, Comparison)>;

/// What an xattr is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Byte by byte.
    Bytes(Bytes),
    /// With the decimal number that the xattr begins with; 0 when it begins with none.
    Number(u64),
}

impl Operand {
    /// This one beside what is stored.
    pub(super) fn compare(&self, stored: &[u8]) -> Ordering {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().cmp(stored),
            Self::Number(number) => number.cmp(&leading_number(stored)),
        }
    }
}

/// As C's `atoll` reads it into 64 bits, without the blanks that may come before it.
fn leading_number(text: &[u8]) -> u64 {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits = digits.iter().take_while(|digit| digit.is_ascii_digit());
    let number =
        digits.fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    (if is_negative { -number } else { number }).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_far_as_it_goes() {
        let numbers = ["", "12", "12z", "z", "+7", "-1"].map(|text| leading_number(text.as_bytes()));
        assert_eq!(numbers, [0, 12, 12, 0, 7, u64::MAX]);
    }
}
