//! Chaos as its users run it: the verdict of real runs, and what becomes of spoiled evidence.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use harness::program::{self, Output};
use serde_json::Value;
use tempfile::TempDir;

/// A run has to wait for timeouts; a hang is longer.
const BOUND: Duration = Duration::from_secs(240);

async fn chaos(arguments: &[&str]) -> Result<Output> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    program::run(&program::find("chaos")?, &arguments, BOUND).await
}

async fn judged(directory: &Path) -> Result<Output> {
    chaos(&["check", directory.to_str().context("UTF-8")?]).await
}

/// A run of `chaos kill-owner` whose files are kept.
async fn kept(place: &TempDir) -> Result<(std::path::PathBuf, Value)> {
    let directory = place.path().join("run");
    let keep = directory.to_str().context("UTF-8")?;
    let output = chaos(&[
        "kill-owner",
        "--preset",
        "ci",
        "--rounds",
        "2",
        "--seed",
        "1",
        "--format",
        "json",
        "--keep",
        keep,
    ])
    .await?;
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    Ok((directory, serde_json::from_str(&output.stdout)?))
}

/// Guards I1 to I6 while owners die, and that each checker judges what really happened.
#[tokio::test]
async fn owners_die_and_no_rule_is_broken_and_spoiled_evidence_is_found() -> Result<()> {
    let place = TempDir::new()?;
    let (directory, report) = kept(&place).await?;
    assert_eq!(report["passed"], true);
    assert_eq!(report["measured"][0]["times_ms"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["verdicts"].as_array().map(Vec::len), Some(9));
    assert!(
        report["timeline"].as_array().is_some_and(|lines| lines.iter().any(|line| line["what"] == "SIGKILL"))
    );
    assert_eq!(judged(&directory).await?.status, 0);

    // The last read of a snapshot sees something else than those before it.
    let file = directory.join("history.jsonl");
    let history = fs::read_to_string(&file)?;
    let reading =
        history.lines().rfind(|line| line.contains("\"op\":\"read\"") && line.contains("\"snap\":"));
    let reading: Value = serde_json::from_str(reading.context("a snapshot is read")?)?;
    let completion = format!("{{\"id\":{},", reading["id"]);
    let completed = history.rfind(&completion).context("the read ends")?;
    let end =
        completed + history[completed..].find("\"tags\":[").context("it has tags")? + "\"tags\":[".len();
    fs::write(
        &file,
        format!("{}999999,{}", &history[..end], history[end..].split_once(',').context("tags")?.1),
    )?;
    let output = judged(&directory).await?;
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert!(output.stdout.contains("snapshot-changed"), "{}", output.stdout);

    // The last of the other calls fails, or is never answered.
    let (before, after) = history.rsplit_once("\"outcome\":\"ok\"}").context("a call without tags")?;
    let failed = format!("{before}\"outcome\":\"error\",\"errno\":\"EIO\"}}{after}");
    let begin = before.rfind('\n').context("lines")?;
    let unanswered = format!("{}{after}", &before[..begin]);
    for (spoiled, rule) in [(failed, "error-without-cause"), (unanswered, "unfinished")] {
        fs::write(&file, spoiled)?;
        let output = judged(&directory).await?;
        assert_eq!(output.status, 1, "{}", output.stdout);
        assert!(output.stdout.contains(rule), "{}", output.stdout);
    }
    fs::write(&file, &history)?;

    // A part of the evidence is missing.
    let file = directory.join("events.jsonl");
    let events = fs::read_to_string(&file)?;
    for part in [events.split_once('\n').context("lines")?.1, &events[..events.len() / 2]] {
        fs::write(&file, &part[..part.rfind('\n').context("lines")? + 1])?;
        let output = judged(&directory).await?;
        assert_eq!(output.status, 1, "{}", output.stdout);
        assert!(output.stderr.contains("events.jsonl"), "{}", output.stderr);
    }
    fs::write(&file, &events)?;

    // The OSD says that an owner's lock was broken before it was fenced.
    let file = directory.join("events.jsonl");
    let events = fs::read_to_string(&file)?;
    fs::write(&file, events.replace("\"kind\":\"blocklisted\"", "\"kind\":\"watch_lost\""))?;
    let output = judged(&directory).await?;
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert!(output.stdout.contains("unfenced-break"), "{}", output.stdout);
    Ok(())
}

#[tokio::test]
async fn malformed_evidence_is_refused_by_its_file_line_and_rule() -> Result<()> {
    let place = TempDir::new()?;
    let output = judged(place.path()).await?;
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("history.jsonl") && output.stderr.contains("--keep"), "{}", output.stderr);
    fs::write(place.path().join("history.jsonl"), "{\"history\":1,\"block_bytes\":4096}\n{\"id\":1}\n")?;
    let output = judged(place.path()).await?;
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("malformed history, line 2"), "{}", output.stderr);
    Ok(())
}

/// Guards I1: without fencing a former owner's write lands, and the checker says so.
#[tokio::test]
async fn two_owners_are_caught_when_fencing_is_off() -> Result<()> {
    let output = chaos(&["two-owners", "--rounds", "1", "--seed", "1", "--format", "json"]).await?;
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    let report: Value = serde_json::from_str(&output.stdout)?;
    let statements = report["statements"].as_array().context("statements")?;
    let is_caught = |statement: &Value| statement["found"].to_string().contains("write-after-loss");
    assert!(statements.iter().any(is_caught), "{statements:?}");
    Ok(())
}

/// One round of everything. Its seed is printed when it fails.
#[tokio::test]
async fn a_short_round_of_random_faults_breaks_no_rule() -> Result<()> {
    let output = chaos(&["random", "--rounds", "1", "--seed", "3", "--chaos", "6s"]).await?;
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("PASS (seed 3)"), "{}", output.stdout);
    Ok(())
}

#[tokio::test]
async fn an_unknown_nemesis_and_a_restart_of_a_memory_store_are_refused() -> Result<()> {
    let output = chaos(&["random", "--nemesis", "kill-everybody"]).await?;
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("kill-everybody") && output.stderr.contains("silent-watcher"),
        "{}",
        output.stderr
    );
    let output = chaos(&["random", "--nemesis", "restart-osd"]).await?;
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("in memory"), "{}", output.stderr);
    Ok(())
}

#[tokio::test]
async fn an_op_that_there_is_not_is_no_step() -> Result<()> {
    let output = chaos(&["random", "--rounds", "1", "--nemesis", "kill-at-operator=rbd.fly"]).await?;
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("rbd.fly") && output.stderr.contains("is no op"), "{}", output.stderr);
    Ok(())
}

#[tokio::test]
async fn a_directory_that_exists_is_not_written_over() -> Result<()> {
    let place = TempDir::new()?;
    let keep = place.path().to_str().context("UTF-8")?;
    let output = chaos(&["kill-owner", "--keep", keep]).await?;
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("does not exist yet"), "{}", output.stderr);
    Ok(())
}
