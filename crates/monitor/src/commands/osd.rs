//! Commands about the OSD map.

use ceph_wire::osdmap::release;
use errno::Errno;
use serde_json::{Value, json};

use super::maps::addrvec;
use super::{Answer, Call, Outcome, pool};
use crate::cluster::{Cluster, Refusal};
use crate::maps::{crush_map, uuid_text};
use crate::time::shown;

const FLAGS: &str = "sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit";

pub(super) fn dump<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    call.monitor.look(call.now_unix_ms, call.cluster);
    Ok(Answer::shown(call.request.format, || dump_plain(call), || dump_json(call)))
}

fn dump_plain<C>(call: &Call<'_, C>) -> String {
    let (identity, map) = (&call.monitor.identity, &call.monitor.shown);
    let (fsid, started, modified) =
        (identity.fsid_text(), shown(identity.started_unix_ms), shown(map.modified_unix_ms));
    let (epoch, compat) = (map.epoch, release::name(map.require_min_compat_client));
    let (osd, uuid) = (call.monitor.addresses.osd, uuid_text(&identity.osd_uuid()));
    let mut text = format!(
        "epoch {epoch}
fsid {fsid}
created {started}
modified {modified}
flags {FLAGS}
crush_version 1
full_ratio 0.95
backfillfull_ratio 0.9
nearfull_ratio 0.85
require_min_compat_client {compat}
min_compat_client jewel
require_osd_release pacific
stretch_mode_enabled false
"
    );
    for state in &map.pools {
        text += &pool::line(state, &map.notes[&state.id]);
        text.push('\n');
    }
    text += &format!(
        "max_osd 1
osd.0 up   in  weight 1 up_from 1 up_thru 1 down_at 0 last_clean_interval [0,0) [v2:{osd}] [v2:{osd}] exists,up {uuid}
"
    );
    for fence in &map.fences {
        text += &format!("blocklist {} expires {}\n", fence.address, shown(fence.until_unix_ms));
    }
    text
}

fn dump_json<C>(call: &Call<'_, C>) -> Value {
    let (identity, map) = (&call.monitor.identity, &call.monitor.shown);
    let address = call.monitor.addresses.osd;
    let started = shown(identity.started_unix_ms);
    let pools: Vec<Value> =
        map.pools.iter().map(|state| pool::value(state, &map.notes[&state.id], "pool")).collect();
    let fences =
        map.fences.iter().map(|fence| (fence.address.to_string(), json!(shown(fence.until_unix_ms))));
    let osd = json!({
        "osd": 0, "uuid": uuid_text(&identity.osd_uuid()), "up": 1, "in": 1, "weight": 1, "primary_affinity": 1,
        "last_clean_begin": 0, "last_clean_end": 0, "up_from": 1, "up_thru": 1, "down_at": 0, "lost_at": 0,
        "public_addrs": addrvec(&address), "cluster_addrs": addrvec(&address),
        "heartbeat_back_addrs": addrvec(&address), "heartbeat_front_addrs": addrvec(&address),
        "public_addr": address.to_string(), "cluster_addr": address.to_string(),
        "heartbeat_back_addr": address.to_string(), "heartbeat_front_addr": address.to_string(),
        "state": ["exists", "up"],
    });
    json!({
        "epoch": map.epoch,
        "fsid": identity.fsid_text(),
        "created": started,
        "modified": shown(map.modified_unix_ms),
        "last_up_change": started,
        "last_in_change": started,
        "flags": FLAGS,
        "flags_num": ceph_wire::osdmap::OsdMap::FLAGS,
        "flags_set": ["pglog_hardlimit", "purged_snapdirs", "recovery_deletes", "sortbitwise"],
        "crush_version": 1,
        "full_ratio": 0.95,
        "backfillfull_ratio": 0.9,
        "nearfull_ratio": 0.85,
        "cluster_snapshot": "",
        "pool_max": map.pool_max,
        "max_osd": 1,
        "require_min_compat_client": release::name(map.require_min_compat_client),
        "min_compat_client": "jewel",
        "require_osd_release": "pacific",
        "pools": pools,
        "osds": [osd],
        "osd_xinfo": [{ "osd": 0, "features": ceph_wire::FEATURES }],
        "pg_upmap": [], "pg_upmap_items": [], "pg_temp": [], "primary_temp": [],
        "blocklist": Value::Object(fences.collect()),
        "range_blocklist": {},
        "erasure_code_profiles": {},
        "removed_snaps_queue": [], "new_removed_snaps": [], "new_purged_snaps": [],
        "crush_node_flags": {}, "device_class_flags": {},
        "stretch_mode": { "stretch_mode_enabled": false, "stretch_bucket_count": 0, "degraded_stretch_mode": 0,
            "recovering_stretch_mode": 0, "stretch_mode_bucket": 0 },
    })
}

pub(super) fn stat<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (epoch, started) = (call.monitor.epoch(), call.monitor.identity.started_unix_ms);
    let age = call.now_unix_ms.saturating_sub(started) / 1000;
    let plain = || format!("1 osds: 1 up (since {age}s), 1 in (since {age}s); epoch: e{epoch}\n");
    let value = || {
        json!({ "epoch": epoch, "num_osds": 1, "num_up_osds": 1, "osd_up_since": started / 1000,
            "num_in_osds": 1, "osd_in_since": started / 1000, "num_remapped_pgs": 0 })
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

pub(super) fn ls<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    Ok(Answer::shown(call.request.format, || "0\n".to_owned(), || json!([0])))
}

pub(super) fn getmap<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let status = format!("got osdmap epoch {}", call.monitor.epoch());
    Ok(Answer::raw(call.monitor.osd_map_bytes()).with_status(status))
}

pub(super) fn getcrushmap<C: Cluster>(_: &mut Call<'_, C>) -> Outcome {
    Ok(Answer::raw(crush_map()).with_status("1"))
}

pub(super) fn getmaxosd<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let epoch = call.monitor.epoch();
    let plain = || format!("max_osd = 1 in epoch {epoch}\n");
    Ok(Answer::shown(call.request.format, plain, || json!({ "epoch": epoch, "max_osd": 1 })))
}

pub(super) fn crush_rule_ls<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let name = "replicated_rule";
    Ok(Answer::shown(call.request.format, || format!("{name}\n"), || json!([name])))
}

/// From Mimic on librbd clones by format 2, before it by format 1.
pub(super) fn set_require_min_compat_client<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let name = call.request.needed("version")?;
    let unknown = || Refusal::new(Errno::EINVAL, format!("{name} is not a valid release"));
    let number = release::number(&name).filter(|&number| number <= release::PACIFIC).ok_or_else(unknown)?;
    call.monitor.shown.require_min_compat_client = number;
    call.monitor.settings.is_map_changed = true;
    Ok(Answer::done(format!("set require_min_compat_client to {name}")))
}
