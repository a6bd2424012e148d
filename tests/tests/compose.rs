//! The compose file works with docker-compose 1.29 and with Compose v2, and `scripts/compose-demo` refuses what it cannot do.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use yaml_rust2::{Yaml, YamlLoader};

/// A key, and why it may stand in the file.
type Allowed = (&'static str, &'static str);

/// Besides extension fields (`x-...`). No `version`: v2 calls it obsolete, and 1.27 and later take a file without it for one of the
/// Compose Specification.
const TOP_KEYS: [Allowed; 2] = [
    ("services", "what the file is for"),
    ("networks", "the network is the demo's own, with a name to cut clients off"),
];

/// Both generations have a key of the Compose Specification of early 2021; what came later 1.29 refuses: `attach`, `develop`.
const SERVICE_KEYS: [Allowed; 11] = [
    ("<<", "a merge key of YAML itself"),
    ("image", "the specification"),
    ("command", "the specification; as a list, since there is no shell"),
    ("environment", "the specification"),
    ("depends_on", "the specification; the form with conditions"),
    ("healthcheck", "the specification"),
    ("networks", "the specification"),
    ("ports", "the specification; the short form with an address and without a host port"),
    ("profiles", "1.28 and later: `up` must not start the controller"),
    ("pull_policy", "the specification; 1.29 accepts it and never pulls an image that is there"),
    ("tmpfs", "the specification"),
];

const HEALTH_KEYS: [Allowed; 4] = [
    ("test", "the specification"),
    ("interval", "the specification"),
    ("timeout", "the specification"),
    ("retries", "the specification; `start_interval` is refused by 1.29"),
];

const DEPENDENCY_KEYS: [Allowed; 1] =
    [("condition", "1.29 has all three conditions; it refuses `restart` and `required`")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

fn compose_file() -> Result<Yaml> {
    let text = fs::read_to_string(root().join("deploy/compose.yaml"))?;
    YamlLoader::load_from_str(&text)?.into_iter().next().context("the file holds a document")
}

fn keys(map: &Yaml) -> Vec<&str> {
    map.as_hash().into_iter().flatten().filter_map(|(key, _)| key.as_str()).collect()
}

/// The services, and the extension fields that services are made of.
fn services(file: &Yaml) -> Vec<(&str, &Yaml)> {
    let services = file["services"].as_hash().into_iter().flatten();
    let named: Vec<_> = services.filter_map(|(name, service)| Some((name.as_str()?, service))).collect();
    named.into_iter().chain([("x-client", &file["x-client"])]).collect()
}

/// Every key of `map` that is not in `allowed`, as "WHERE.key".
fn strange(place: &str, map: &Yaml, allowed: &[Allowed]) -> Vec<String> {
    let is_allowed = |key: &str| key.starts_with("x-") || allowed.iter().any(|(allowed, _)| *allowed == key);
    let strange = keys(map).into_iter().filter(|key| !is_allowed(key));
    strange.map(|key| format!("{place}.{key}")).collect()
}

fn strange_keys(file: &Yaml) -> Vec<String> {
    let mut found = strange("", file, &TOP_KEYS);
    for (name, service) in services(file) {
        found.extend(strange(name, service, &SERVICE_KEYS));
        found.extend(strange(&format!("{name}.healthcheck"), &service["healthcheck"], &HEALTH_KEYS));
        for (dependency, rule) in service["depends_on"].as_hash().into_iter().flatten() {
            let place = format!("{name}.depends_on.{}", dependency.as_str().unwrap_or_default());
            found.extend(strange(&place, rule, &DEPENDENCY_KEYS));
        }
    }
    found
}

#[test]
fn the_compose_file_uses_only_keys_that_both_generations_accept() -> Result<()> {
    let file = compose_file()?;
    let found = strange_keys(&file);
    assert!(found.is_empty(), "keys that are not known to work in 1.29 and in v2: {found:#?}");
    let names: BTreeSet<&str> = services(&file).into_iter().map(|(name, _)| name).collect();
    for expected in ["osd-sim", "disk", "client-1", "client-2", "client-3", "controller", "x-client"] {
        assert!(names.contains(expected), "the file has no {expected}: was it renamed?");
    }
    Ok(())
}

#[test]
fn a_key_of_one_generation_only_is_found() -> Result<()> {
    let text = "
version: '3.9'
services:
  one: {image: a, attach: true, healthcheck: {start_interval: 1s}, depends_on: {two: {condition: c, required: false}}}
";
    let file = YamlLoader::load_from_str(text)?.remove(0);
    let expected =
        [".version", "one.attach", "one.healthcheck.start_interval", "one.depends_on.two.required"];
    assert_eq!(strange_keys(&file), expected);
    Ok(())
}

#[test]
fn every_program_of_the_file_is_in_the_image() -> Result<()> {
    let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile"))?;
    let copy = dockerfile.lines().find(|line| line.starts_with("COPY ")).context("it copies programs")?;
    let file = compose_file()?;
    for (name, service) in services(&file) {
        let commands = [&service["command"][0], &service["healthcheck"]["test"][1]];
        for program in commands.into_iter().filter_map(Yaml::as_str) {
            let is_copied = copy.split(' ').any(|word| format!("/{word}") == program);
            ensure!(is_copied, "{name} runs {program}, and the image holds no such program: {copy}");
        }
    }
    Ok(())
}

fn compose_demo(arguments: &[&str], docker_host: &str) -> Result<Output> {
    let script = root().join("scripts/compose-demo");
    Ok(Command::new(script).args(arguments).env("DOCKER_HOST", docker_host).output()?)
}

#[test]
fn without_an_engine_the_script_says_so_and_its_exit_status_is_3() -> Result<()> {
    let output = compose_demo(&[], "unix:///nowhere/docker.sock")?;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr)?;
    assert!(
        said.contains("no Docker engine answers") || said.contains("there is no command docker"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_wrong_argument_is_named_and_its_exit_status_is_2() -> Result<()> {
    for (arguments, named) in [
        (["--scene", "a,x"].as_slice(), "'a,x'"),
        (&["--break"], "--break takes scenes"),
        (&["--fast"], "unknown argument '--fast'"),
    ] {
        let output = compose_demo(arguments, "unix:///nowhere/docker.sock")?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr)?;
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    Ok(())
}
