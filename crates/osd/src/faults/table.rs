use std::collections::BTreeMap;

use errno::Errno;

use super::calls::Call;
use super::crossing::Crossing;
use super::rule::{Action, Rule};
use crate::OpError;

/// Rules at a time (EAGAIN).
pub const RULES_MAX: usize = 1_000;

/// The rules in force. They are looked at in the order in which they were added; the first that fires decides.
#[derive(Debug, Default)]
pub struct Faults {
    rules: BTreeMap<u64, Counted>,
    newest: u64,
    /// What passes the doors beside the OSD's own.
    others: Vec<Call>,
}

/// A fault that befalls a crossing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Number of the rule.
    pub rule: u64,
    /// What is to be done.
    pub action: Action,
}

/// A rule and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its number.
    pub id: u64,
    /// As it was added.
    pub rule: Rule,
    /// What fitted its condition when it was its turn; how often it fired is in `hits`.
    pub matches: u64,
    /// How often it fired.
    pub hits: u64,
}

#[derive(Debug)]
struct Counted {
    rule: Rule,
    matches: u64,
    hits: u64,
    /// Matches whose fault is still to come, by client: how many things are to go before it.
    due: BTreeMap<u64, u64>,
    /// Of the draws.
    random: u64,
}

impl Faults {
    /// No rules yet; rules may name these beside what the OSD itself has.
    pub fn naming(others: Vec<Call>) -> Self {
        Self { others, ..Self::default() }
    }

    /// Adds a rule; its number, never given twice. EINVAL for one that can befall nothing, EAGAIN at the limit.
    pub fn add(&mut self, rule: Rule) -> Result<u64, OpError> {
        rule.check(&self.others)?;
        if self.rules.len() >= RULES_MAX {
            let text = format!("there are RULES_MAX = {RULES_MAX} fault rules");
            return Err(OpError { errno: Errno::EAGAIN, failed_op: None, text });
        }
        self.newest += 1;
        let random = rule.seed;
        self.rules.insert(self.newest, Counted { rule, matches: 0, hits: 0, due: BTreeMap::new(), random });
        Ok(self.newest)
    }

    /// Whether there is no rule: then nothing is ever decided.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes a rule away; whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        self.rules.remove(&id).is_some()
    }

    /// Takes every rule away.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// All rules, in the order in which they were added.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(&id, counted): (&u64, &Counted)| {
            let Counted { rule, matches, hits, .. } = counted;
            Listed { id, rule: rule.clone(), matches: *matches, hits: *hits }
        };
        self.rules.iter().map(listed).collect()
    }

    /// What befalls something that passes a door; counts it.
    pub fn decide(&mut self, crossing: &Crossing<'_>) -> Option<Verdict> {
        self.rules.iter_mut().find_map(|(&rule, counted)| {
            counted.fires(crossing).then_some(Verdict { rule, action: counted.rule.action })
        })
    }
}

impl Counted {
    /// Counts a match, and what comes after one.
    fn fires(&mut self, crossing: &Crossing<'_>) -> bool {
        let is_due = self.is_due(crossing);
        let is_match = self.rule.when.fits(crossing) && self.rule.can_befall(crossing);
        let is_chosen = is_match && self.chooses();
        if is_chosen && self.rule.later > 0 {
            self.due.entry(crossing.gid).or_insert(self.rule.later);
        }
        let fires = is_due || (is_chosen && self.rule.later == 0);
        self.hits += u64::from(fires);
        fires
    }

    /// Whether it is the one that an earlier match of this client was to befall.
    fn is_due(&mut self, crossing: &Crossing<'_>) -> bool {
        let Some(left) = self.due.get_mut(&crossing.gid) else { return false };
        if crossing.direction != self.rule.when.direction || !self.rule.can_befall(crossing) {
            return false;
        }
        *left -= 1;
        let is_due = *left == 0;
        if is_due {
            self.due.remove(&crossing.gid);
        }
        is_due
    }

    /// Whether a match is befallen, or what follows it.
    fn chooses(&mut self) -> bool {
        self.matches += 1;
        let begun = self.hits + self.due.len() as u64;
        let is_its_turn = self.matches > self.rule.skip && self.rule.times.is_none_or(|times| begun < times);
        is_its_turn && (self.rule.probability >= 1.0 || self.draw() < self.rule.probability)
    }

    /// From 0 up to 1; splitmix64.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}
