//! Seeds that once failed, kept for ever.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    nemesis::Nemesis,
    options::{Common, Random},
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
    pub fn options(&self, common: &Common) -> Result<Random> {
        let parse =
            |name: &String| name.parse::<Nemesis>().map_err(|error| anyhow::anyhow!("{name}: {error}"));
        let nemesis = self.nemesis.iter().map(parse).collect::<Result<_>>()?;
        ensure!((2..=16).contains(&self.clients), "seed {}: clients {}: 2 to 16", self.seed, self.clients);
        let keep = common.keep.as_ref().map(|keep| keep.join(self.seed.to_string()));
        if let Some(keep) = &common.keep {
            std::fs::create_dir_all(keep).with_context(|| format!("--keep {}", keep.display()))?;
        }
        Ok(Random {
            minutes: None,
            nemesis,
            chaos: Duration::from_secs(self.chaos_seconds),
            common: Common { seed: Some(self.seed), clients: self.clients, keep, ..common.clone() },
        })
    }
}
