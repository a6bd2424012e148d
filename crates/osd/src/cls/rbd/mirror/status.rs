//! How mirroring of images goes, as each site's daemon says. Who said something lives while he watches the object.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::cls::{
    MirrorImage, MirrorImageState, MirrorImageStatus, MirrorPeer, MirrorSiteState, MirrorSiteStatus,
    MirrorSiteStatusRecord,
};
use ceph_wire::{AddrKind, EntityAddr, EntityName, EntityType, Tail, Utime};
use errno::Errno;

use super::super::entries;
use super::{images, summary};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_writes("mirror_image_status_set", set),
    Method::ceph_writes("mirror_image_status_remove", remove),
    Method::ceph_reads("mirror_image_status_get", get),
    Method::ceph_reads("mirror_image_status_list", list),
    Method::ceph_reads("mirror_image_status_get_summary", get_summary),
    Method::ceph_writes("mirror_image_status_remove_down", remove_down),
    Method::ceph_reads("mirror_image_instance_get", get_instance),
    Method::ceph_reads("mirror_image_instance_list", list_instances),
];

const LOCAL: &str = "status_global_";
const REMOTE: &str = "remote_status_global_";

fn key(global_id: &str, mirror_uuid: &str) -> String {
    match mirror_uuid {
        "" => format!("{LOCAL}{global_id}"),
        mirror_uuid => format!("{}{mirror_uuid}", remote_prefix(global_id)),
    }
}

fn remote_prefix(global_id: &str) -> String {
    format!("{REMOTE}{global_id}_")
}

/// Of an image that is not mirrored nothing is kept, and nobody is told.
fn set(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (global_id, status): (String, MirrorSiteStatus) = decode(input)?;
    let image = images::by_global_id(target, &global_id)?;
    if image.is_none_or(|image| image.state != MirrorImageState::Enabled) {
        return done(Ok(()));
    }
    let key = key(&global_id, &status.mirror_uuid);
    let last_update = Utime::from_millis(caller.unix_ms);
    let (origin, origin_address) = entity(caller)?;
    // The key says which site it is.
    let status = MirrorSiteStatus { mirror_uuid: String::new(), last_update, is_up: false, ..status };
    done(entries::set(target, &key, &MirrorSiteStatusRecord { origin, origin_address, status }))
}

/// The caller, as Ceph names instances.
fn entity(caller: &Caller<'_>) -> Outcome<(EntityName, EntityAddr)> {
    let address: EntityAddr = match caller.address.parse() {
        Ok(address) => address,
        Err(_) => return refuse(Errno::EIO, format!("{:?} is no address of a client", caller.address)),
    };
    let number = caller.gid.cast_signed();
    Ok((EntityName { kind: EntityType::Client, number }, EntityAddr { kind: AddrKind::Any, ..address }))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let global_id: String = decode(input)?;
    done(forget(target, &global_id))
}

/// What all sites said of an image goes.
pub(super) fn forget(target: &mut Target<'_>, global_id: &str) -> Outcome<()> {
    if !target.exists() {
        return Ok(());
    }
    let remotes = entries::page(target, &remote_prefix(global_id), "", u64::MAX)?;
    let sites = remotes.into_iter().map(|(mirror_uuid, _)| mirror_uuid).chain([String::new()]);
    sites.map(|site| key(global_id, &site)).try_for_each(|key| entries::remove(target, &key))
}

/// What all sites say of an image; `None` when none says anything.
fn status(target: &Target<'_>, caller: &Caller<'_>, global_id: &str) -> Outcome<Option<MirrorImageStatus>> {
    let shown = |record: MirrorSiteStatusRecord, mirror_uuid: String| {
        let is_up = is_up(caller, record.origin);
        MirrorSiteStatus { mirror_uuid, is_up, ..record.status }
    };
    let local = entries::find(target, &key(global_id, ""))?
        .map(|record: MirrorSiteStatusRecord| shown(record, String::new()));
    let remotes: Vec<(String, MirrorSiteStatusRecord)> = entries::all(target, &remote_prefix(global_id))?;
    let remotes: Vec<_> =
        remotes.into_iter().map(|(mirror_uuid, record)| shown(record, mirror_uuid)).collect();
    Ok((local.is_some() || !remotes.is_empty()).then_some(MirrorImageStatus { local, remotes }))
}

fn is_up(caller: &Caller<'_>, origin: EntityName) -> bool {
    origin.kind == EntityType::Client && caller.watchers.contains(&origin.number.cast_unsigned())
}

fn get(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let global_id: String = decode(input)?;
    match status(target, caller, &global_id)? {
        Some(status) => reply(&status),
        None => refuse(Errno::ENOENT, format!("no site says anything of image {global_id:?}")),
    }
}

fn list(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let images = listed(target, input)?;
    let mut statuses = BTreeMap::new();
    for (image_id, image) in &images {
        if let Some(status) = status(target, caller, &image.global_image_id)? {
            statuses.insert(image_id.clone(), status);
        }
    }
    reply(&(images, statuses))
}

fn listed(target: &Target<'_>, input: &Bytes) -> Outcome<BTreeMap<String, MirrorImage>> {
    let (after, max): (String, u64) = decode(input)?;
    entries::decoded(entries::page(target, images::PREFIX, &after, max)?, images::PREFIX)
}

/// How many images are in which state. Clients before Octopus say no peers.
fn get_summary(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let Tail(peers): Tail<Vec<MirrorPeer>> = decode(input)?;
    let view = summary::View::new(&peers.unwrap_or_default());
    let mut counts: BTreeMap<MirrorSiteState, i32> = BTreeMap::new();
    for (_, image) in entries::all::<MirrorImage>(target, images::PREFIX)? {
        let status = status(target, caller, &image.global_image_id)?;
        *counts.entry(view.state(status.as_ref())).or_default() += 1;
    }
    reply(&counts)
}

/// Who does not live has nothing to say.
fn remove_down(target: &mut Target<'_>, caller: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    for prefix in [LOCAL, REMOTE] {
        for (name, record) in entries::all::<MirrorSiteStatusRecord>(target, prefix)? {
            if !is_up(caller, record.origin) {
                entries::remove(target, &format!("{prefix}{name}"))?;
            }
        }
    }
    done(Ok(()))
}

/// Whose this site's status of an image is. ESTALE when he does not live.
fn instance(target: &Target<'_>, caller: &Caller<'_>, global_id: &str) -> Outcome<(EntityName, EntityAddr)> {
    let record: MirrorSiteStatusRecord = entries::get(target, &key(global_id, ""))?;
    match is_up(caller, record.origin) {
        true => Ok((record.origin, record.origin_address)),
        false => refuse(Errno::ESTALE, format!("{} does not watch", record.origin)),
    }
}

fn get_instance(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let global_id: String = decode(input)?;
    reply(&instance(target, caller, &global_id)?)
}

fn list_instances(target: &Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let images = listed(target, input)?;
    let live = images.into_iter().filter_map(|(image_id, image)| {
        Some((image_id, instance(target, caller, &image.global_image_id).ok()?))
    });
    reply(&live.collect::<BTreeMap<_, _>>())
}
