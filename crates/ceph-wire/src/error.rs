use std::fmt;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// The innermost field that could not be read, with its struct.
    pub field: &'static str,
    /// Why.
    pub problem: Problem,
}

/// Why a field could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The bytes end before the field does.
    Short {
        /// Bytes that it needs at least.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Only a newer decoder may read it.
    TooNew {
        /// The oldest version that may.
        compat: u8,
        /// The version that is known here.
        known: u8,
    },
    /// A value that means nothing.
    Unknown(u64),
    /// A text that is not UTF-8.
    NotUtf8,
    /// A checksum that is not that of the bytes.
    Checksum,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, left } => write!(f, "needs {needed} bytes, {left} are left"),
            Self::TooNew { compat, known } => {
                write!(f, "needs a decoder of version {compat}, this is {known}")
            }
            Self::Unknown(value) => write!(f, "{value} means nothing here"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Checksum => f.write_str("wrong checksum"),
        }
    }
}

impl WireError {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { field: "", problem }
    }

    /// Names the field, unless one inside of it was named.
    pub(crate) fn at(self, field: &'static str) -> Self {
        if self.field.is_empty() { Self { field, ..self } } else { self }
    }
}
