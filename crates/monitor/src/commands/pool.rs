//! Commands about pools. The texts are a real monitor's.

use std::collections::BTreeMap;

use ceph_wire::osdmap::pool_flag;
use errno::Errno;
use serde_json::{Map, Value, json};

use super::table::promise;
use super::{Answer, Call, Outcome};
use crate::cluster::{Cluster, PoolState, Refusal};
use crate::maps::PoolNotes;
use crate::time::shown;

/// Options of a pool that Ceph knows and that nobody has set.
const UNSET: [&str; 12] = [
    "compression_mode",
    "compression_algorithm",
    "compression_required_ratio",
    "compression_max_blob_size",
    "compression_min_blob_size",
    "csum_type",
    "scrub_min_interval",
    "scrub_max_interval",
    "target_size_bytes",
    "target_size_ratio",
    "pg_num_min",
    "recovery_priority",
];

fn flag_names(flags: u64) -> String {
    let names = [
        (pool_flag::HASHPSPOOL, "hashpspool"),
        (pool_flag::NODELETE, "nodelete"),
        (pool_flag::SELFMANAGED_SNAPS, "selfmanaged_snaps"),
    ];
    let set = names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(",")
}

/// A pool in `osd dump`.
pub(super) fn line(state: &PoolState, notes: &PoolNotes) -> String {
    let info = notes.info(state);
    let applications: Vec<_> = notes.applications.keys().map(String::as_str).collect();
    let applications = match applications.as_slice() {
        [] => String::new(),
        names => format!(" application {}", names.join(",")),
    };
    format!(
        "pool {} '{}' replicated size 1 min_size 1 crush_rule 0 object_hash rjenkins pg_num 1 pgp_num 1 autoscale_mode \
         off last_change {} flags {} stripe_width 0{applications}",
        state.id,
        state.name,
        info.last_change,
        flag_names(info.flags)
    )
}

/// A pool in JSON; `id` is the name of its number.
pub(super) fn value(state: &PoolState, notes: &PoolNotes, id: &str) -> Value {
    let info = notes.info(state);
    let mut value = json!({
        "pool_name": state.name, "create_time": shown(notes.created_unix_ms),
        "flags": info.flags, "flags_names": flag_names(info.flags),
        "type": info.kind, "size": info.size, "min_size": info.min_size, "crush_rule": info.crush_rule,
        "object_hash": info.object_hash, "pg_autoscale_mode": "off",
        "pg_num": info.pg_num, "pg_placement_num": info.pgp_num, "pg_placement_num_target": info.pgp_num_target,
        "pg_num_target": info.pg_num_target, "pg_num_pending": info.pg_num_pending,
        "last_change": info.last_change.to_string(), "last_force_op_resend": "0",
        "last_force_op_resend_prenautilus": "0", "last_force_op_resend_preluminous": "0",
        "auid": 0, "snap_mode": "selfmanaged", "snap_seq": info.snap_seq, "snap_epoch": info.snap_epoch,
        "pool_snaps": [], "removed_snaps": "[]", "quota_max_bytes": 0, "quota_max_objects": 0,
        "tiers": [], "tier_of": -1, "read_tier": -1, "write_tier": -1, "cache_mode": "none",
        "target_max_bytes": 0, "target_max_objects": 0, "erasure_code_profile": "", "stripe_width": 0,
        "expected_num_objects": 0, "fast_read": false, "options": {},
        "application_metadata": notes.applications,
    });
    value[id] = json!(state.id);
    value
}

pub(super) fn lspools<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let pools = call.cluster.pools();
    let plain = || pools.iter().map(|pool| format!("{} {}\n", pool.id, pool.name)).collect();
    let value = || pools.iter().map(|pool| json!({ "poolnum": pool.id, "poolname": pool.name })).collect();
    Ok(Answer::shown(call.request.format, plain, value))
}

pub(super) fn ls<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    call.monitor.look(call.now_unix_ms, call.cluster);
    let map = &call.monitor.shown;
    let is_detailed = call.request.text("detail").is_some();
    let plain = || {
        let line = |pool: &PoolState| match is_detailed {
            true => line(pool, &map.notes[&pool.id]) + "\n",
            false => pool.name.clone() + "\n",
        };
        map.pools.iter().map(line).collect()
    };
    let value = || {
        let value = |pool: &PoolState| match is_detailed {
            true => value(pool, &map.notes[&pool.id], "pool_id"),
            false => json!(pool.name),
        };
        map.pools.iter().map(value).collect()
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

/// A pool that exists is fine. Of what may be asked of a new one, only an erasure code is refused: there is one copy in one
/// placement group, whatever else is said.
pub(super) fn create<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let name = call.request.needed("pool")?;
    if call.request.text("pool_type").as_deref() == Some("erasure") {
        return Err(Refusal::new(Errno::EOPNOTSUPP, "there are no erasure-coded pools here"));
    }
    match call.cluster.create_pool(&name) {
        Ok(_) => Ok(Answer::done(format!("pool '{name}' created"))),
        Err(refusal) if refusal.errno == Errno::EEXIST => {
            Ok(Answer::done(format!("pool '{name}' already exists")))
        }
        Err(refusal) => Err(refusal),
    }
}

