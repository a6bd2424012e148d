//! Object `rbd_directory`: two omap keys for each image, name to id and id to name, changed together.

use std::collections::BTreeMap;

use errno::Errno;
use proto::cls::rbd::v1::{DirectoryEntry, DirectoryList, DirectoryListReply, DirectoryRename};

use super::{image_id, record};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::limits::KEYS_PER_PAGE_MAX;
use crate::vector::target::Target;

const NAME: &str = "name_";
const ID: &str = "id_";

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "dir_add_image",
        |target, _, input| {
            let DirectoryEntry { name, id } = protobuf::decode(input)?;
            check_given(&name, &id)?;
            if id_of(target, &name)?.is_some() || name_of(target, &id)?.is_some() {
                return refuse(Errno::EEXIST, format!("name {name:?} or id {id:?} is in the directory"));
            }
            done(put(target, &name, &id))
        },
        |target, _, input| {
            let (name, id): (String, String) = ceph::decode(input)?;
            check_given(&name, &id)?;
            image_id::check(&id)?;
            check_free(target, &name)?;
            if name_of(target, &id)?.is_some() {
                return refuse(Errno::EBADF, format!("id {id:?} is in the directory"));
            }
            done(put(target, &name, &id))
        },
    ),
    Method::writes(
        "dir_remove_image",
        |target, _, input| {
            let DirectoryEntry { name, id } = protobuf::decode(input)?;
            let pair = pair(target, &name, &id)?;
            if pair == (None, None) {
                let rule = format!("neither name {name:?} nor id {id:?} is in the directory");
                return refuse(Errno::ENOENT, rule);
            }
            check_pair(&pair, &name, &id)?;
            done(take(target, &name, &id))
        },
        |target, _, input| {
            let (name, id): (String, String) = ceph::decode(input)?;
            check_known_pair(target, &name, &id)?;
            done(take(target, &name, &id))
        },
    ),
    Method::writes(
        "dir_rename_image",
        |target, _, input| {
            let DirectoryRename { old_name, new_name, id } = protobuf::decode(input)?;
            check_given(&new_name, &id)?;
            check_pair(&pair(target, &old_name, &id)?, &old_name, &id)?;
            check_free(target, &new_name)?;
            done(rename(target, &old_name, &new_name, &id))
        },
        |target, _, input| {
            let (old_name, new_name, id): (String, String, String) = ceph::decode(input)?;
            check_known_pair(target, &old_name, &id)?;
            check_given(&new_name, &id)?;
            check_free(target, &new_name)?;
            done(rename(target, &old_name, &new_name, &id))
        },
    ),
    Method::reads(
        "dir_get_id",
        |target, _, input| {
            let DirectoryEntry { name, .. } = protobuf::decode(input)?;
            let id = known_id(target, &name)?;
            protobuf::reply(&DirectoryEntry { name, id })
        },
        |target, _, input| ceph::reply(&known_id(target, &ceph::decode::<String>(input)?)?),
    ),
    Method::reads(
        "dir_get_name",
        |target, _, input| {
            let DirectoryEntry { id, .. } = protobuf::decode(input)?;
            let name = known_name(target, &id)?;
            protobuf::reply(&DirectoryEntry { name, id })
        },
        |target, _, input| ceph::reply(&known_name(target, &ceph::decode::<String>(input)?)?),
    ),
    Method::reads(
        "dir_list",
        |target, _, input| {
            let DirectoryList { after, max } = protobuf::decode(input)?;
            let max = if max == 0 { KEYS_PER_PAGE_MAX } else { max.min(KEYS_PER_PAGE_MAX) };
            let (entries, more) = list(target, &after, max as usize)?;
            let entries = entries.into_iter().map(|(name, id)| DirectoryEntry { name, id }).collect();
            protobuf::reply(&DirectoryListReply { entries, more })
        },
        |target, _, input| {
            let (after, max): (String, u64) = ceph::decode(input)?;
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            ceph::reply(&list(target, &after, max)?.0)
        },
    ),
];

fn known_id(target: &Target<'_>, name: &str) -> Outcome<String> {
    target.stat()?;
    match id_of(target, name)? {
        Some(id) => Ok(id),
        None => refuse(Errno::ENOENT, format!("no image is named {name:?}")),
    }
}

fn known_name(target: &Target<'_>, id: &str) -> Outcome<String> {
    target.stat()?;
    match name_of(target, id)? {
        Some(name) => Ok(name),
        None => refuse(Errno::ENOENT, format!("no image has id {id:?}")),
    }
}

/// Names greater than `after` and their ids, at most `max`, and whether there are more.
fn list(target: &Target<'_>, after: &str, max: usize) -> Outcome<(BTreeMap<String, String>, bool)> {
    target.stat()?;
    let after = format!("{NAME}{after}");
    let (page, more) = target.omap_page(NAME.as_bytes(), after.as_bytes(), max)?;
    let mut entries = BTreeMap::new();
    for (key, id) in page {
        let name = String::from_utf8_lossy(&key[NAME.len()..]).into_owned();
        entries.insert(name, ceph::stored("an image's id", &id)?);
    }
    Ok((entries, more))
}

fn check_given(name: &str, id: &str) -> Outcome<()> {
    if name.is_empty() || id.is_empty() {
        return refuse(Errno::EINVAL, "an image has a name and an id");
    }
    Ok(())
}

fn check_free(target: &Target<'_>, name: &str) -> Outcome<()> {
    match id_of(target, name)? {
        Some(_) => refuse(Errno::EEXIST, format!("name {name:?} is in the directory")),
        None => Ok(()),
    }
}

/// The id that the name has, and the name that the id has.
type Pair = (Option<String>, Option<String>);

fn pair(target: &Target<'_>, name: &str, id: &str) -> Outcome<Pair> {
    Ok((id_of(target, name)?, name_of(target, id)?))
}

/// ESTALE unless both keys are there and point at each other.
fn check_pair((id_of_name, name_of_id): &Pair, name: &str, id: &str) -> Outcome<()> {
    if id_of_name.as_deref() != Some(id) || name_of_id.as_deref() != Some(name) {
        return refuse(Errno::ESTALE, format!("name {name:?} and id {id:?} do not belong together"));
    }
    Ok(())
}

/// The same, and ENOENT unless both are there.
fn check_known_pair(target: &Target<'_>, name: &str, id: &str) -> Outcome<()> {
    let pair = pair(target, name, id)?;
    if pair.0.is_none() || pair.1.is_none() {
        return refuse(Errno::ENOENT, format!("name {name:?} or id {id:?} is not in the directory"));
    }
    check_pair(&pair, name, id)
}

fn id_of(target: &Target<'_>, name: &str) -> Outcome<Option<String>> {
    record::get(target, format!("{NAME}{name}"))
}

fn name_of(target: &Target<'_>, id: &str) -> Outcome<Option<String>> {
    record::get(target, format!("{ID}{id}"))
}

fn put(target: &mut Target<'_>, name: &str, id: &str) -> Outcome<()> {
    record::set(target, format!("{ID}{id}"), &name.to_owned())?;
    record::set(target, format!("{NAME}{name}"), &id.to_owned())
}

fn take(target: &mut Target<'_>, name: &str, id: &str) -> Outcome<()> {
    record::unset(target, format!("{NAME}{name}"))?;
    record::unset(target, format!("{ID}{id}"))
}

fn rename(target: &mut Target<'_>, old_name: &str, new_name: &str, id: &str) -> Outcome<()> {
    record::unset(target, format!("{NAME}{old_name}"))?;
    put(target, new_name, id)
}
