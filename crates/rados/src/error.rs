use errno::Errno;
use proto::osd::v1 as wire;

/// Why a call failed: the errno is the decision, the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{attempted}: {text} ({errno})")]
pub struct Error {
    errno: Errno,
    failed_op: Option<u32>,
    attempted: String,
    text: String,
}

impl Error {
    /// An error without a failing op. `attempted` says what was tried on what; `text` names the input and the rule.
    pub fn new(errno: Errno, attempted: impl Into<String>, text: impl Into<String>) -> Self {
        Self { errno, failed_op: None, attempted: attempted.into(), text: text.into() }
    }

    /// An error as the OSD sent it. An errno this client does not know becomes EIO.
    pub fn from_wire(error: wire::Error, attempted: impl Into<String>) -> Self {
        let errno = Errno::from_name(&error.name).or_else(|| Errno::from_number(error.number));
        Self {
            errno: errno.unwrap_or(Errno::EIO),
            failed_op: error.failed_op,
            attempted: attempted.into(),
            text: error.text,
        }
    }

    /// The same cause, seen by another call.
    pub(crate) fn seen_by(&self, attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), ..self.clone() }
    }

    /// The errno. EBLOCKLISTED and ESHUTDOWN share a number but are two values here.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// Index of the op that failed in its vector, when the error is about one op.
    pub fn failed_op(&self) -> Option<u32> {
        self.failed_op
    }

    /// What was attempted on what, e.g. "write, assert_exists on rbd/rbd_data.x".
    pub fn attempted(&self) -> &str {
        &self.attempted
    }

    /// Names the input and the rule.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this answer ends the whole session: the OSD does not know the instance any more, or has fenced it. An
    /// ENOTCONN about one op or one watch does not.
    pub(crate) fn ends_session(&self) -> bool {
        self.errno == Errno::EBLOCKLISTED || (self.errno == Errno::ENOTCONN && self.failed_op.is_none())
    }
}
