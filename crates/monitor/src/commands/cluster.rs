//! Commands about the cluster as a whole.

use ceph_wire::mon::{LogEntry, LogLevel};
use ceph_wire::{AuthName, EntityName, EntityType};
use errno::Errno;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::cluster::{Cluster, Refusal};
use crate::log::TEXT_BYTES_MAX;
use crate::machine::{CAPACITY_BYTES, usage};
use crate::maps::{MGR_NAME, MON_EPOCH, MON_NAME};
use crate::time::utime;

/// The log that commands speak in.
const CHANNEL: &str = "cluster";

/// What its daemons say they are: clients of every release know Pacific.
const VERSION: &str = "ceph version 16.2.15 (osd-sim) pacific (stable)";

/// Says something in the cluster's log.
pub(super) fn log<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let text = call.request.texts("logtext").join(" ");
    let level = call.request.text("level").unwrap_or_else(|| LogLevel::Info.to_string());
    let refusal = || Refusal::new(Errno::EINVAL, format!("unrecognized log level '{level}'"));
    let level = LogLevel::named(&level).ok_or_else(refusal)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::new(Errno::E2BIG, format!("a text has at most {TEXT_BYTES_MAX} bytes")));
    }
    let monitor = &mut *call.monitor;
    monitor.log.add(LogEntry {
        name: AuthName { kind: EntityType::Mon.number().into(), id: MON_NAME.to_owned() },
        rank: EntityName { kind: EntityType::Mon, number: 0 },
        addresses: monitor.addresses.mon.into(),
        stamp: utime(call.now_unix_ms),
        seq: 0,
        level,
        text,
        channel: CHANNEL.to_owned(),
    });
    Ok(Answer::default())
}

pub(super) fn fsid<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let fsid = call.monitor.identity.fsid_text();
    Ok(Answer::shown(call.request.format, || format!("{fsid}\n"), || json!({ "fsid": fsid })))
}

pub(super) fn version<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    Ok(Answer::shown(call.request.format, || format!("{VERSION}\n"), || json!({ "version": VERSION })))
}

pub(super) fn versions<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (one, three) = (json!({ VERSION: 1 }), json!({ VERSION: 3 }));
    let value = json!({ "mon": one, "mgr": one, "osd": one, "mds": {}, "overall": three });
    Ok(Answer::json(call.request.format, &value))
}

pub(super) fn features<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let features = format!("{:#x}", ceph_wire::FEATURES);
    let group = json!([{ "features": features, "release": "luminous", "num": 1 }]);
    Ok(Answer::json(
        call.request.format,
        &json!({ "mon": group, "mgr": group, "osd": group, "client": group }),
    ))
}

pub(super) fn health<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    Ok(Answer::shown(call.request.format, || "HEALTH_OK\n".to_owned(), healthy))
}

fn healthy() -> Value {
    json!({ "status": "HEALTH_OK", "checks": {}, "mutes": [] })
}

/// Seconds since the cluster began.
fn age<C>(call: &Call<'_, C>) -> u64 {
    call.now_unix_ms.saturating_sub(call.monitor.identity.started_unix_ms) / 1000
}

