//! Settings that clients are told, and keys with values that they keep here.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::cluster::{Cluster, Refusal};

/// Settings and keys together (ENOSPC).
const ENTRIES_MAX: usize = 10_000;
/// Bytes of a name and its value (EFBIG).
const ENTRY_BYTES_MAX: usize = 64 << 10;

/// What is kept for clients.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// By section ("global", "client", "client.admin") and name.
    settings: BTreeMap<(String, String), String>,
    keys: BTreeMap<String, Bytes>,
    /// Grows with each change of a setting.
    pub(crate) version: u64,
    /// Something that the OSD map shows was changed by a command.
    pub(crate) is_map_changed: bool,
}

impl Settings {
    /// What every client is told: later sections win.
    pub(crate) fn for_clients(&self) -> BTreeMap<String, Bytes> {
        let of = |section: &str| {
            let named = self.settings.iter().filter(move |((known, _), _)| known == section);
            named.map(|((_, name), value)| (name.clone(), Bytes::from(value.clone()))).collect::<Vec<_>>()
        };
        ["global", "client", "client.admin"].into_iter().flat_map(of).collect()
    }

    /// Sections that apply to somebody, the most special one first.
    fn sections(who: &str) -> Vec<String> {
        let kind = who.split('.').next().unwrap_or(who);
        vec![who.to_owned(), kind.to_owned(), "global".to_owned()]
    }

    fn check_room(&self, name: &str, bytes: usize) -> Result<(), Refusal> {
        if name.len() + bytes > ENTRY_BYTES_MAX {
            return Err(Refusal::new(Errno::EFBIG, format!("an entry has at most {ENTRY_BYTES_MAX} bytes")));
        }
        if self.settings.len() + self.keys.len() >= ENTRIES_MAX {
            return Err(Refusal::new(Errno::ENOSPC, format!("there are {ENTRIES_MAX} settings and keys")));
        }
        Ok(())
    }
}

/// `ceph` spells options with underscores, people with dashes too.
fn option(name: &str) -> String {
    name.replace(['-', ' '], "_")
}

/// Every option of 16.2.15 and its default, sorted by name, as `ceph-conf --show-config` says them.
const OPTIONS: &str = include_str!("options.txt");

/// The default of an option; `None` if there is none of that name.
fn default_of(name: &str) -> Option<&'static str> {
    let options = OPTIONS.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    options.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// EINVAL for a name that is no option, unless it is to be set all the same.
pub(super) fn set<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (who, name) = (call.request.needed("who")?, option(&call.request.needed("name")?));
    let value = call.request.text("value").unwrap_or_default();
    if default_of(&name).is_none() && !call.request.is_promised("force") {
        return Err(Refusal::new(Errno::EINVAL, format!("unrecognized config option '{name}'")));
    }
    let settings = &mut call.monitor.settings;
    settings.check_room(&name, value.len())?;
    settings.settings.insert((who, name), value);
    settings.version += 1;
    Ok(Answer::default())
}

pub(super) fn remove<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let (who, name) = (call.request.needed("who")?, option(&call.request.needed("name")?));
    let settings = &mut call.monitor.settings;
    settings.version += u64::from(settings.settings.remove(&(who, name)).is_some());
    Ok(Answer::default())
}

/// One option of somebody, or everything that applies to him. ENOENT for a name that is no option and was not set.
pub(super) fn get<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let who = call.request.needed("who")?;
    let settings = &call.monitor.settings.settings;
    let mut applying = BTreeMap::new();
    for section in Settings::sections(&who) {
        for ((_, name), value) in settings.iter().filter(|((known, _), _)| *known == section) {
            applying.entry(name.clone()).or_insert((section.clone(), value.clone()));
        }
    }
    if let Some(key) = call.request.text("key").map(|key| option(&key)) {
        let missing = || Refusal::new(Errno::ENOENT, format!("unrecognized key '{key}'"));
        let set = applying.get(&key).map(|(_, value)| value.as_str());
        let value = set.or_else(|| default_of(&key)).ok_or_else(missing)?;
        return Ok(Answer::raw(format!("{value}\n")));
    }
    let rows: Vec<_> = applying.into_iter().map(|(name, (section, value))| (section, name, value)).collect();
    let value = || {
        let entry = |(section, name, value): &(String, String, String)| {
            let shown =
                json!({ "value": value, "section": section, "mask": {}, "can_update_at_runtime": true });
            (name.clone(), shown)
        };
        Value::Object(rows.iter().map(entry).collect())
    };
    Ok(Answer::shown(call.request.format, || table(&rows), value))
}

pub(super) fn dump<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let settings = &call.monitor.settings.settings;
    let row = |((section, name), value): (&(String, String), &String)| {
        (section.clone(), name.clone(), value.clone())
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    let value = || {
        let entry = |(section, name, value): &(String, String, String)| {
            json!({ "section": section, "name": name, "value": value, "level": "advanced",
                "can_update_at_runtime": true, "mask": "" })
        };
        rows.iter().map(entry).collect()
    };
    Ok(Answer::shown(call.request.format, || table(&rows), value))
}

fn table(rows: &[(String, String, String)]) -> String {
    let wide = |column: fn(&(String, String, String)) -> &String, least: usize| {
        rows.iter().map(|row| column(row).len()).max().unwrap_or(0).max(least)
    };
    let (who, name, value) = (wide(|row| &row.0, 3), wide(|row| &row.1, 6), wide(|row| &row.2, 5));
    let mut text = format!("{:who$}  MASK  LEVEL     {:name$}  {:value$}  RO\n", "WHO", "OPTION", "VALUE");
    for (section, option, set) in rows {
        text += &format!("{section:who$}        advanced  {option:name$}  {set:value$}    \n");
    }
    text
}

/// ENOENT for a key that does not exist.
pub(super) fn key_get<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let key = call.request.needed("key")?;
    let value = call.monitor.settings.keys.get(&key);
    value.cloned().map(Answer::raw).ok_or(Refusal::new(Errno::ENOENT, ""))
}

/// The value is an argument, or what goes with the command.
pub(super) fn key_set<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let key = call.request.needed("key")?;
    let value = call.request.text("val").map_or_else(|| call.input.clone(), Bytes::from);
    let settings = &mut call.monitor.settings;
    settings.check_room(&key, value.len())?;
    settings.keys.insert(key.clone(), value);
    Ok(Answer::done(format!("set {key}")))
}

pub(super) fn key_remove<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let key = call.request.needed("key")?;
    Ok(Answer::done(match call.monitor.settings.keys.remove(&key) {
        Some(_) => "key deleted".to_owned(),
        None => format!("no such key '{key}'"),
    }))
}

pub(super) fn key_exists<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let key = call.request.needed("key")?;
    if call.monitor.settings.keys.contains_key(&key) {
        return Ok(Answer::done(format!("key '{key}' exists")));
    }
    Err(Refusal::new(Errno::ENOENT, format!("key '{key}' doesn't exist")))
}

pub(super) fn key_ls<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let keys: Value = call.monitor.settings.keys.keys().map(|key| json!(key)).collect();
    Ok(Answer::json(call.request.format, &keys))
}
