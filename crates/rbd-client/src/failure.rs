//! Why a verb failed: an errno, which is the exit status, and words that name the input and the rule.

use std::{fmt, io, path::Path};

use errno::Errno;

/// A verb's error. `Display` reads "ENOENT: no image named 'x' in pool 'rbd'"; the number is the exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    errno: Errno,
    text: String,
    /// What to do is in the text: it is about a file, a pipe or a socket of this machine, or about a program that is named.
    says_what_to_do: bool,
}

impl Failure {
    /// `text` names the input and the rule.
    pub(crate) fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into(), says_what_to_do: false }
    }

    /// Ctrl-C, SIGTERM or SIGHUP ended the verb.
    pub(crate) fn interrupted() -> Self {
        Self::new(Errno::ECANCELED, "interrupted by a signal")
    }

    /// An error of the local file `path`.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::io(&format!("file '{}'", path.display()), error)
    }

    /// An error of standard input or output, or of a socket; `what` names it.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().and_then(Errno::from_number).unwrap_or(Errno::EIO);
        Self { says_what_to_do: true, ..Self::new(errno, format!("{what}: {error}")) }
    }

    /// The same, of a program at `address` that need not be the OSD.
    pub(crate) fn at(self, address: &impl fmt::Display) -> Self {
        Self { text: format!("{address}: {}", self.text), says_what_to_do: true, ..self }
    }

    /// What kind of error it is.
    pub(crate) fn errno(&self) -> Errno {
        self.errno
    }

    /// The process's exit status: the errno's number.
    pub(crate) fn exit_status(&self) -> u8 {
        u8::try_from(self.errno.number()).unwrap_or(u8::MAX)
    }

    /// What to do next, where something general can be said.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        if self.says_what_to_do {
            return None;
        }
        Some(match self.errno {
            Errno::ENOENT => {
                "list what is there: rbd-client ls, rbd-client snap ls IMAGE, rbd-client pool ls"
            }
            Errno::EEXIST => "choose another name, or remove what is there first",
            Errno::EBUSY => {
                "see what uses it: rbd-client status IMAGE, snap ls IMAGE, children IMAGE@SNAP, lock ls IMAGE"
            }
            Errno::EROFS => {
                "open the image itself and writable, not a snapshot; if a client keeps the lock, rbd-client status IMAGE names it"
            }
            Errno::EBLOCKLISTED => {
                "this client was fenced by a peer; run the command again, each run is a new client instance"
            }
            Errno::ETIMEDOUT => {
                "is the OSD up, and the lock owner alive? rbd-client status IMAGE; --timeout and --attempts bound the wait"
            }
            Errno::ERESTART => "the lock changed hands; run it again, or allow more rounds with --attempts",
            Errno::ENOTCONN | Errno::ESHUTDOWN => {
                "is the OSD up at this address? it prints the address when it starts"
            }
            Errno::EOPNOTSUPP => "the lock owner does not know this request; run it where the lock is",
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some texts begin with the errno's name already, e.g. those of a parser or of a peer.
        match self.text.strip_prefix(self.errno.name()) {
            Some(rest) if rest.starts_with(':') => f.write_str(&self.text),
            _ => write!(f, "{}: {}", self.errno, self.text),
        }
    }
}
impl std::error::Error for Failure {}

impl From<librbd::Error> for Failure {
    fn from(error: librbd::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&librbd::Error> for Failure {
    /// The errno once, and the words of every cause: an `Osd` error alone says only what librbd was doing.
    fn from(error: &librbd::Error) -> Self {
        let text = match error {
            librbd::Error::Refused { text, .. } => text.clone(),
            librbd::Error::Osd { attempted, source } => format!("{attempted}: {}", source.text()),
        };
        Self::new(error.errno(), text)
    }
}

impl From<rados::Error> for Failure {
    fn from(error: rados::Error) -> Self {
        Self::new(error.errno(), format!("{}: {}", error.attempted(), error.text()))
    }
}

impl From<tonic::Status> for Failure {
    /// Of a call that is made without librbd and rados.
    fn from(status: tonic::Status) -> Self {
        match rpc::status::to_error(&status) {
            Some(error) => Self::new(Errno::from_name(&error.name).unwrap_or(Errno::EIO), error.text),
            None if status.code() == tonic::Code::Unimplemented => {
                Self::new(Errno::EOPNOTSUPP, "the call is not known there")
            }
            None => Self::new(Errno::ENOTCONN, format!("no answer: {}", status.message())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_is_named_once() {
        assert_eq!(Failure::new(Errno::ENOENT, "no image 'x'").to_string(), "ENOENT: no image 'x'");
        assert_eq!(Failure::new(Errno::EINVAL, "EINVAL: size 'x'").to_string(), "EINVAL: size 'x'");
        assert_eq!(Failure::new(Errno::EINVAL, "EINVALID x").to_string(), "EINVAL: EINVALID x");
    }

    #[test]
    fn the_exit_status_is_the_errno() {
        for &errno in Errno::ALL {
            assert_eq!(i32::from(Failure::new(errno, "").exit_status()), errno.number());
        }
    }

    #[test]
    fn an_error_of_a_file_keeps_its_errno_and_names_the_file() {
        let error = io::Error::from_raw_os_error(Errno::EEXIST.number());
        let failure = Failure::file(Path::new("/tmp/out.raw"), &error);
        assert_eq!(failure.errno(), Errno::EEXIST);
        assert!(failure.to_string().contains("'/tmp/out.raw'"), "{failure}");
        assert_eq!(failure.advice(), None, "advice is about images");
    }
}
