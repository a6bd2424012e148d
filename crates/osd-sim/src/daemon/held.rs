//! Effects whose step has seen what is not durable yet.

use std::collections::VecDeque;

use osd::Effect;
use store::Seq;

/// Keeps them in the order of the steps.
#[derive(Debug, Default)]
pub(super) struct Held(VecDeque<(Seq, Vec<Effect>)>);

impl Held {
    /// Keeps effects until `seen` is durable; gives those back that need not wait.
    pub(super) fn hold(&mut self, seen: Seq, durable: Seq, effects: Vec<Effect>) -> Option<Vec<Effect>> {
        if self.0.is_empty() && seen <= durable {
            return Some(effects);
        }
        if !effects.is_empty() {
            self.0.push_back((seen, effects));
        }
        None
    }

    /// The next ones that need not wait any longer.
    pub(super) fn release(&mut self, durable: Seq) -> Option<Vec<Effect>> {
        let (seen, _) = self.0.front()?;
        if *seen <= durable { self.0.pop_front().map(|(_, effects)| effects) } else { None }
    }
}

#[cfg(test)]
mod tests;
