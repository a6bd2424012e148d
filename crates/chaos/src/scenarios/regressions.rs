//! Seeds that once failed, kept for ever.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    nemesis::Nemesis,
    options::{Common, Output, Random},
};

/// The list that the gate plays.
const BUILT_IN: &str = include_str!("../../regressions.toml");

/// The list of seeds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// In the order in which they were found.
    #[serde(rename = "regression")]
    pub regressions: Vec<Regression>,
}

/// A seed of `chaos random` that once failed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// The seed.
    pub seed: u64,
    /// `--nemesis`.
    #[serde(default)]
    pub nemesis: Vec<String>,
    /// `--clients`.
    pub clients: u16,
    /// `--chaos`, in seconds.
    pub chaos_seconds: u64,
    /// What was wrong.
    pub guards: String,
}

impl List {
    /// Reads the list in a file, or the one that is built in.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Self::parse(BUILT_IN).context("crates/chaos/regressions.toml") };
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("--file {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("--file {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text)?;
        ensure!(!list.regressions.is_empty(), "there is no [[regression]] in it");
        Ok(list)
    }
}

impl Regression {
    /// The options under which it failed.
    pub fn options(&self, output: &Output) -> Result<Random> {
        let parse =
            |name: &String| name.parse::<Nemesis>().map_err(|error| anyhow::anyhow!("{name}: {error}"));
        let nemesis = self.nemesis.iter().map(parse).collect::<Result<_>>()?;
        let Self { seed, clients, chaos_seconds, .. } = *self;
        ensure!((2..=16).contains(&clients), "seed {seed}: clients {clients}: 2 to 16");
        ensure!(
            (1..=86_400).contains(&chaos_seconds),
            "seed {seed}: chaos_seconds {chaos_seconds}: 1 to 86400"
        );
        let common = Common { seed: Some(seed), preset: None, rounds: 1, clients, output: output.clone() };
        Ok(Random { minutes: None, nemesis, chaos: Duration::from_secs(chaos_seconds), librbd: 0, common })
    }
}
