//! A run from its setting to its report.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use harness::{check::Check, cluster::Preset};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use crate::{
    evidence::{Evidence, Findings, Verdict, log_of},
    histogram::Histogram,
    options::{Common, PresetName},
    report::{Report, answers},
    rest,
    stage::{CHAOS, Setting, Stage},
    workload::Shape,
};

/// How long the OSD may take to end.
const OSD_END_BOUND: Duration = Duration::from_secs(30);

/// Where a run leaves its files: kept when asked for, and when something went wrong.
pub struct Place {
    directory: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    /// A directory of its own under `keep`, or a temporary one.
    pub fn make(keep: Option<&Path>) -> Result<Self> {
        match keep {
            Some(directory) => {
                std::fs::create_dir(directory).with_context(|| {
                    format!("--keep {}: a directory that does not exist yet", directory.display())
                })?;
                Ok(Self { directory: directory.to_owned(), temporary: None })
            }
            None => {
                let temporary = TempDir::with_prefix("rbd-sim-chaos-")?;
                Ok(Self { directory: temporary.path().to_owned(), temporary: Some(temporary) })
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Its files stay.
    pub fn stay(&mut self) {
        if let Some(temporary) = &mut self.temporary {
            temporary.disable_cleanup(true);
        }
        eprintln!("kept: {}", self.directory.display());
    }
}

/// What a scenario has to say beside the checkers.
#[derive(Default)]
pub struct Told {
    /// What was timed.
    pub measured: Vec<Histogram>,
    /// What must be so.
    pub statements: Vec<Check>,
    /// What must have happened for the run to show anything.
    pub shown: Vec<Check>,
    /// What is told and judged by nobody.
    pub notes: Vec<String>,
    /// The part of the OSD's log that is told: events after the first number, up to the second.
    pub part: (u64, u64),
    /// What part that is.
    pub part_name: String,
    /// Of a long part only what was done to the clients and who lost the lock is told.
    pub is_brief: bool,
}

/// What a brief timeline tells of the OSD's log.
const TURNS: [&str; 4] =
    ["its watch expired", "is blocklisted", "its exclusive lock is broken", "its watch is connected again"];

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The command.
    pub name: &'static str,
    /// Everything is drawn from it.
    pub seed: u64,
    /// In a line.
    pub what: String,
    /// Whether owners must be fenced before their lock is broken.
    pub fence_first: bool,
}

/// The setting that the options ask for, with this preset if they name none.
pub fn setting(common: &Common, preset: Preset, client_options: &[&str]) -> Setting {
    Setting {
        preset: common.preset.map_or(preset, PresetName::preset),
        clients: usize::from(common.clients),
        librbd: 0,
        client_options: client_options.iter().map(|&option| option.to_owned()).collect(),
        shape: Shape::small(),
    }
}

/// Rounds, clients and constants of a run, in a line.
pub fn described(common: &Common, setting: &Setting) -> String {
    let (rounds, clients) = (counted(common.rounds as usize, "round"), common.clients);
    let across = beside(setting.librbd);
    format!("{rounds}, {clients} clients{across}, preset {:?}", setting.preset).to_lowercase()
}

/// How many of the clients are Ceph's own librbd, if there are any.
pub fn beside(librbd: usize) -> String {
    if librbd == 0 { String::new() } else { format!(", {librbd} of them librbd") }
}

/// E.g. "1 round", "2 rounds".
pub fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Brings the stage to rest, judges, and ends it.
pub async fn finish(
    mut stage: Stage,
    plan: &Plan,
    mut told: Told,
    directory: &Path,
) -> Result<(Report, Evidence)> {
    let broken = rest::recover(&stage).await?;
    told.statements.push(all_well("every client works again", &broken));
    let unread = rest::read_everything(&stage, &rest::gather(&stage).await?.state).await?;
    told.statements.push(all_well("every image and every snapshot can be read at the end", &unread));
    let uncleared = rest::clear(&stage).await?;
    told.statements.push(all_well("every snapshot without a clone can be removed", &uncleared));
    let unread = rest::read_everything(&stage, &rest::gather(&stage).await?.state).await?;
    told.statements.push(all_well("what was not removed can be read then", &unread));
    let (gathered, at_rest) = rest::settle(&stage).await?;
    told.statements.push(no_panic(&panics(directory)?));
    let calm_ms_max = u64::try_from(stage.constants.calm_max().as_millis())?;
    let newest_event = stage.cluster.log.catch_up().await?;
    let history = stage.recorder.history()?;
    let findings = Findings {
        disturbances: stage.troubles.past(),
        instances: stage.instances(),
        librbd: stage.librbd(),
        calm_ms_max,
        fence_first: plan.fence_first,
        calls: history.calls.len(),
        newest_event,
        images: gathered.images,
        state: gathered.state,
        rest: at_rest,
    };
    findings.write(directory)?;
    let evidence = Evidence { history, log: log_of(&stage.cluster.log)?, findings };
    let verdicts = evidence.judge()?;
    let mut report = report(&stage, plan, told, &evidence, verdicts);
    stage.recorder.close();
    stage.leave().await?;
    let left = rest::remove_everything(&stage).await?;
    report.statements.push(all_well("every image can be removed, and nothing remains", &left));
    stage.close(OSD_END_BOUND).await?;
    Ok((report, evidence))
}

/// The panics that the programs have told in the logs of a run: a task that panics ends, its program need not.
pub fn panics(directory: &Path) -> Result<Vec<String>> {
    let mut panics = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            panics.extend(panics_in(&path, &String::from_utf8_lossy(&log)));
        }
    }
    panics.sort();
    Ok(panics)
}

