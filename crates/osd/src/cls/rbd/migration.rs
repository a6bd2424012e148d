//! An image on the way to another pool, name or format: both ends say so in their headers.

use bytes::Bytes;
use ceph_wire::cls::{MigrationHeaderKind, MigrationSpec, MigrationState, OldHeader};
use errno::Errno;

use super::{entries, features, record};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_writes("migration_set", set),
    Method::ceph_writes("migration_set_state", set_state),
    Method::ceph_reads("migration_get", get),
    Method::ceph_writes("migration_remove", remove),
];

const KEY: &str = "migration";

/// Whether an image is being migrated, and where its header says so.
enum Header {
    /// In its features, which are these.
    New(u64),
    /// In its text: an image of format 1.
    Old(bool),
}

/// ENXIO for what is no header.
fn header(target: &Target<'_>) -> Outcome<Header> {
    if let Some(features) = entries::find(target, record::FEATURES)? {
        return Ok(Header::New(features));
    }
    target.stat()?;
    let length = OldHeader::TEXT.len() as u64;
    let text = target.read(0, length)?.to_bytes(0, length);
    match &text[..] {
        OldHeader::TEXT => Ok(Header::Old(false)),
        OldHeader::TEXT_MIGRATING => Ok(Header::Old(true)),
        _ => refuse(Errno::ENXIO, "the object is not the header of an image"),
    }
}

/// EEXIST for an image that is migrated already. A destination is made with the feature; an image of format 1 is only ever a
/// source.
fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let spec: MigrationSpec = decode(input)?;
    let is_source = spec.header_kind == MigrationHeaderKind::Source;
    if target.omap_value(KEY.as_bytes())?.is_some() {
        return refuse(Errno::EEXIST, "the image is being migrated");
    }
    match header(target)? {
        Header::Old(true) => return refuse(Errno::EEXIST, "the image is being migrated"),
        Header::Old(false) if !is_source => {
            return refuse(Errno::EINVAL, "an image of format 1 is no destination");
        }
        Header::Old(false) => target.write(0, Bytes::from_static(OldHeader::TEXT_MIGRATING))?,
        Header::New(present) if present & features::MIGRATING == 0 => {
            entries::set(target, record::FEATURES, &(present | features::MIGRATING))?;
        }
        Header::New(_) if is_source => return refuse(Errno::EEXIST, "the image is being migrated"),
        Header::New(_) => {}
    }
    done(entries::set(target, KEY, &spec))
}

/// EINVAL for an image that is not migrated.
fn spec(target: &Target<'_>) -> Outcome<MigrationSpec> {
    match header(target)? {
        Header::Old(true) => entries::get(target, KEY),
        Header::New(present) if present & features::MIGRATING != 0 => entries::get(target, KEY),
        Header::Old(_) | Header::New(_) => refuse(Errno::EINVAL, "the image is not being migrated"),
    }
}

fn get(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    reply(&spec(target)?)
}

fn set_state(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (state, state_description): (MigrationState, String) = decode(input)?;
    let spec = spec(target)?;
    done(entries::set(target, KEY, &MigrationSpec { state, state_description, ..spec }))
}

/// EINVAL only for an image of format 1 that is not migrated.
fn remove(target: &mut Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    match header(target)? {
        Header::Old(false) => return refuse(Errno::EINVAL, "the image is not being migrated"),
        Header::Old(true) => target.write(0, Bytes::from_static(OldHeader::TEXT))?,
        Header::New(present) if present & features::MIGRATING != 0 => {
            entries::set(target, record::FEATURES, &(present & !features::MIGRATING))?;
        }
        Header::New(_) => {}
    }
    done(entries::remove(target, KEY))
}
