//! Object `rbd_id.<name>`: its data is the image's id, behind its length in 4 bytes, little endian.

use errno::Errno;
use proto::cls::rbd::v1::ImageId;

use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "set_id",
        |target, _, input| done(set(target, &protobuf::decode::<ImageId>(input)?.id)),
        |target, _, input| {
            target.stat()?;
            let id: String = ceph::decode(input)?;
            check(&id)?;
            done(set(target, &id))
        },
    ),
    Method::reads(
        "get_id",
        |target, _, _| protobuf::reply(&ImageId { id: get(target)? }),
        |target, _, _| ceph::reply(&get(target)?),
    ),
];

/// EINVAL unless it is letters and digits, as Ceph's clients have to make it.
pub(super) fn check(id: &str) -> Outcome<()> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return refuse(Errno::EINVAL, format!("image id {id:?} is not of letters and digits"));
    }
    Ok(())
}

/// Creates the object when missing.
fn set(target: &mut Target<'_>, id: &str) -> Outcome<()> {
    if id.is_empty() {
        return refuse(Errno::EINVAL, "an image id is not empty");
    }
    if target.stat().is_ok_and(|stat| stat.size > 0) {
        return refuse(Errno::EEXIST, "the object has an image id, or other data");
    }
    target.write(0, ceph_wire::to_bytes(&id.to_owned()))
}

fn get(target: &Target<'_>) -> Outcome<String> {
    let size = target.stat()?.size;
    if size == 0 {
        return refuse(Errno::ENOENT, "the object has no image id");
    }
    ceph::stored("the image id", &target.read(0, size)?.to_bytes(0, size))
}
