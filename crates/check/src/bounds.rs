//! Every call ends (I5).

use crate::history::{Call, History};
use crate::violation::{At, Rule, Violation};

/// Until when calls must have ended, by the driver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// When the last fault was taken back.
    pub healed_ms: u64,
    /// How long a call may take from there, or from its invocation if that came later.
    pub call_ms_max: u64,
}

/// Every call has ended, and in time. A call of a client that was killed ends when the driver records its unknown outcome.
pub fn calls_ended_in_time(history: &History, bounds: Bounds) -> Vec<Violation> {
    history.calls.iter().filter_map(|call| judge(call, bounds)).collect()
}

fn judge(call: &Call, bounds: Bounds) -> Option<Violation> {
    let began = call.invoked.time_ms.max(bounds.healed_ms);
    let due = began.saturating_add(bounds.call_ms_max);
    let (rule, what) = match &call.completed {
        None => (Rule::Unfinished, format!("it was to end by {due} ms and never did")),
        Some((at, _)) if at.time_ms > due => {
            (Rule::Late, format!("it was to end by {due} ms and did at {} ms", at.time_ms))
        }
        Some(_) => return None,
    };
    Some(Violation::new(rule, format!("client {}", call.client), [At::Call(call.id)], what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::testing::{Script, done, write};

    fn judged(script: &Script, healed_ms: u64, call_ms_max: u64) -> Vec<(Rule, Vec<At>)> {
        let found = calls_ended_in_time(&script.history(), Bounds { healed_ms, call_ms_max });
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    /// Records follow each other by a millisecond: the outer call lasts three.
    fn nested() -> Script {
        let mut script = Script::new();
        let outer = script.invoke("i", write(1));
        script.ok("i", write(2));
        script.complete(outer, done());
        script
    }

    #[test]
    fn calls_within_their_bound_are_fine() {
        assert_eq!(judged(&nested(), 0, 3), []);
    }

    #[test]
    fn a_call_that_ends_after_its_bound_is_found() {
        assert_eq!(judged(&nested(), 0, 2), [(Rule::Late, vec![At::Call(1)])]);
    }

    #[test]
    fn the_bound_counts_from_the_healing() {
        assert_eq!(judged(&nested(), 1, 2), []);
    }

    #[test]
    fn a_call_that_never_ends_is_found() {
        let mut script = nested();
        let hanging = script.invoke("i", write(3));
        assert_eq!(judged(&script, 0, 1_000), [(Rule::Unfinished, vec![At::Call(hanging)])]);
        script.complete(hanging, Outcome::Unknown);
        assert_eq!(judged(&script, 0, 1_000), []);
    }
}
