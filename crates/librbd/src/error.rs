use errno::Errno;
use rbd_protocol::Failure;

/// Why a call on an image failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The OSD refused an op, or the session ended before it was answered.
    #[error("{attempted}")]
    Osd {
        /// What librbd was doing, and to what.
        attempted: String,
        /// The op that failed.
        #[source]
        source: rados::Error,
    },
    /// A rule of RBD forbids it.
    #[error("{text} ({errno})")]
    Refused {
        /// The rule's number.
        errno: Errno,
        /// Names the input and the rule.
        text: String,
    },
}

impl Error {
    /// A rule of RBD forbids it; `text` names the input and the rule.
    pub fn refused(errno: Errno, text: impl Into<String>) -> Self {
        Self::Refused { errno, text: text.into() }
    }

    /// EINVAL: the input breaks a rule.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::refused(Errno::EINVAL, text)
    }

    /// For `map_err`: `attempted` says what librbd was doing, and to what.
    pub fn osd(attempted: impl Into<String>) -> impl FnOnce(rados::Error) -> Self {
        let attempted = attempted.into();
        move |source| Self::Osd { attempted, source }
    }

    /// As another client is told of it, which says it to its caller as if it had happened there.
    pub(crate) fn to_failure(&self) -> Failure {
        let reason = match self {
            Self::Osd { attempted, source } => format!("{attempted}: {}", source.text()),
            Self::Refused { text, .. } => text.clone(),
        };
        Failure::new(self.errno(), reason)
    }

    /// Ceph's number for it.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Osd { source, .. } => source.errno(),
            Self::Refused { errno, .. } => *errno,
        }
    }
}

/// Result of a call on an image.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why block I/O failed on the state it was given. The first two are no failures of the I/O: its caller redoes it on a
/// newer state, see [`IoError::redo_on`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum IoError {
    /// HEAD has another part in the parent than the state under which parent data was read, or was to be copied up, says: an object
    /// that it takes for missing may have been copied up, written and discarded since.
    #[error("the image changed while its parent was read")]
    Superseded,
    /// The parent snapshot that the state names has gone: the image was flattened meanwhile, or its parent is lost.
    #[error("parent snapshot {snap_id} of image id {image_id} has gone")]
    StaleParent {
        /// Id of the parent image.
        image_id: String,
        /// The snapshot of it that has gone.
        snap_id: u64,
    },
    /// A read reached beyond the size that the state names, and the image has another one.
    #[error("the size of the image changed")]
    StaleSize,
    /// It failed for good.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<IoError> for Error {
    /// For callers that have no newer state to try.
    fn from(error: IoError) -> Self {
        match error {
            IoError::Failed(error) => error,
            IoError::Superseded => Self::refused(Errno::ESTALE, error.to_string()),
            IoError::StaleParent { .. } => Self::refused(Errno::ENOENT, error.to_string()),
            IoError::StaleSize => Self::refused(Errno::EINVAL, error.to_string()),
        }
    }
}
