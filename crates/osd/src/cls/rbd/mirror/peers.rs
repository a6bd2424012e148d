//! The clusters that a pool is mirrored with.

use bytes::Bytes;
use ceph_wire::Utime;
use ceph_wire::cls::{MirrorDirection, MirrorPeer};
use ceph_wire::crc::crc32c;
use errno::Errno;

use super::super::entries;
use super::mode;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("mirror_peer_list", list),
    Method::ceph_writes("mirror_peer_add", add),
    Method::ceph_writes("mirror_peer_remove", remove),
    Method::ceph_writes("mirror_peer_ping", ping),
    Method::ceph_writes("mirror_peer_set_client", set_client),
    Method::ceph_writes("mirror_peer_set_cluster", set_cluster),
    Method::ceph_writes("mirror_peer_set_direction", set_direction),
];

pub(super) const PREFIX: &str = "mirror_peer_";

fn key(uuid: &str) -> String {
    format!("{PREFIX}{uuid}")
}

fn peers(target: &Target<'_>) -> Outcome<Vec<MirrorPeer>> {
    Ok(entries::all(target, PREFIX)?.into_iter().map(|(_, peer)| peer).collect())
}

fn put(target: &mut Target<'_>, peer: &MirrorPeer) -> Outcome<Bytes> {
    done(entries::set(target, &key(&peer.uuid), peer))
}

/// EINVAL for one that lacks an id, a name, or, if it sends, its user.
fn check(peer: &MirrorPeer) -> Outcome<()> {
    let needs_client = peer.direction != MirrorDirection::Send;
    match peer.uuid.is_empty() || peer.site_name.is_empty() || (needs_client && peer.client_name.is_empty()) {
        true => refuse(Errno::EINVAL, "a peer has an id, a name and, if it sends, a user"),
        false => Ok(()),
    }
}

fn list(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    reply(&peers(target)?)
}

/// ESTALE for an id that a peer has, EEXIST for its name or its own id.
fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let peer: MirrorPeer = decode(input)?;
    mode::check_enabled(target)?;
    check(&peer)?;
    if mode::uuid(target)?.as_ref() == Some(&peer.uuid) || peer.direction == MirrorDirection::Send {
        return refuse(Errno::EINVAL, "a peer is not the pool itself, and is added by who receives from it");
    }
    for other in peers(target)? {
        let is_same = !peer.mirror_uuid.is_empty() && other.mirror_uuid == peer.mirror_uuid;
        if other.uuid == peer.uuid {
            return refuse(Errno::ESTALE, format!("there is a peer with id {:?}", peer.uuid));
        }
        if other.site_name == peer.site_name || is_same {
            return refuse(Errno::EEXIST, format!("peer {:?} is there as {:?}", peer.site_name, other.uuid));
        }
    }
    put(target, &peer)
}

/// One that is not there may be removed.
fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let uuid: String = decode(input)?;
    done(if target.exists() { entries::remove(target, &key(&uuid)) } else { Ok(()) })
}

/// A peer's daemon was here: one that was not known becomes a peer that is sent to.
fn ping(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (site_name, mirror_uuid, direction): (String, String, MirrorDirection) = decode(input)?;
    if direction != MirrorDirection::Send {
        return refuse(Errno::EINVAL, "a ping comes from who is sent to");
    }
    mode::check_enabled(target)?;
    if site_name.is_empty() || mirror_uuid.is_empty() {
        return refuse(Errno::EINVAL, "a ping says a name and an id");
    }
    let known = known(&peers(target)?, &site_name, &mirror_uuid);
    let mut peer = known.unwrap_or_else(|| MirrorPeer {
        uuid: made_uuid(caller, &site_name, &mirror_uuid),
        site_name,
        client_name: String::new(),
        direction: MirrorDirection::Send,
        mirror_uuid,
        last_seen: Utime::default(),
    });
    if peer.direction == MirrorDirection::Receive {
        peer.direction = MirrorDirection::Both;
    }
    peer.last_seen = Utime::from_millis(caller.unix_ms);
    check(&peer)?;
    put(target, &peer)
}

/// The peer with that name, unless it has another id of its own: then the one with that id. Where just one of both is known
/// of it, it gets the other.
fn known(peers: &[MirrorPeer], site_name: &str, mirror_uuid: &str) -> Option<MirrorPeer> {
    let named = peers.iter().find(|peer| peer.site_name == site_name);
    if let Some(peer) = named.filter(|peer| peer.mirror_uuid.is_empty() || peer.mirror_uuid == mirror_uuid) {
        return Some(MirrorPeer { mirror_uuid: mirror_uuid.to_owned(), ..peer.clone() });
    }
    let is_renamed = named.is_none();
    let peer = peers.iter().find(|peer| peer.mirror_uuid == mirror_uuid);
    match (peer, named) {
        (Some(peer), _) if is_renamed => Some(MirrorPeer { site_name: site_name.to_owned(), ..peer.clone() }),
        (Some(peer), _) => Some(peer.clone()),
        (None, Some(named)) => Some(MirrorPeer { mirror_uuid: mirror_uuid.to_owned(), ..named.clone() }),
        (None, None) => None,
    }
}

/// In the form of a random one; the OSD has no randomness.
fn made_uuid(caller: &Caller<'_>, site_name: &str, mirror_uuid: &str) -> String {
    let told = format!("{site_name}/{mirror_uuid}/{}/{}", caller.gid, caller.unix_ms);
    let [a, b, c, d] = [1, 2, 3, 4].map(|seed| crc32c(seed, told.as_bytes()));
    let (b_low, c_low) = (b & 0xfff, c & 0x3fff);
    format!("{a:08x}-{:04x}-4{b_low:03x}-{:04x}-{:04x}{d:08x}", b >> 16, 0x8000 | c_low, c >> 16)
}

fn set_client(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (uuid, client_name): (String, String) = decode(input)?;
    let peer = entries::get(target, &key(&uuid))?;
    put(target, &MirrorPeer { client_name, ..peer })
}

/// EEXIST for the name of another peer.
fn set_cluster(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (uuid, site_name): (String, String) = decode(input)?;
    let peers = peers(target)?;
    if peers.iter().any(|peer| peer.uuid != uuid && peer.site_name == site_name) {
        return refuse(Errno::EEXIST, format!("another peer is named {site_name:?}"));
    }
    match peers.into_iter().find(|peer| peer.uuid == uuid) {
        Some(peer) => put(target, &MirrorPeer { site_name, ..peer }),
        None => refuse(Errno::ENOENT, format!("there is no peer with id {uuid:?}")),
    }
}

fn set_direction(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (uuid, direction): (String, MirrorDirection) = decode(input)?;
    let peer = entries::get(target, &key(&uuid))?;
    put(target, &MirrorPeer { direction, ..peer })
}