/// EEXIST for a name that is taken.
pub(super) fn rename<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (from, to) = (call.request.needed("srcpool")?, call.request.needed("destpool")?);
    if call.monitor.pool_id(&from).is_err() && call.monitor.pool_id(&to).is_ok() {
        let text = format!("pool '{from}' does not exist; pool '{to}' does -- assuming successful rename");
        return Ok(Answer::done(text));
    }
    call.monitor.pool_id(&from)?;
    if call.monitor.pool_id(&to).is_ok() {
        return Err(Refusal::new(Errno::EEXIST, format!("pool '{to}' already exists")));
    }
    call.cluster.rename_pool(&from, &to)?;
    Ok(Answer::done(format!("pool '{from}' renamed to '{to}'")))
}

/// A pool that does not exist is fine.
pub(super) fn remove<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let name = call.request.needed("pool")?;
    let Ok(id) = call.monitor.pool_id(&name) else {
        return Ok(Answer::done(format!("pool '{name}' does not exist")));
    };
    let is_promised = call.request.is_promised("yes_i_really_really_mean_it")
        || call.request.is_promised("yes_i_really_really_mean_it_not_faking");
    if call.request.text("pool2").as_ref() != Some(&name) || !is_promised {
        return Err(promise(format!(
            "WARNING: this will *PERMANENTLY DESTROY* all data stored in pool {name}.  If you are *ABSOLUTELY CERTAIN* \
             that is what you want, pass the pool name *twice*, followed by --yes-i-really-really-mean-it."
        )));
    }
    if call.monitor.shown.notes[&id].nodelete {
        let text = "pool deletion is disabled; you must unset nodelete flag for the pool first";
        return Err(promise(text.to_owned()));
    }
    call.cluster.remove_pool(&name)?;
    Ok(Answer::done(format!("pool '{name}' removed")))
}

/// Variables of a pool that are numbers.
const NUMBERS: [&str; 4] = ["size", "min_size", "pg_num", "pgp_num"];

/// What `osd pool get` shows, in its order.
fn variables(notes: &PoolNotes) -> Vec<(&'static str, Value)> {
    let no = || json!(false);
    vec![
        ("size", json!(1)),
        ("min_size", json!(1)),
        ("pg_num", json!(1)),
        ("pgp_num", json!(1)),
        ("crush_rule", json!("replicated_rule")),
        ("hashpspool", json!(true)),
        ("nodelete", json!(notes.nodelete)),
        ("nopgchange", no()),
        ("nosizechange", no()),
        ("write_fadvise_dontneed", no()),
        ("noscrub", no()),
        ("nodeep-scrub", no()),
        ("use_gmt_hitset", json!(true)),
        ("fast_read", json!(0)),
        ("pg_autoscale_mode", json!("off")),
        ("bulk", no()),
    ]
}

pub(super) fn get<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, variable) = (call.request.needed("pool")?, call.request.needed("var")?);
    let id = call.monitor.pool_id(&name)?;
    if UNSET.contains(&variable.as_str()) {
        return Err(Refusal::new(Errno::ENOENT, format!("option '{variable}' is not set on pool '{name}'")));
    }
    let mut known = variables(&call.monitor.shown.notes[&id]);
    known.retain(|(known, _)| variable == "all" || variable == *known);
    if known.is_empty() {
        let text = format!("pool '{name}': invalid variable: '{variable}'");
        return Err(Refusal::new(Errno::EINVAL, text));
    }
    let plain = || {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        known.iter().map(|(known, value)| format!("{known}: {}\n", text(value))).collect()
    };
    let value = || {
        let mut shown = Map::new();
        shown.insert("pool".to_owned(), json!(name));
        shown.insert("pool_id".to_owned(), json!(id));
        shown.extend(known.iter().map(|(known, value)| ((*known).to_owned(), value.clone())));
        Value::Object(shown)
    };
    Ok(Answer::shown(call.request.format, plain, value))
}

