//! Why an op vector was refused.

use errno::Errno;
use store::StoreError;

use crate::op::{OpResult, Output};

/// An op vector that did not happen. Nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({errno})")]
pub struct OpError {
    /// What the client decides by.
    pub errno: Errno,
    /// Index of the failing op; `None` when the vector as a whole was refused.
    pub failed_op: Option<u32>,
    /// For people: names the op, the object and the rule.
    pub text: String,
}

/// The answer to an op vector that did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Why.
    pub error: OpError,
    /// What the ops up to the failing one came to, that one included; empty when the vector was refused as a whole. Only
    /// Ceph's clients are told.
    pub results: Vec<OpResult>,
}

impl Refused {
    /// As RADOS numbers it: negative.
    pub fn number(&self) -> i32 {
        self.results.last().map_or(self.error.errno.result(), |failed| failed.number)
    }
}

/// Of a vector of which no op ran.
impl From<OpError> for Refused {
    fn from(error: OpError) -> Self {
        Self { error, results: Vec::new() }
    }
}

/// The rule that one op broke; `evaluate` adds where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// What the op came to, as RADOS numbers it.
    pub(crate) number: i32,
    pub(crate) rule: String,
}

impl Refusal {
    fn new(errno: Errno, rule: impl Into<String>) -> Self {
        Self { errno, number: errno.result(), rule: rule.into() }
    }

    /// With another number than that of its errno.
    pub(crate) fn numbered(self, number: i32) -> Self {
        Self { number, ..self }
    }

    /// As a result of the op that was refused.
    pub(crate) fn result(&self) -> OpResult {
        OpResult { number: self.number, output: Output::Done }
    }
}

/// Of a call that is not an op vector: the rule says all.
impl From<Refusal> for OpError {
    fn from(Refusal { errno, rule, .. }: Refusal) -> Self {
        Self { errno, failed_op: None, text: rule }
    }
}

/// What the store could not do.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let (errno, rule) = match error {
            StoreError::Io => (Errno::EIO, "the store cannot read or write it"),
            StoreError::NoSpace => (Errno::ENOSPC, "the store has no room for it"),
        };
        Self::new(errno, rule)
    }
}

/// What the store could not do, of a call that is not an op vector.
impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

/// What an op or a class method gives.
pub(crate) type Outcome<T> = Result<T, Refusal>;

/// Refuses with an errno and the rule that says why.
pub(crate) fn refuse<T>(errno: Errno, rule: impl Into<String>) -> Outcome<T> {
    Err(Refusal::new(errno, rule))
}