pub(super) fn status<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (usage, pools) = (usage(call.cluster, None), call.cluster.pools().len());
    let (fsid, age) = (call.monitor.identity.fsid_text(), age(call));
    let plain = || {
        let free = shown_bytes(CAPACITY_BYTES.saturating_sub(usage.bytes));
        let (used, total) = (shown_bytes(usage.bytes), shown_bytes(CAPACITY_BYTES));
        let objects = usage.objects;
        format!(
            "  cluster:
    id:     {fsid}
    health: HEALTH_OK
 
  services:
    mon: 1 daemons, quorum {MON_NAME} (age {age}s)
    mgr: {MGR_NAME}(active, since {age}s)
    osd: 1 osds: 1 up (since {age}s), 1 in (since {age}s)
 
  data:
    pools:   {pools} pools, {pools} pgs
    objects: {objects} objects, {used}
    usage:   {used} used, {free} / {total} avail
    pgs:     {pools} active+clean
 
"
        )
    };
    let started = call.monitor.identity.started_unix_ms / 1000;
    let value = || {
        json!({
            "fsid": fsid,
            "health": healthy(),
            "election_epoch": 1,
            "quorum": [0],
            "quorum_names": [MON_NAME],
            "quorum_age": age,
            "monmap": { "epoch": MON_EPOCH, "min_mon_release_name": "pacific", "num_mons": 1 },
            "osdmap": {
                "epoch": call.monitor.epoch(), "num_osds": 1, "num_up_osds": 1, "osd_up_since": started,
                "num_in_osds": 1, "osd_in_since": started, "num_remapped_pgs": 0,
            },
            "pgmap": {
                "pgs_by_state": [{ "state_name": "active+clean", "count": pools }],
                "num_pgs": pools, "num_pools": pools, "num_objects": usage.objects,
                "data_bytes": usage.bytes, "bytes_used": usage.bytes,
                "bytes_avail": CAPACITY_BYTES.saturating_sub(usage.bytes), "bytes_total": CAPACITY_BYTES,
            },
            "fsmap": { "epoch": 1, "by_rank": [], "up:standby": 0 },
            "mgrmap": { "available": true, "num_standbys": 0, "modules": [], "services": {} },
            "servicemap": { "epoch": 1, "services": {} },
            "progress_events": {},
        })
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

pub(super) fn df<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (usage, pools) = (usage(call.cluster, None), call.cluster.pools());
    let free = CAPACITY_BYTES.saturating_sub(usage.bytes);
    let ratio = usage.bytes as f64 / CAPACITY_BYTES as f64;
    let plain = || {
        let [total, avail, used] = [CAPACITY_BYTES, free, usage.bytes].map(shown_bytes);
        let percent = format!("{:.2}", ratio * 100.0);
        let head = ["CLASS", "SIZE", "AVAIL", "USED", "RAW USED", "%RAW USED"].map(str::to_owned);
        let raw = ["ssd", "TOTAL"].map(|of| [of, &total, &avail, &used, &used, &percent].map(str::to_owned));
        let of = |pool: &crate::PoolState| {
            let (stored, objects) = (shown_bytes(pool.usage.bytes), pool.usage.objects.to_string());
            let percent = format!("{:.2}", percent_used(pool.usage.bytes, free) * 100.0);
            let (id, pgs) = (pool.id.to_string(), "1".to_owned());
            [pool.name.clone(), id, pgs, stored.clone(), objects, stored, percent, avail.clone()]
        };
        let pool_head =
            ["POOL", "ID", "PGS", "STORED", "OBJECTS", "USED", "%USED", "MAX AVAIL"].map(str::to_owned);
        let raw = aligned(&std::iter::once(head).chain(raw).collect::<Vec<_>>());
        let pools = aligned(&std::iter::once(pool_head).chain(pools.iter().map(of)).collect::<Vec<_>>());
        format!("--- RAW STORAGE ---\n{raw} \n--- POOLS ---\n{pools}")
    };
    let value = || {
        let raw = json!({
            "total_bytes": CAPACITY_BYTES, "total_avail_bytes": free, "total_used_bytes": usage.bytes,
            "total_used_raw_bytes": usage.bytes, "total_used_raw_ratio": ratio,
        });
        let mut stats = raw.clone();
        for name in ["num_osds", "num_per_pool_osds", "num_per_pool_omap_osds"] {
            stats[name] = json!(1);
        }
        let of = |pool: &crate::PoolState| {
            let bytes = pool.usage.bytes;
            json!({ "name": pool.name, "id": pool.id, "stats": {
                "stored": bytes, "objects": pool.usage.objects, "kb_used": bytes.div_ceil(1024),
                "bytes_used": bytes, "percent_used": percent_used(bytes, free), "max_avail": free,
            }})
        };
        json!({
            "stats": stats, "stats_by_class": { "ssd": raw }, "pools": pools.iter().map(of).collect::<Value>(),
        })
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

fn percent_used(bytes: u64, free: u64) -> f64 {
    if bytes == 0 { 0.0 } else { bytes as f64 / (bytes + free) as f64 }
}

/// Rows under a head: the first column to the left, the others to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("  {cell:>width$}"),
        });
        cells.collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}

/// E.g. 98 KiB.
fn shown_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let digits = usize::from(value.fract() != 0.0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}
