//! Object `rbd_trash`: images that wait to be removed, or to come back, by id.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::cls::{TrashImageSpec, TrashState};
use errno::Errno;

use super::{entries, image_id};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_writes("trash_add", add),
    Method::ceph_writes("trash_remove", remove),
    Method::ceph_reads("trash_list", list),
    Method::ceph_reads("trash_get", get),
    Method::ceph_writes("trash_state_set", set_state),
];

const PREFIX: &str = "id_";

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (id, spec): (String, TrashImageSpec) = decode(input)?;
    image_id::check(&id)?;
    if entries::find::<TrashImageSpec>(target, &key(&id))?.is_some() {
        return refuse(Errno::EEXIST, format!("image {id:?} is in the trash already"));
    }
    done(entries::set(target, &key(&id), &spec))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    entries::get::<TrashImageSpec>(target, &key(&id))?;
    done(entries::remove(target, &key(&id)))
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let images: BTreeMap<String, TrashImageSpec> =
        entries::decoded(entries::page(target, PREFIX, &after, max)?, PREFIX)?;
    reply(&images)
}

fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    reply(&entries::get::<TrashImageSpec>(target, &key(&id))?)
}

/// ESTALE when it is neither in the state that was expected nor in the one that is wanted.
fn set_state(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (id, state, expected): (String, TrashState, TrashState) = decode(input)?;
    let spec: TrashImageSpec = entries::get(target, &key(&id))?;
    if spec.state == expected {
        return done(entries::set(target, &key(&id), &TrashImageSpec { state, ..spec }));
    }
    match spec.state == state {
        true => done(Ok(())),
        false => refuse(Errno::ESTALE, format!("image {id:?} is {:?} in the trash", spec.state)),
    }
}