/// Each with its place, and the line after it: the message.
fn panics_in(path: &Path, log: &str) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().display();
    let lines: Vec<&str> = log.lines().chain([""]).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].contains(" panicked at "));
    pairs.map(|pair| format!("{name}: {} {}", pair[0], pair[1])).collect()
}

fn no_panic(panics: &[String]) -> Check {
    let found = if panics.is_empty() { "no log tells of a panic".to_owned() } else { panics.join("; ") };
    Check { what: "no program panicked".to_owned(), passed: panics.is_empty(), found }
}

fn all_well(what: &str, failed: &[String]) -> Check {
    let found = if failed.is_empty() { "all of them".to_owned() } else { failed.join("; ") };
    Check { what: what.to_owned(), passed: failed.is_empty(), found }
}

fn report(stage: &Stage, plan: &Plan, told: Told, evidence: &Evidence, verdicts: Vec<Verdict>) -> Report {
    let (after, until) = told.part;
    let mut events = stage.cluster.log.after(after);
    events.retain(|event| event.sequence <= until);
    let (begin, end) = (events.first(), events.last());
    let mut marks = stage.marks_since(begin.map_or(0, |event| event.time_ms));
    marks.retain(|mark| end.is_none_or(|end| mark.time_ms <= end.time_ms));
    let mut timeline = harness::timeline::lines(&events, &stage.cast(), &marks);
    timeline.retain(|line| !told.is_brief || line.who == CHAOS || TURNS.contains(&line.what.as_str()));
    Report {
        name: plan.name,
        seed: plan.seed,
        what: plan.what.clone(),
        timeline_of: told.part_name,
        timeline,
        measured: told.measured,
        statements: told.statements,
        shown: told.shown,
        notes: told.notes,
        verdicts,
        calls: evidence.history.calls.len(),
        answers: answers(&evidence.history),
        events: evidence.log.events().len(),
        calm_ms_max: evidence.findings.calm_ms_max,
    }
}

/// A bar over `total` steps, on a terminal only.
pub fn bar(common: &Common, total: u64, what: &'static str) -> ProgressBar {
    if common.output.no_progress || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what);
    let template = "{msg} [{bar:40}] {pos}/{len} {elapsed}";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The stage alone again, when all its workers have ended.
pub fn alone(stage: Arc<Stage>) -> Result<Stage> {
    match Arc::into_inner(stage) {
        Some(stage) => Ok(stage),
        None => bail!("a worker outlived its round"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_in_the_log_of_its_program() {
        let place = Place::make(None).unwrap();
        let write = |name: &str, log: &str| fs::write(place.path().join(name), log).unwrap();
        write("client-1.log", "INFO serving\n");
        write("history.jsonl", "thread 'x' panicked at a:\nno log\n");
        assert_eq!(panics(place.path()).unwrap(), [""; 0]);
        write(
            "osd-sim.log",
            "INFO serving\n\nthread 'x' (7) panicked at a.rs:1:2:\nthe queue is empty\nnote: etc\n",
        );
        assert_eq!(
            panics(place.path()).unwrap(),
            ["osd-sim.log: thread 'x' (7) panicked at a.rs:1:2: the queue is empty"]
        );
    }
}
