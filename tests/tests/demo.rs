//! The demo judges: it passes when all is well, fails when its outcome is spoiled, and leaves nobody behind.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;
use harness::{
    program::{self, Output, children_of, is_alive},
    wait::until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const DEMO_BOUND: Duration = Duration::from_secs(240);

async fn demo(arguments: &[&str]) -> Result<(Output, Value)> {
    let mut all = vec!["--format".to_owned(), "json".to_owned(), "--size".to_owned(), "16".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let output = program::run(&program::find("demo")?, &all, DEMO_BOUND).await?;
    let report = serde_json::from_str(&output.stdout)?;
    Ok((output, report))
}

fn failed_checks(report: &Value) -> Vec<&str> {
    let checks =
        report["scenes"].as_array().into_iter().flatten().flat_map(|scene| scene["checks"].as_array());
    let failed = checks.flatten().filter(|check| check["passed"] == false);
    failed.filter_map(|check| check["what"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn race_and_forward_pass() -> Result<()> {
    let (output, report) = demo(&["--scene", "a,b"]).await?;
    assert_eq!((output.status, &report["passed"]), (0, &Value::Bool(true)), "{:?}", failed_checks(&report));
    assert_eq!(report["scenes"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_inverted_byte_in_the_image_fails_its_scene() -> Result<()> {
    let (output, report) = demo(&["--scene", "b", "--break", "b"]).await?;
    assert_eq!(output.status, 1);
    assert_eq!(failed_checks(&report), ["the exported image equals the model byte for byte"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_fencing_the_frozen_owners_scene_fails() -> Result<()> {
    let (output, report) = demo(&["--scene", "e", "--break", "e"]).await?;
    assert_eq!(output.status, 1);
    let failed = failed_checks(&report);
    let expected = "writes of client 1 after it was fenced fail with EBLOCKLISTED";
    assert!(failed.contains(&expected), "{failed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_no_process_behind() -> Result<()> {
    let mut command = Command::new(program::find("demo")?);
    command.args(["--scene", "c", "--size", "64"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut demo = command.spawn()?;
    let pid = demo.id();
    // The OSD and three clients.
    let children = until("the demo's programs", DEMO_BOUND, || async {
        let children = children_of(pid)?;
        Ok((children.len() >= 4).then_some(children))
    })
    .await?;
    kill_process(Pid::from_child(&demo), Signal::INT)?;
    let status = until("the demo's end", DEMO_BOUND, || {
        let status = demo.try_wait();
        async { Ok(status?) }
    })
    .await?;
    assert_eq!(status.code(), Some(1));
    for child in children {
        assert!(!is_alive(child), "process {child} outlived the demo");
    }
    Ok(())
}
