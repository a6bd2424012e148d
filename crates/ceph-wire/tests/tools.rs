//! Ceph's own tools read what is written here. Where they are not installed the tests say so and check nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use ceph_wire::osdmap::{CrushMap, OsdMap, PoolInfo};
use ceph_wire::{Utime, from_bytes, to_bytes};

const OSDMAP: &[u8] = include_bytes!("golden/osdmap.bin");

/// What a tool prints of a file with these bytes; `None` where there is no such tool.
fn printed(tool: &str, name: &str, bytes: &[u8], arguments: fn(&Path) -> Vec<String>) -> Option<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, bytes).expect("the target directory is writable");
    let Ok(output) = Command::new(tool).args(arguments(&file)).output() else {
        let is_required = std::env::var_os("RBD_SIM_CEPH_CLIENTS").is_some();
        assert!(!is_required, "{tool} is not installed");
        eprintln!("NOT RUN: {tool} is not installed (Debian: ceph-base)");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {errors}{text}");
    Some(text)
}

#[test]
fn osdmaptool_reads_the_map() {
    let mut map: OsdMap = from_bytes(OSDMAP).expect("it is a map");
    let mut pool = PoolInfo::replicated(Utime::from_millis(1_000), 14);
    pool.application_metadata.insert("rbd".to_owned(), BTreeMap::new());
    map.client.pools.insert(7, pool);
    map.client.pool_names.insert(7, "ours".to_owned());
    map.client.pool_max = 7;
    map.client.crush = to_bytes(&CrushMap::single_device());
    let arguments = |file: &Path| vec!["--print".to_owned(), file.display().to_string()];
    let Some(text) = printed("osdmaptool", "osdmap", &to_bytes(&map), arguments) else { return };
    assert!(text.contains("pool 7 'ours' replicated size 1 min_size 1 crush_rule 0"), "{text}");
    assert!(text.contains("blocklist 1.2.3.4:0/77"), "{text}");
}

#[test]
fn crushtool_reads_the_placement() {
    let arguments = |file: &Path| vec!["-d".to_owned(), file.display().to_string()];
    let bytes = to_bytes(&CrushMap::single_device());
    let Some(text) = printed("crushtool", "crush", &bytes, arguments) else { return };
    assert!(text.contains("device 0 osd.0") && text.contains("rule replicated_rule"), "{text}");
}

/// The monitors' map is read by monmaptool.
#[test]
fn monmaptool_reads_the_monitors() {
    let map: ceph_wire::mon::MonMap = from_bytes(include_bytes!("golden/monmap.bin")).expect("it is a map");
    let arguments = |file: &Path| vec!["--print".to_owned(), file.display().to_string()];
    let Some(text) = printed("monmaptool", "monmap", &to_bytes(&map), arguments) else { return };
    assert!(text.contains("mon.a"), "{text}");
}
