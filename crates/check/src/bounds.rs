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
}

/// Until when calls must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<'a> {
    /// In any order.
    pub disturbances: &'a [Disturbance],
    /// How long a call may take: from its invocation, and again from each begin and each end of a disturbance that it meets. While its
    /// own client is disturbed there is no bound.
    pub call_ms_max: u64,
}

/// Every call has ended, and in time. A call of a client that was killed ends when the driver records its unknown outcome.
pub fn calls_ended_in_time(history: &History, bounds: Bounds<'_>) -> Vec<Violation> {
    let disturbances = bounds.disturbances.iter();
    let mut changes: Vec<u64> =
        disturbances.flat_map(|disturbance| [disturbance.from_ms, disturbance.until_ms]).collect();
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

/// The first moment at which nothing had changed for the whole bound and the client was whole. `changes` ascend.
fn due(call: &Call, bounds: Bounds<'_>, changes: &[u64]) -> u64 {
    let is_disturbed = |at: u64| {
        let mut own = bounds.disturbances.iter().filter(|disturbance| disturbance.client == call.client);
        own.any(|disturbance| (disturbance.from_ms..disturbance.until_ms).contains(&at))
    };
    let mut since = call.invoked.time_ms;
    for &change in &changes[changes.partition_point(|change| *change <= since)..] {
        if change > since.saturating_add(bounds.call_ms_max) && !is_disturbed(since) {
            break;
        }
        since = change;
    }
    since.saturating_add(bounds.call_ms_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::testing::{Script, done, write};

    fn judged(script: &Script, disturbances: &[Disturbance], call_ms_max: u64) -> Vec<(Rule, Vec<At>)> {
        let found = calls_ended_in_time(&script.history(), Bounds { disturbances, call_ms_max });
        found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
    }

    fn of(client: &str, from_ms: u64, until_ms: u64) -> Disturbance {
        Disturbance { client: client.to_owned(), from_ms, until_ms, kills: false }
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

    #[test]
    fn the_bound_counts_anew_from_each_change() {
        assert_eq!(judged(&nested(4), &[of("b", 2, 5)], 4), []);
        assert_eq!(judged(&nested(4), &[of("b", 2, 5)], 3), [(Rule::Late, vec![At::Call(1)])]);
    }

    #[test]
    fn a_client_that_is_disturbed_has_no_bound() {
        assert_eq!(judged(&nested(4), &[of("a", 1, 8)], 2), []);
        assert_eq!(judged(&nested(4), &[of("b", 1, 8)], 2), [(Rule::Late, vec![At::Call(1)])]);
    }

    #[test]
    fn a_disturbance_that_comes_after_the_bound_excuses_nothing() {
        assert_eq!(judged(&nested(4), &[of("a", 5, 8)], 3), [(Rule::Late, vec![At::Call(1)])]);
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
