//! The rules of the ops. Each works on the target as the ops before it have left it, and sees of them what its door lets it
//! see.

pub(super) mod checksum;
pub(super) mod copy_from;
pub(super) mod data;
pub(super) mod object;
pub(super) mod omap;
pub(super) mod xattrs;

use bytes::Bytes;

use super::Caller;
use super::target::Target;
use crate::cls;
use crate::error::Outcome;
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::op::{Dialect, OpResult, Output};

pub(super) fn exec(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    class: &str,
    method: &str,
    dialect: Dialect,
    input: &Bytes,
) -> Outcome<OpResult> {
    check_name("a class's name", class, NAME_BYTES_MAX)?;
    check_name("a method's name", method, NAME_BYTES_MAX)?;
    let output = cls::method(class, method, dialect)?.run(target, caller, input)?;
    Ok(Output::Exec { output }.into())
}

/// The answer of an op that has none.
fn done() -> Outcome<OpResult> {
    Ok(Output::Done.into())
}