/// Only `nodelete` has an effect. What concerns copies, placement groups and scrubbing is taken as scripts say it.
pub(super) fn set<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, variable) = (call.request.needed("pool")?, call.request.needed("var")?);
    let text = call.request.needed("val")?;
    let id = call.monitor.pool_id(&name)?;
    let known = variables(&call.monitor.shown.notes[&id]);
    if !known.iter().any(|(known, _)| *known == variable) && !UNSET.contains(&variable.as_str()) {
        return Err(Refusal::new(Errno::EINVAL, format!("unrecognized variable '{variable}'")));
    }
    if NUMBERS.contains(&variable.as_str()) && text.parse::<i64>().is_err() {
        let expected = format!("Expected option value to be integer, got '{text}'");
        let text = format!("error parsing integer value '{text}': {expected}");
        return Err(Refusal::new(Errno::EINVAL, text));
    }
    if variable == "size" && text == "1" && !call.request.is_promised("yes_i_really_mean_it") {
        return Err(promise(
            "WARNING: setting pool size 1 could lead to data loss without recovery. If you are *ABSOLUTELY CERTAIN* \
             that is what you want, pass the flag --yes-i-really-mean-it."
                .to_owned(),
        ));
    }
    if variable == "nodelete" {
        let wanted = match text.as_str() {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return Err(Refusal::new(Errno::EINVAL, "expecting value 'true', 'false', '0', or '1'")),
        };
        call.monitor.pool_notes(&name)?.1.nodelete = wanted;
    }
    Ok(Answer::done(format!("set pool {id} {variable} to {text}")))
}

pub(super) fn application_enable<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, app) = (call.request.needed("pool")?, call.request.needed("app")?);
    let is_promised = call.request.is_promised("yes_i_really_mean_it");
    let id = call.monitor.pool_id(&name)?;
    let enabled = &call.monitor.shown.notes[&id].applications;
    if !enabled.is_empty() && !enabled.contains_key(&app) && !is_promised {
        return Err(promise(format!(
            "Are you SURE? Pool '{name}' already has an enabled application; pass --yes-i-really-mean-it to proceed anyway"
        )));
    }
    call.monitor.pool_notes(&name)?.1.applications.entry(app.clone()).or_default();
    Ok(Answer::done(format!("enabled application '{app}' on pool '{name}'")))
}

pub(super) fn application_disable<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, app) = (call.request.needed("pool")?, call.request.needed("app")?);
    call.monitor.pool_id(&name)?;
    if !call.request.is_promised("yes_i_really_mean_it") {
        return Err(promise(
            "Are you SURE? Disabling an application within a pool might result in loss of application functionality; \
             pass --yes-i-really-mean-it to proceed anyway"
                .to_owned(),
        ));
    }
    call.monitor.pool_notes(&name)?.1.applications.remove(&app);
    Ok(Answer::done(format!("disable application '{app}' on pool '{name}'")))
}

/// ENOENT for an application that is not enabled.
fn application<'a, C>(
    call: &'a mut Call<'_, C>,
    name: &str,
    app: &str,
) -> Result<&'a mut BTreeMap<String, String>, Refusal> {
    let text = format!("application '{app}' is not enabled on pool '{name}'");
    let (_, notes) = call.monitor.pool_notes(name)?;
    notes.applications.get_mut(app).ok_or(Refusal::new(Errno::ENOENT, text))
}

pub(super) fn application_set<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, app) = (call.request.needed("pool")?, call.request.needed("app")?);
    let (key, value) = (call.request.needed("key")?, call.request.text("value").unwrap_or_default());
    application(call, &name, &app)?.insert(key.clone(), value.clone());
    Ok(Answer::done(format!("set application '{app}' key '{key}' to '{value}' on pool '{name}'")))
}

/// A key that does not exist is fine.
pub(super) fn application_rm<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (name, app) = (call.request.needed("pool")?, call.request.needed("app")?);
    let key = call.request.needed("key")?;
    Ok(Answer::done(match application(call, &name, &app)?.remove(&key) {
        Some(_) => format!("removed application '{app}' key '{key}' on pool '{name}'"),
        None => format!("application '{app}' on pool '{name}' does not have key '{key}'"),
    }))
}

/// Everything, a pool's applications, one of them, or one key of it.
pub(super) fn application_get<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    call.monitor.look(call.now_unix_ms, call.cluster);
    let (format, map) = (call.request.format, &call.monitor.shown);
    let Some(name) = call.request.text("pool") else {
        let of = |pool: &PoolState| (pool.name.clone(), json!(map.notes[&pool.id].applications));
        return Ok(Answer::json(format, &Value::Object(map.pools.iter().map(of).collect())));
    };
    let applications = &map.notes[&call.monitor.pool_id(&name)?].applications;
    let Some(app) = call.request.text("app") else { return Ok(Answer::json(format, &json!(applications))) };
    let missing = || Refusal::new(Errno::ENOENT, format!("pool '{name}' has no application '{app}'"));
    let settings = applications.get(&app).ok_or_else(missing)?;
    let Some(key) = call.request.text("key") else { return Ok(Answer::json(format, &json!(settings))) };
    let text = || format!("application '{app}' on pool '{name}' does not have key '{key}'");
    let value = settings.get(&key).ok_or_else(|| Refusal::new(Errno::ENOENT, text()))?;
    Ok(Answer::raw(format!("{value}\n")))
}
