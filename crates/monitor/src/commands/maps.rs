//! Commands about the monitors' and the managers' maps.

use ceph_wire::{AddrKind, EntityAddr, FEATURES};
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::cluster::Cluster;
use crate::maps::{MGR_EPOCH, MGR_NAME, MON_EPOCH, MON_NAME, mgr_map};
use crate::time::shown;

/// Names of the features of [`MonMap`](ceph_wire::mon::MonMap).
const MON_FEATURES: [&str; 8] =
    ["kraken", "luminous", "mimic", "osdmap-prune", "nautilus", "octopus", "pacific", "elector-pinging"];

/// One address as an addrvec, in JSON.
pub(super) fn addrvec(address: &EntityAddr) -> Value {
    let kind = if address.kind == AddrKind::Legacy { "v1" } else { "v2" };
    let socket = address.socket.map_or_else(String::new, |socket| socket.to_string());
    json!({ "addrvec": [{ "type": kind, "addr": socket, "nonce": address.nonce }] })
}

fn mon_map<C>(call: &Call<'_, C>) -> Value {
    let (identity, address) = (&call.monitor.identity, &call.monitor.addresses.mon);
    // Ceph ends these by Z.
    let started = shown(identity.started_unix_ms).replace("+0000", "Z");
    json!({
        "epoch": MON_EPOCH,
        "fsid": identity.fsid_text(),
        "modified": started,
        "created": started,
        "min_mon_release": 16,
        "min_mon_release_name": "pacific",
        "election_strategy": 1,
        "disallowed_leaders: ": "",
        "stretch_mode": false,
        "tiebreaker_mon": "",
        "removed_ranks: ": "",
        "features": { "persistent": MON_FEATURES, "optional": [] },
        "mons": [{
            "rank": 0,
            "name": MON_NAME,
            "public_addrs": addrvec(address),
            "addr": address.to_string(),
            "public_addr": address.to_string(),
            "priority": 0,
            "weight": 0,
            "crush_location": "{}",
        }],
    })
}

pub(super) fn mon_dump<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let identity = &call.monitor.identity;
    let (fsid, started) = (identity.fsid_text(), shown(identity.started_unix_ms));
    let address = call.monitor.addresses.mon;
    let plain = || {
        format!(
            "epoch {MON_EPOCH}
fsid {fsid}
last_changed {started}
created {started}
min_mon_release 16 (pacific)
election_strategy: 1
0: [v2:{address}] mon.{MON_NAME}
"
        )
    };
    let value = || {
        let mut map = mon_map(call);
        map["quorum"] = json!([0]);
        map
    };
    let status = format!("dumped monmap epoch {MON_EPOCH}");
    Ok(Answer::shown(call.request.format, plain, value).with_status(status))
}

pub(super) fn mon_stat<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let address = call.monitor.addresses.mon;
    let plain = || {
        format!(
            "e{MON_EPOCH}: 1 mons at {{{MON_NAME}=[v2:{address}]}} removed_ranks: {{}}, election epoch 1, leader 0 \
             {MON_NAME}, quorum 0 {MON_NAME}\n"
        )
    };
    let value = || {
        json!({
            "epoch": MON_EPOCH, "min_mon_release_name": "pacific", "num_mons": 1, "leader": MON_NAME,
            "quorum": [{ "rank": 0, "name": MON_NAME }],
        })
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

pub(super) fn mon_getmap<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let status = format!("got monmap epoch {MON_EPOCH}");
    Ok(Answer::raw(call.monitor.mon_map_bytes()).with_status(status))
}

pub(super) fn quorum_status<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let age = call.now_unix_ms.saturating_sub(call.monitor.identity.started_unix_ms) / 1000;
    let value = json!({
        "election_epoch": 1,
        "quorum": [0],
        "quorum_names": [MON_NAME],
        "quorum_leader_name": MON_NAME,
        "quorum_age": age,
        "features": { "quorum_con": FEATURES.to_string(), "quorum_mon": MON_FEATURES },
        "monmap": mon_map(call),
    });
    Ok(Answer::json(call.request.format, &value))
}

pub(super) fn mgr_stat<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let value = json!({ "epoch": MGR_EPOCH, "available": true, "active_name": MGR_NAME, "num_standby": 0 });
    Ok(Answer::json(call.request.format, &value))
}

pub(super) fn mgr_dump<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (identity, addresses) = (&call.monitor.identity, &call.monitor.addresses);
    let map = mgr_map(identity, addresses);
    let value = json!({
        "epoch": map.epoch,
        "active_gid": map.active_gid,
        "active_name": map.active_name,
        "active_addrs": addrvec(&addresses.mgr),
        "active_addr": addresses.mgr.to_string(),
        "active_change": shown(identity.started_unix_ms),
        "active_mgr_features": map.active_features,
        "available": map.is_available,
        "standbys": [],
        "modules": [],
        "available_modules": [],
        "services": {},
        "always_on_modules": {},
        "last_failure_osd_epoch": 0,
        "active_clients": [],
    });
    Ok(Answer::json(call.request.format, &value))
}
