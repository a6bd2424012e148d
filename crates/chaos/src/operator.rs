//! Verbs of `rbd-client` under way: processes of their own, that can be killed by name.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use harness::program::Killer;

/// Pattern of the names that verbs give themselves at the OSD.
pub const NAMES: &str = "operator-*";
const PREFIX: &str = "operator-";

/// Those under way.
#[derive(Debug, Default)]
pub struct Operators {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    newest: u64,
    running: BTreeMap<String, Killer>,
}

/// One of them: what it is called at the OSD, and in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// E.g. "operator-7".
    pub name: String,
    /// E.g. "operator 7".
    pub client: String,
}

/// The client of the history that has this name at the OSD; `None`: somebody else has it.
pub fn client_of(name: &str) -> Option<String> {
    Some(format!("operator {}", name.strip_prefix(PREFIX)?))
}

impl Operators {
    /// A name that nobody had.
    pub fn next(&self) -> Operator {
        let mut state = self.lock();
        state.newest += 1;
        let number = state.newest;
        Operator { name: format!("{PREFIX}{number}"), client: format!("operator {number}") }
    }

    /// Its process runs.
    pub fn begun(&self, operator: &Operator, killer: Killer) {
        self.lock().running.insert(operator.name.clone(), killer);
    }

    /// It has ended.
    pub fn ended(&self, operator: &Operator) {
        self.lock().running.remove(&operator.name);
    }

    /// SIGKILL to the one of this name, right after `told`; whether it was there.
    pub fn kill(&self, name: &str, told: impl FnOnce()) -> Result<bool> {
        let killer = self.lock().running.get(name).cloned();
        let Some(killer) = killer else { return Ok(false) };
        told();
        killer.kill()?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
