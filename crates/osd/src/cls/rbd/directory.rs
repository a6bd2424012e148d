//! Object `rbd_directory`: two omap keys for each image, name to id and id to name, changed together.

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{DirectoryEntry, DirectoryList, DirectoryListReply, DirectoryRename};
use store::Name;

use super::record;
use crate::cls::done;
use crate::cls::protobuf::{decode, reply};
use crate::error::{Outcome, refuse};
use crate::limits::KEYS_PER_PAGE_MAX;
use crate::vector::Caller;
use crate::vector::target::Target;

const NAME: &str = "name_";
const ID: &str = "id_";

pub(super) fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryEntry { name, id } = decode(input)?;
    check_given(&name, &id)?;
    if has(target, NAME, &name)? || has(target, ID, &id)? {
        return refuse(Errno::EEXIST, format!("name {name:?} or id {id:?} is in the directory"));
    }
    put(target, &name, id)?;
    done(Ok(()))
}

pub(super) fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryEntry { name, id } = decode(input)?;
    if !has(target, NAME, &name)? && !has(target, ID, &id)? {
        return refuse(Errno::ENOENT, format!("neither name {name:?} nor id {id:?} is in the directory"));
    }
    check_pair(target, &name, &id)?;
    take(target, &name, &id)?;
    done(Ok(()))
}

pub(super) fn rename(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryRename { old_name, new_name, id } = decode(input)?;
    check_given(&new_name, &id)?;
    check_pair(target, &old_name, &id)?;
    if has(target, NAME, &new_name)? {
        return refuse(Errno::EEXIST, format!("name {new_name:?} is in the directory"));
    }
    take(target, &old_name, &id)?;
    put(target, &new_name, id)?;
    done(Ok(()))
}

pub(super) fn get_id(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryEntry { name, .. } = decode(input)?;
    target.stat()?;
    if !has(target, NAME, &name)? {
        return refuse(Errno::ENOENT, format!("no image is named {name:?}"));
    }
    let id = record::text(target, &format!("{NAME}{name}"))?;
    reply(&DirectoryEntry { name, id })
}

pub(super) fn get_name(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryEntry { id, .. } = decode(input)?;
    target.stat()?;
    if !has(target, ID, &id)? {
        return refuse(Errno::ENOENT, format!("no image has id {id:?}"));
    }
    let name = record::text(target, &format!("{ID}{id}"))?;
    reply(&DirectoryEntry { name, id })
}

pub(super) fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let DirectoryList { after, max } = decode(input)?;
    let max = if max == 0 { KEYS_PER_PAGE_MAX } else { max.min(KEYS_PER_PAGE_MAX) };
    target.stat()?;
    let after = format!("{NAME}{after}");
    let (page, more) = target.omap_page(NAME.as_bytes(), after.as_bytes(), max as usize)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entry = |(key, id): &(Name, Bytes)| DirectoryEntry { name: text(&key[NAME.len()..]), id: text(id) };
    reply(&DirectoryListReply { entries: page.iter().map(entry).collect(), more })
}

fn check_given(name: &str, id: &str) -> Outcome<()> {
    if name.is_empty() || id.is_empty() {
        return refuse(Errno::EINVAL, "an image has a name and an id");
    }
    Ok(())
}

/// ESTALE unless both keys are there and point at each other.
fn check_pair(target: &Target<'_>, name: &str, id: &str) -> Outcome<()> {
    let id_of_name = record::value(target, &format!("{NAME}{name}"))?;
    let name_of_id = record::value(target, &format!("{ID}{id}"))?;
    if id_of_name.is_none_or(|found| found != id) || name_of_id.is_none_or(|found| found != name) {
        return refuse(Errno::ESTALE, format!("name {name:?} and id {id:?} do not belong together"));
    }
    Ok(())
}

fn has(target: &Target<'_>, kind: &str, key: &str) -> Outcome<bool> {
    Ok(record::value(target, &format!("{kind}{key}"))?.is_some())
}

fn put(target: &mut Target<'_>, name: &str, id: String) -> Outcome<()> {
    record::set(target, format!("{ID}{id}"), name.to_owned())?;
    record::set(target, format!("{NAME}{name}"), id)
}

fn take(target: &mut Target<'_>, name: &str, id: &str) -> Outcome<()> {
    record::unset(target, &format!("{NAME}{name}"))?;
    record::unset(target, &format!("{ID}{id}"))
}
