//! Every call ends (I5).

use crate::history::{Call, History};
use crate::violation::{At, Rule, Violation};

/// Something that was broken for a while, by the driver's clock.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// The client whose calls it held up; empty: nobody's in particular.
    pub client: String,
    /// When it began.
    pub from_ms: u64,
    /// When it was taken back.
    pub until_ms: u64,
    /// The client's process was killed, and another one took its place: answers were lost.
    pub kills: bool,
    /// How long calls may take because of it, from its begin and again from its end.
    pub costs_ms: u64,
}

/// Until when calls must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<'a> {
    /// In any order.
    pub disturbances: &'a [Disturbance],
    /// How long a call may take when nothing is disturbed; what each disturbance may cost, it says itself. While its own client is
    /// disturbed there is no bound.
    pub calm_ms_max: u64,
}

/// When something was broken or mended, and until when calls may take longer for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at_ms: u64,
    until_ms: u64,
}

/// Every call has ended, and in time: the bound is that of what it met, so that one who waits for a timeout where nothing is broken is
/// seen. A call of a client that was killed ends when the driver records its unknown outcome.
pub fn calls_ended_in_time(history: &History, bounds: Bounds<'_>) -> Vec<Violation> {
    let change = |at_ms: u64, costs_ms: u64| Change { at_ms, until_ms: at_ms.saturating_add(costs_ms) };
    let of = |disturbance: &Disturbance| {
        [disturbance.from_ms, disturbance.until_ms].map(|at_ms| change(at_ms, disturbance.costs_ms))
    };
    let mut changes: Vec<Change> = bounds.disturbances.iter().flat_map(of).collect();
    changes.sort_unstable();
    history.calls.iter().filter_map(|call| judge(call, due(call, bounds, &changes))).collect()
}

fn judge(call: &Call, due: u64) -> Option<Violation> {
    let (rule, what) = match &call.completed {
        None => (Rule::Unfinished, format!("it was to end by {due} ms and never did")),
        Some((at, _)) if at.time_ms > due => {
            (Rule::Late, format!("it was to end by {due} ms and did at {} ms", at.time_ms))
        }
        Some(_) => return None,
    };
    Some(Violation::new(rule, format!("client {}", call.client), [At::Call(call.id)], what))
}

/// The first moment at which what it met may cost no more and the client is whole. `changes` ascend.
fn due(call: &Call, bounds: Bounds<'_>, changes: &[Change]) -> u64 {
    let mended = |at: u64| {
        let own = bounds.disturbances.iter().filter(|disturbance| disturbance.client == call.client);
        own.filter(|own| (own.from_ms..own.until_ms).contains(&at)).map(|own| own.until_ms).max()
    };
    let mut due = call.invoked.time_ms.saturating_add(bounds.calm_ms_max);
    loop {
        // One who was broken before the call began may cost it something too.
        let met = changes[..changes.partition_point(|change| change.at_ms <= due)].iter();
        let next = met.map(|change| change.until_ms).chain(mended(due)).fold(due, u64::max);
        if next == due {
            return due;
        }
        due = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::testing::{Script, done, write};

    fn judged(script: &Script, disturbances: &[Disturbance], calm_ms_max: u64) -> Vec<(Rule, Vec<At>)> {
        let found = calls_ended_in_time(&script.history(), Bounds { disturbances, calm_ms_max });
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    fn of(client: &str, from_ms: u64, until_ms: u64, costs_ms: u64) -> Disturbance {
        Disturbance { client: client.to_owned(), from_ms, until_ms, kills: false, costs_ms }
    }

    /// Records of client a follow each other by a millisecond: the outer call lasts from 0 to 2 `inner` + 1.
    fn nested(inner: u64) -> Script {
        let mut script = Script::new();
        let outer = script.invoke("i", write(1));
        for tag in 0..inner {
            script.ok("i", write(tag + 2));
        }
        script.complete(outer, done());
        script
    }

    #[test]
    fn calls_within_their_bound_are_fine() {
        assert_eq!(judged(&nested(1), &[], 3), []);
    }

    #[test]
    fn a_call_that_ends_after_its_bound_is_found() {
        assert_eq!(judged(&nested(1), &[], 2), [(Rule::Late, vec![At::Call(1)])]);
    }

    const LATE: [(Rule, [At; 1]); 1] = [(Rule::Late, [At::Call(1)])];

    fn late(script: &Script, disturbances: &[Disturbance], calm_ms_max: u64) -> bool {
        let found = judged(script, disturbances, calm_ms_max);
        assert!(found.is_empty() || found == LATE.map(|(rule, at)| (rule, at.to_vec())), "{found:?}");
        !found.is_empty()
    }

    /// The outer call ends at 9.
    #[test]
    fn what_a_call_met_may_cost_it_what_it_says() {
        assert!(!late(&nested(4), &[of("b", 2, 5, 4)], 2));
        assert!(late(&nested(4), &[of("b", 2, 5, 3)], 2));
        assert!(late(&nested(4), &[], 2), "and nothing else may");
    }

    #[test]
    fn what_was_mended_just_before_a_call_may_cost_it_something() {
        let mut script = Script::new();
        script.ok("i", write(8));
        script.ok("i", write(9));
        // From 4 to 7.
        let outer = script.invoke("i", write(1));
        script.ok("i", write(2));
        script.complete(outer, done());
        assert!(!judged(&script, &[of("b", 1, 2, 5)], 1).iter().any(|(_, at)| *at == [At::Call(outer)]));
        assert!(judged(&script, &[of("b", 1, 2, 3)], 1).iter().any(|(_, at)| *at == [At::Call(outer)]));
    }

    #[test]
    fn a_client_that_is_disturbed_has_no_bound() {
        assert!(!late(&nested(4), &[of("a", 1, 8, 2)], 2));
        assert!(late(&nested(4), &[of("b", 1, 8, 2)], 2));
    }

    #[test]
    fn a_disturbance_that_comes_after_the_bound_excuses_nothing() {
        assert!(late(&nested(4), &[of("a", 5, 8, 9)], 3));
    }

    #[test]
    fn a_call_that_never_ends_is_found() {
        let mut script = nested(1);
        let hanging = script.invoke("i", write(9));
        assert_eq!(judged(&script, &[], 1_000), [(Rule::Unfinished, vec![At::Call(hanging)])]);
        script.complete(hanging, Outcome::Unknown);
        assert_eq!(judged(&script, &[], 1_000), []);
    }
}
