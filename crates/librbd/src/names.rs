//! Names of the objects of an image, and the rules for names that users choose.

use crate::error::{Error, Result};

/// Omap of image names and ids of a pool.
pub const DIRECTORY: &str = "rbd_directory";
/// Index of the clones of format 1 that a pool holds.
pub(crate) const CHILDREN: &str = "rbd_children";
/// Longest image or snapshot name, in bytes: with its prefix it must fit an object name.
pub const NAME_BYTES_MAX: usize = 96;

/// Holds the id of an image.
pub fn id_object(image_name: &str) -> String {
    format!("rbd_id.{image_name}")
}

/// Holds an image's metadata, its lock and its watches.
pub fn header(image_id: &str) -> String {
    format!("rbd_header.{image_id}")
}

/// Start of the names of an image's data objects.
pub fn object_prefix(image_id: &str) -> String {
    format!("rbd_data.{image_id}")
}

/// One data object.
pub fn data(object_prefix: &str, object_no: u64) -> String {
    format!("{object_prefix}.{object_no:016x}")
}

/// A new image's id: unique without randomness, because a gid is never used again and a session counts its opens.
pub fn image_id(gid: u64, open_number: u64) -> String {
    format!("{gid:x}{open_number:08x}")
}

/// EINVAL unless an image may have this name.
pub fn check_image_name(name: &str) -> Result<()> {
    check_name("image", name)
}

/// EINVAL unless a snapshot may have this name.
pub fn check_snap_name(name: &str) -> Result<()> {
    check_name("snapshot", name)
}

fn check_name(kind: &str, name: &str) -> Result<()> {
    let rule = if name.is_empty() {
        "must not be empty".to_owned()
    } else if name.len() > NAME_BYTES_MAX {
        format!("must not be longer than {NAME_BYTES_MAX} bytes")
    } else if name.contains(['/', '@']) || name.chars().any(char::is_control) {
        "must not contain '/', '@' or control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("{kind} name {name:?} {rule}")))
}

#[cfg(test)]
mod tests {
    use errno::Errno;

    use super::*;

    #[test]
    fn names_that_would_read_as_a_path_or_a_snapshot_are_refused() {
        for name in ["", "a/b", "a@b", "a\nb", &"x".repeat(97)] {
            assert_eq!(check_image_name(name).unwrap_err().errno(), Errno::EINVAL, "{name:?}");
            assert_eq!(check_snap_name(name).unwrap_err().errno(), Errno::EINVAL, "{name:?}");
        }
        check_image_name(&"x".repeat(96)).unwrap();
        check_snap_name("2026-11-23 daily.é").unwrap();
    }
}
