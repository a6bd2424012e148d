//! Object `rbd_id.<name>`: its data is the image's id, behind its length in 4 bytes, little endian.

use bytes::{BufMut, Bytes, BytesMut};
use errno::Errno;
use proto::cls::rbd::v1::ImageId;

use crate::cls::{decode, done, reply};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let ImageId { id } = decode(input)?;
    if id.is_empty() {
        return refuse(Errno::EINVAL, "an image id is not empty");
    }
    if target.stat().is_ok_and(|stat| stat.size > 0) {
        return refuse(Errno::EEXIST, "the object has an image id, or other data");
    }
    let mut data = BytesMut::new();
    data.put_u32_le(id.len() as u32);
    data.put_slice(id.as_bytes());
    target.write(0, data.freeze())?;
    done()
}

pub(super) fn get(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let size = target.stat()?.size;
    if size == 0 {
        return refuse(Errno::ENOENT, "the object has no image id");
    }
    let data = target.read(0, size)?.to_bytes(0, size);
    let id = data.split_first_chunk().and_then(|(length, rest)| {
        let id = rest.get(..u32::from_le_bytes(*length) as usize)?;
        String::from_utf8(id.to_vec()).ok()
    });
    match id {
        Some(id) => reply(&ImageId { id }),
        None => refuse(Errno::EIO, "the data is not an image id"),
    }
}
