use std::time::Duration;

/// What one call may let pass, 24 h.
pub const ADVANCE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Steps of one call.
pub const ADVANCE_STEPS_MAX: u64 = 100_000;

/// How long, in real time, a step waits for those who are to show that they live, unless the call says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What a call may say, 60 s.
pub const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// A call that makes time pass: how much, in which steps. After each step those who live get the occasion to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Not zero.
    pub by: Duration,
    /// Not zero; the last step is what is left.
    pub step: Duration,
    /// Real time.
    pub patience: Duration,
}

/// How large a step may be: within a larger one somebody who lives would be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimit {
    /// What the step must stay below, e.g. "the shortest watch timeout".
    pub rule: &'static str,
    /// Its value.
    pub below: Duration,
    /// The step of a call that names none.
    pub default: Duration,
}

/// The call is refused: EINVAL. The text names the field and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AdvanceError(String);

impl Advance {
    /// From the fields of a call; 0 for the step and the patience = their defaults.
    pub fn new(by_ms: u64, step_ms: u64, patience_ms: u64, limit: StepLimit) -> Result<Self, AdvanceError> {
        let or =
            |given_ms: u64, default| if given_ms == 0 { default } else { Duration::from_millis(given_ms) };
        let advance = Self {
            by: Duration::from_millis(by_ms),
            step: or(step_ms, limit.default),
            patience: or(patience_ms, PATIENCE),
        };
        match advance.broken_rule(limit) {
            Some(rule) => Err(AdvanceError(rule)),
            None => Ok(advance),
        }
    }

    /// The steps, none of them zero.
    pub fn steps(self) -> impl Iterator<Item = Duration> {
        let mut left = self.by;
        std::iter::from_fn(move || {
            let step = left.min(self.step);
            left -= step;
            (!step.is_zero()).then_some(step)
        })
    }

    fn broken_rule(&self, limit: StepLimit) -> Option<String> {
        let Self { by, step, patience } = self;
        let [by_ms, step_ms, patience_ms] = [by, step, patience].map(Duration::as_millis);
        let steps = by.as_nanos().div_ceil(step.as_nanos().max(1));
        if by.is_zero() {
            Some("by_ms is 0: the clock is advanced by 1 ms or more".to_owned())
        } else if *by > ADVANCE_MAX {
            let max = ADVANCE_MAX.as_millis();
            Some(format!("by_ms {by_ms} is more than ADVANCE_MAX = {max} (24 h): advance several times"))
        } else if *step >= limit.below {
            let (rule, below) = (limit.rule, limit.below.as_millis());
            Some(format!(
                "step_ms {step_ms} is not below {rule}, {below}: what lives would expire in one step"
            ))
        } else if steps > ADVANCE_STEPS_MAX.into() {
            let what = format!("by_ms {by_ms} in steps of {step_ms} ms");
            Some(format!(
                "{what} is more than ADVANCE_STEPS_MAX = {ADVANCE_STEPS_MAX} steps: take larger steps"
            ))
        } else if *patience > PATIENCE_MAX {
            let max = PATIENCE_MAX.as_millis();
            Some(format!("patience_ms {patience_ms} is more than PATIENCE_MAX = {max}"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: StepLimit = StepLimit {
        rule: "the shortest watch timeout",
        below: Duration::from_secs(30),
        default: Duration::from_secs(5),
    };

    fn refusal(by_ms: u64, step_ms: u64, patience_ms: u64) -> String {
        Advance::new(by_ms, step_ms, patience_ms, LIMIT).expect_err("a rule is broken").to_string()
    }

    #[test]
    fn zero_means_the_default_of_the_step_and_of_the_patience() {
        let advance = Advance::new(30_000, 0, 0, LIMIT).expect("no rule is broken");
        assert_eq!((advance.step, advance.patience), (LIMIT.default, PATIENCE));
        let advance = Advance::new(30_000, 29_999, 7, LIMIT).expect("no rule is broken");
        assert_eq!((advance.step.as_millis(), advance.patience.as_millis()), (29_999, 7));
    }

    #[test]
    fn the_steps_make_up_the_whole() {
        let advance = Advance::new(12_000, 0, 0, LIMIT).expect("no rule is broken");
        let steps: Vec<_> = advance.steps().map(|step| step.as_millis()).collect();
        assert_eq!(steps, [5_000, 5_000, 2_000]);
    }

    #[test]
    fn a_refusal_names_the_field_and_the_rule() {
        assert!(refusal(0, 0, 0).contains("by_ms is 0"));
        assert!(refusal(u64::MAX, 0, 0).contains("ADVANCE_MAX"));
        assert!(refusal(60_000, 30_000, 0).contains("step_ms 30000 is not below the shortest watch timeout"));
        assert!(refusal(60_000, u64::MAX, 0).contains("step_ms"));
        assert!(refusal(100_001, 1, 0).contains("ADVANCE_STEPS_MAX"));
        assert!(refusal(1, 0, 60_001).contains("PATIENCE_MAX"));
    }
}
