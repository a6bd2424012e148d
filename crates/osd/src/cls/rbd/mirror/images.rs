//! The images that are mirrored: by id, and by the id that all clusters know.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::cls::{MirrorImage, MirrorImageState};
use errno::Errno;

use super::super::entries;
use super::status;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("mirror_image_list", list),
    Method::ceph_reads("mirror_image_get_image_id", get_image_id),
    Method::ceph_reads("mirror_image_get", get),
    Method::ceph_writes("mirror_image_set", set),
    Method::ceph_writes("mirror_image_remove", remove),
];

pub(super) const PREFIX: &str = "image_";

fn key(image_id: &str) -> String {
    format!("{PREFIX}{image_id}")
}

fn global_key(global_id: &str) -> String {
    format!("global_{global_id}")
}

/// The image that all clusters know by that id.
pub(super) fn by_global_id(target: &Target<'_>, global_id: &str) -> Outcome<Option<MirrorImage>> {
    let image_id: Option<String> = entries::find(target, &global_key(global_id))?;
    Ok(image_id.map(|image_id| entries::find(target, &key(&image_id))).transpose()?.flatten())
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let images: Vec<(String, MirrorImage)> =
        entries::decoded(entries::page(target, PREFIX, &after, max)?, PREFIX)?;
    let global_ids = images.into_iter().map(|(image_id, image)| (image_id, image.global_image_id));
    reply(&global_ids.collect::<BTreeMap<_, _>>())
}

fn get_image_id(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let global_id: String = decode(input)?;
    reply(&entries::get::<String>(target, &global_key(&global_id))?)
}

fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let image_id: String = decode(input)?;
    reply(&entries::get::<MirrorImage>(target, &key(&image_id))?)
}

/// EINVAL for another global id than before, EEXIST for one of another image, ENOENT when it ends before it began.
fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (image_id, image): (String, MirrorImage) = decode(input)?;
    let global_key = global_key(&image.global_image_id);
    match entries::find::<MirrorImage>(target, &key(&image_id))? {
        Some(former) if former.global_image_id != image.global_image_id => {
            return refuse(Errno::EINVAL, format!("image {image_id:?} keeps its global id"));
        }
        Some(_) => {}
        None if entries::find::<String>(target, &global_key)?.is_some() => {
            return refuse(Errno::EEXIST, format!("an image has the global id {:?}", image.global_image_id));
        }
        None if image.state == MirrorImageState::Disabling => {
            return refuse(Errno::ENOENT, format!("image {image_id:?} is not mirrored"));
        }
        None => {}
    }
    entries::set(target, &key(&image_id), &image)?;
    done(entries::set(target, &global_key, &image_id))
}

/// EBUSY before its mirroring ends.
fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let image_id: String = decode(input)?;
    let image: MirrorImage = entries::get(target, &key(&image_id))?;
    if image.state != MirrorImageState::Disabling {
        return refuse(Errno::EBUSY, format!("the mirroring of image {image_id:?} is {:?}", image.state));
    }
    entries::remove(target, &key(&image_id))?;
    entries::remove(target, &global_key(&image.global_image_id))?;
    done(status::forget(target, &image.global_image_id))
}
