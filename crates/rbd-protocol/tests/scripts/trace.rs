//! Runs a scripted trace: commands at the margin, the effects that they cause indented below them.

use std::fmt::Write as _;

use crate::commands::Bench;

/// The script as it really goes: every command, comment and blank line kept, followed by the effects that were seen.
fn trace(script: &str) -> String {
    let mut bench = Bench::default();
    let mut seen = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(seen, "{line}").expect("a string takes everything");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for effect in bench.run(line) {
            writeln!(seen, "  {effect}").expect("a string takes everything");
        }
    }
    seen
}

/// Fails when the effects differ from those in the script, showing the whole trace.
pub(crate) fn check(name: &str, script: &str) {
    let seen = trace(script);
    let first = script.lines().zip(seen.lines()).position(|(want, got)| want != got);
    let line = first.unwrap_or_else(|| script.lines().count().min(seen.lines().count())) + 1;
    assert!(seen == script, "{name}.txt, line {line}: another trace:\n{seen}");
}
