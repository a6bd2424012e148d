//! The rules of the ops on an object's extended attributes.

use bytes::Bytes;
use errno::Errno;
use store::Name;

use super::done;
use crate::error::{Outcome, refuse};
use crate::limits::check_bytes;
use crate::op::{OpResult, Output};
use crate::vector::comparison::{Comparison, Operand};
use crate::vector::target::Target;

pub(in crate::vector) fn get_xattr(target: &Target<'_>, name: &Name) -> Outcome<OpResult> {
    check_name(target, name)?;
    target.stat()?;
    match target.xattr(name)? {
        Some(value) => Ok(Output::Xattrs { entries: [(name.clone(), value)].into() }.into()),
        None => refuse(Errno::ENODATA, format!("there is no xattr {name:?}")),
    }
}

pub(in crate::vector) fn list_xattrs(target: &Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    Ok(Output::Xattrs { entries: target.xattrs()? }.into())
}

pub(in crate::vector) fn set_xattr(target: &mut Target<'_>, name: &Name, value: &Bytes) -> Outcome<OpResult> {
    check_name(target, name)?;
    target.set_xattr(name.clone(), value.clone())?;
    done()
}

/// A missing one is fine.
pub(in crate::vector) fn remove_xattr(target: &mut Target<'_>, name: &Name) -> Outcome<OpResult> {
    check_name(target, name)?;
    target.stat()?;
    target.touch()?;
    target.remove_xattr(name.clone())?;
    done()
}

/// The given value comes first: "greater" holds when it is greater than the stored one. A missing one is empty.
pub(in crate::vector) fn compare_xattr(
    target: &Target<'_>,
    name: &Name,
    comparison: &Comparison,
    value: &Operand,
) -> Outcome<OpResult> {
    check_name(target, name)?;
    target.stat()?;
    if comparison.holds(value.compare(&target.xattr(name)?.unwrap_or_default())) {
        Ok(OpResult { number: 1, output: Output::Done })
    } else {
        refuse(Errno::ECANCELED, format!("xattr {name:?} has another value"))
    }
}

fn check_name(target: &Target<'_>, name: &Name) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "an xattr has a name");
    }
    check_bytes("an xattr's name", name, target.door().xattr_name_bytes_max())
}
