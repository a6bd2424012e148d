//! Fault rules: for tests in Rust, and as service Faults.

mod service;
mod wire;

use std::sync::Arc;

use osd::OpError;
use osd::faults::{Listed, Rule};

use crate::daemon::Daemon;
pub(crate) use service::FaultService;

/// The fault rules of a running server. Everything answers EPERM unless it was started with
/// [`enable_faults`](crate::Config::enable_faults).
#[derive(Clone)]
pub struct FaultRules {
    daemon: Arc<Daemon>,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleInForce {
    /// The rule and its counts.
    pub listed: Listed,
    /// What it holds now.
    pub held: usize,
}

impl FaultRules {
    pub(crate) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    /// Adds a rule, in force when this returns; its number. EINVAL for one that can befall nothing, EAGAIN at the limit.
    pub fn add(&self, rule: Rule) -> Result<u64, OpError> {
        self.daemon.check_faults_enabled()?;
        self.daemon.add_rule(rule)
    }

    /// All rules, in the order in which they were added.
    pub fn list(&self) -> Result<Vec<RuleInForce>, OpError> {
        self.daemon.check_faults_enabled()?;
        let rules = self.daemon.rules().into_iter();
        Ok(rules.map(|(listed, held)| RuleInForce { listed, held }).collect())
    }

    /// Takes a rule away; what it held goes on. ENOENT if there is none of that number.
    pub fn remove(&self, id: u64) -> Result<(), OpError> {
        self.daemon.check_faults_enabled()?;
        self.daemon.remove_rule(id)
    }

    /// Takes every rule away; what was held goes on.
    pub fn reset(&self) -> Result<(), OpError> {
        self.daemon.check_faults_enabled()?;
        self.daemon.reset_rules();
        Ok(())
    }

    /// Lets what a rule holds go on, `None` = what all rules hold; how much it was. ENOENT if there is none of that
    /// number.
    pub fn release(&self, id: Option<u64>) -> Result<usize, OpError> {
        self.daemon.check_faults_enabled()?;
        self.daemon.release_held(id)
    }
}

impl std::fmt::Debug for FaultRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultRules").finish_non_exhaustive()
    }
}
