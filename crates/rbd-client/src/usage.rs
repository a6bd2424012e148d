//! A command line that cannot be done: what is said, and the exit status that `rbd` has for it.

use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use errno::Errno;

use crate::{failure::Failure, visible::visible_lines};

/// `rbd` for an unknown verb or option, or a value that an option does not take.
const WRONG_WORD: u8 = 1;

/// Prints what was wrong, or the help or version that was asked for, and returns the exit status. The name of an image or a
/// snapshot that is missing or malformed is EINVAL, and so is a size that is missing.
pub(crate) fn explain(usage: &clap::Error) -> u8 {
    if is_help(usage) {
        return match usage.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Failure::io("standard output", &error).exit_status()
            }
            _ => 0,
        };
    }
    let _nobody_listens = write!(io::stderr().lock(), "{}", visible_lines(&usage.render().to_string()));
    if is_about_a_name(usage) { Failure::new(Errno::EINVAL, "").exit_status() } else { WRONG_WORD }
}

fn is_help(usage: &clap::Error) -> bool {
    matches!(usage.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

fn is_about_a_name(usage: &clap::Error) -> bool {
    match usage.kind() {
        ErrorKind::MissingRequiredArgument => true,
        // Without a context it is of names, which are looked at when the words are known to be right.
        ErrorKind::ValueValidation | ErrorKind::ArgumentConflict => {
            match usage.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(argument)) => !argument.starts_with('-'),
                _ => true,
            }
        }
        _ => false,
    }
}
