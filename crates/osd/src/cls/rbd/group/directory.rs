//! Object `rbd_group_directory`: two omap keys for each group, name to id and id to name, changed together.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;

use super::super::{entries, image_id};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("group_dir_list", list),
    Method::ceph_writes("group_dir_add", add),
    Method::ceph_writes("group_dir_remove", remove),
    Method::ceph_writes("group_dir_rename", rename),
];

const NAME: &str = "name_";

fn keys(name: &str, id: &str) -> (String, String) {
    (format!("{NAME}{name}"), format!("id_{id}"))
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let groups: BTreeMap<String, String> = entries::decoded(entries::page(target, NAME, &after, max)?, NAME)?;
    reply(&groups)
}

fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (name, id): (String, String) = decode(input)?;
    check_free(target, &name, &id)?;
    if entries::find::<String>(target, &keys(&name, &id).1)?.is_some() {
        return refuse(Errno::EBADF, format!("the group with id {id:?} has another name"));
    }
    done(put(target, &name, &id))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (name, id): (String, String) = decode(input)?;
    done(take(target, &name, &id))
}

/// The id is one that is there; a group has its own name until the vector ends.
fn rename(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (former, name, id): (String, String, String) = decode(input)?;
    check_pair(target, &former, &id)?;
    check_free(target, &name, &id)?;
    take(target, &former, &id)?;
    done(put(target, &name, &id))
}

/// EINVAL for no name or for what is no id, EEXIST for a name that a group has.
fn check_free(target: &Target<'_>, name: &str, id: &str) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "a group needs a name");
    }
    image_id::check(id)?;
    match entries::find::<String>(target, &keys(name, id).0)? {
        Some(_) => refuse(Errno::EEXIST, format!("there is a group {name:?}")),
        None => Ok(()),
    }
}

/// ENOENT when one of both is not there, ESTALE when they do not belong together.
fn check_pair(target: &Target<'_>, name: &str, id: &str) -> Outcome<()> {
    let (name_key, id_key) = keys(name, id);
    let found: (String, String) = (entries::get(target, &id_key)?, entries::get(target, &name_key)?);
    match (found.0.as_str(), found.1.as_str()) == (name, id) {
        true => Ok(()),
        false => refuse(Errno::ESTALE, format!("group {name:?} has not the id {id:?}")),
    }
}

fn put(target: &mut Target<'_>, name: &str, id: &str) -> Outcome<()> {
    let (name_key, id_key) = keys(name, id);
    entries::set(target, &name_key, &id.to_owned())?;
    entries::set(target, &id_key, &name.to_owned())
}

fn take(target: &mut Target<'_>, name: &str, id: &str) -> Outcome<()> {
    check_pair(target, name, id)?;
    let (name_key, id_key) = keys(name, id);
    entries::remove(target, &name_key)?;
    entries::remove(target, &id_key)
}
