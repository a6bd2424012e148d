//! Everything that a run is judged by: three files that say it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use check::{
    AtRest, Bounds, BreakRule, Call, Clients, Disturbance, EventLog, FinalState, History, ImageObjects,
    Operation, Outcome, Violation,
};
use serde::{Deserialize, Serialize};

/// File of the calls.
const HISTORY: &str = "history.jsonl";
/// File of the OSD's events.
const EVENTS: &str = "events.jsonl";
/// File of [`Findings`].
const FINDINGS: &str = "findings.json";

const FENCED_WRITERS: &str = "one writer at a time, fenced before its lock is broken";
const UNFENCED_WRITERS: &str = "one writer at a time";

/// What was found at the end of a run, and the rules that it is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// Everything that was broken and mended, by the history's clock.
    pub disturbances: Vec<Disturbance>,
    /// Every instance (gid) of every client.
    pub instances: BTreeMap<String, BTreeSet<u64>>,
    /// Those of them that are Ceph's own librbd.
    #[serde(default)]
    pub librbd: BTreeSet<String>,
    /// How long a call may take when nothing was disturbed.
    pub calm_ms_max: u64,
    /// Whether owners had to be fenced before their lock was broken.
    pub fence_first: bool,
    /// How many calls the history has.
    pub calls: usize,
    /// Number of the newest event.
    pub newest_event: u64,
    /// The objects of every image.
    pub images: BTreeMap<String, ImageObjects>,
    /// Every image.
    pub state: FinalState,
    /// Sessions, watches, locks, records, blocklist.
    pub rest: AtRest,
}

/// All of it.
pub struct Evidence {
    /// The calls.
    pub history: History,
    /// The OSD's events, from its start on.
    pub log: EventLog,
    /// The end.
    pub findings: Findings,
}

/// What one checker says.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The question.
    pub check: &'static str,
    /// The invariant that it guards.
    pub invariant: &'static str,
    /// What is wrong; empty = nothing.
    pub violations: Vec<String>,
}

impl Verdict {
    fn new(check: &'static str, invariant: &'static str, violations: &[Violation]) -> Self {
        Self { check, invariant, violations: violations.iter().map(ToString::to_string).collect() }
    }

    /// Nothing is wrong.
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

impl Findings {
    /// Writes them beside history and events.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let file = directory.join(FINDINGS);
        let out = File::create_new(&file).with_context(|| format!("creating {}", file.display()))?;
        serde_json::to_writer_pretty(out, self).context("writing the findings")
    }
}

impl Evidence {
    /// Reads the three files of a run.
    pub fn read(directory: &Path) -> Result<Self> {
        if let Some(run) = run_within(directory) {
            bail!(
                "{} holds runs, and is none: judge one of them, e.g. {}",
                directory.display(),
                run.display()
            );
        }
        let open = |name: &str| {
            let file = directory.join(name);
            let opened = File::open(&file).with_context(|| {
                format!("{}: a run leaves {HISTORY}, {EVENTS} and {FINDINGS} with --keep", file.display())
            });
            opened.map(BufReader::new)
        };
        let within = |name: &str| format!("{}", directory.join(name).display());
        let history = History::read(open(HISTORY)?).with_context(|| within(HISTORY))?;
        let log = EventLog::read(open(EVENTS)?).with_context(|| within(EVENTS))?;
        let findings: Findings =
            serde_json::from_reader(open(FINDINGS)?).with_context(|| within(FINDINGS))?;
        // What came after the verdict belongs to nobody's call.
        Ok(Self { history, log: log.until(findings.newest_event), findings })
    }

    /// A part of the evidence that is missing would be found to be in order.
    fn check_whole(&self) -> Result<()> {
        let Self { history, log, findings } = self;
        let (calls, first) = (history.calls.len(), log.events().first().map(|event| event.sequence));
        ensure!(
            calls > 0 && calls == findings.calls,
            "{calls} calls in {HISTORY}, {} were made",
            findings.calls
        );
        let first = first.with_context(|| format!("{EVENTS} has no event"))?;
        ensure!(first == 1, "{EVENTS} begins with event {first}: a log begins with event 1");
        let newest = log.newest();
        ensure!(
            newest >= findings.newest_event,
            "{EVENTS} ends with event {newest} of {}",
            findings.newest_event
        );
        for image in findings.state.images.keys() {
            ensure!(
                findings.images.contains_key(image),
                "the objects of image {image} are not in {FINDINGS}"
            );
        }
        for (name, objects) in &findings.images {
            let image = history.first_name(name);
            let is_written = |call: &&Call| {
                let is_write = matches!(call.operation, Operation::Write { .. });
                is_write && call.image == image && matches!(call.completed, Some((_, Outcome::Ok { .. })))
            };
            let writes = history.calls.iter().filter(is_written).count();
            let changes = log.events().iter().filter(|event| objects.is_change_of_data(event)).count();
            ensure!(
                changes >= writes,
                "{writes} writes of {image} were acknowledged, and {EVENTS} has {changes} changes of its objects {}.*",
                objects.object_prefix
            );
        }
        Ok(())
    }

    /// What is wrong about who wrote (I1).
    pub fn writers(&self) -> Vec<Violation> {
        let rule = if self.findings.fence_first { BreakRule::FenceFirst } else { BreakRule::MayBeUnfenced };
        let librbd = &self.findings.rest.librbd;
        let images = self.findings.images.values();
        images.flat_map(|image| check::one_writer_at_a_time(&self.log, image, rule, librbd)).collect()
    }

    /// Asks every checker.
    pub fn judge(&self) -> Result<Vec<Verdict>> {
        self.check_whole()?;
        let Self { history, log, findings } = self;
        let bounds = Bounds { disturbances: &findings.disturbances, calm_ms_max: findings.calm_ms_max };
        let Findings { instances, disturbances, librbd, .. } = findings;
        let clients = Clients { instances, disturbances, librbd };
        let (state, rest) = (&findings.state, &findings.rest);
        let once = check::maintenance_happened_once(history, log, &findings.images);
        Ok(vec![
            Verdict::new(
                if findings.fence_first { FENCED_WRITERS } else { UNFENCED_WRITERS },
                "I1",
                &self.writers(),
            ),
            Verdict::new("blocks are linearizable", "I2", &check::blocks_are_linearizable(history)),
            Verdict::new("snapshots never change", "I2 I4", &check::snapshots_never_change(history)),
            Verdict::new("maintenance happened once", "I3", &once),
            Verdict::new(
                "the end follows from the calls",
                "I3",
                &check::state_matches_the_calls(history, state),
            ),
            Verdict::new("parents and children agree", "I4 I6", &check::parents_and_children_agree(state)),
            Verdict::new("nothing is left over", "I6", &check::nothing_left_over(log, rest)),
            Verdict::new("every call ended in time", "I5", &check::calls_ended_in_time(history, bounds)),
            Verdict::new(
                "every error has a cause",
                "error table",
                &check::errors_have_a_cause(history, log, clients),
            ),
        ])
    }
}

/// A run that is kept below a directory which has none itself.
fn run_within(directory: &Path) -> Option<PathBuf> {
    if directory.join(HISTORY).exists() {
        return None;
    }
    let below = std::fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    below.filter(|path| path.join(HISTORY).exists()).min()
}

/// The events that are known here, for the checkers.
pub fn log_of(log: &harness::events::EventLog) -> Result<EventLog> {
    EventLog::from_wire(log.after(0)).context("the OSD's events")
}
