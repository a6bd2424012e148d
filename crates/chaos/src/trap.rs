//! A fault rule at the OSD that waits for a step of an operation.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use errno::Errno;
use fastrand::Rng;
use proto::osd::v1::{
    Event, FaultCondition, FaultDelay, FaultDirection, FaultDisconnect, FaultDrop, FaultError, FaultHold,
    FaultRule, fault_rule::Action,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    nemesis::{Role, StepFault},
    operator,
    stage::Stage,
    steps::Step,
};

/// How long a trap waits for a client that was in the role when it was set.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Longest delay of an op: shorter than a watch lives.
const DELAY_MAX_MS: u64 = 1_500;
/// Steps, as they are drawn.
const UNBEARABLE_REFUSALS: [&str; 2] = ["rbd.snapshot_add", "rbd.*copyup"];

/// What waits, for whom and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Trap {
    /// What happens.
    pub fault: StepFault,
    /// To whom.
    pub role: Role,
    /// Where.
    pub step: Step,
    direction: FaultDirection,
    action: Action,
    times: u64,
}

/// One that is set.
pub struct SetTrap<'a> {
    stage: &'a Stage,
    rule: u64,
    /// Newest event when it was set.
    since: u64,
}

impl Trap {
    /// Its details are drawn: a client dies before its op has arrived, after it, or while it is on its way; some ops are late or refused
    /// more than once.
    pub fn draw(rng: &mut Rng, fault: StepFault, role: Role, step: Step) -> Self {
        let either = if rng.bool() { FaultDirection::Request } else { FaultDirection::Reply };
        let times = rng.u64(1..=3);
        let (direction, action, times) = match fault {
            StepFault::KillAt if rng.u8(0..3) == 0 => {
                (FaultDirection::Request, Action::Hold(FaultHold {}), 1)
            }
            StepFault::KillAt => (either, Action::Drop(FaultDrop {}), 1),
            StepFault::ErrorAt => {
                let name = Errno::EIO.name().to_owned();
                (FaultDirection::Request, Action::Error(FaultError { name }), times.min(2))
            }
            StepFault::DelayAt => {
                let delay_ms = rng.u64(50..=DELAY_MAX_MS);
                (either, Action::Delay(FaultDelay { delay_ms }), times)
            }
        };
        Self { fault, role, step, direction, action, times }
    }

    /// Whether it may refuse a step whose refusal librbd does not bear: then it says of a snapshot that it was made, and loses the parent's
    /// data (docs/hazards.md, 13 and 14). What comes so many ops after another one may be any of them.
    pub fn is_too_much_for_librbd(&self) -> bool {
        let is_unbearable = UNBEARABLE_REFUSALS.contains(&self.step.op.as_str()) || self.step.later > 0;
        self.fault == StepFault::ErrorAt && is_unbearable
    }

    /// The same for a client that sends the next op before it has an answer: what is lost of one connection is lost with all that is behind
    /// it.
    pub fn with_what_follows(self) -> Self {
        match (&self.action, self.direction) {
            (Action::Drop(_), FaultDirection::Request) => {
                Self { action: Action::Disconnect(FaultDisconnect {}), ..self }
            }
            _ => self,
        }
    }

    /// How late the last one comes.
    pub fn delay(&self) -> Duration {
        match &self.action {
            Action::Delay(delay) => Duration::from_millis(delay.delay_ms),
            _ => Duration::ZERO,
        }
    }

    /// Sets it for this instance; `None`: for verbs.
    pub async fn set<'a>(&self, stage: &'a Stage, gid: Option<u64>) -> Result<SetTrap<'a>> {
        let when = FaultCondition {
            direction: self.direction.into(),
            gid: gid.unwrap_or(0),
            client: if gid.is_none() { operator::NAMES.to_owned() } else { String::new() },
            op: self.step.op.clone(),
            ..FaultCondition::default()
        };
        let rule = FaultRule {
            when: Some(when),
            times: Some(self.times),
            later: self.step.later,
            action: Some(self.action.clone()),
            ..FaultRule::default()
        };
        let since = stage.cluster.log.last();
        let rule = stage.add_rule(rule).await.with_context(|| self.to_string())?;
        Ok(SetTrap { stage, rule, since })
    }
}

impl SetTrap<'_> {
    /// The instance that went into it, at most until `deadline`; else it is taken away again.
    pub async fn caught(&self, deadline: Instant) -> Result<Option<u64>> {
        let name = format!("rule {}:", self.rule);
        let is_it = |event: &Event| event.kind == "fault" && event.detail.starts_with(&name);
        let log = &self.stage.cluster.log;
        let until = deadline.min(Instant::now() + LOOK_AGAIN);
        let waiting = log.wait_for(self.since, self.stage.constants.call_max(), "a step", is_it);
        if let Ok(caught) = timeout_at(until, waiting).await {
            return Ok(Some(caught?.gid));
        }
        self.remove().await?;
        // Somebody may have gone into it just before.
        log.catch_up().await?;
        Ok(log.after(self.since).iter().find(|event| is_it(event)).map(|event| event.gid))
    }

    /// Takes it away; what it held goes on. Nothing happens to one that has been taken away.
    pub async fn remove(&self) -> Result<()> {
        self.stage.remove_rule(self.rule).await
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, role, step) = (self.fault, self.role, &self.step);
        let way = match (&self.action, self.direction) {
            (Action::Hold(_), _) => "on its way",
            (_, FaultDirection::Reply) => "applied",
            _ => "not applied",
        };
        write!(f, "{fault}-{role}={step} ({way})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_behind_a_lost_op_arrives() {
        let drawn = |seed| {
            let step = "rbd.*copyup".parse().unwrap();
            Trap::draw(&mut Rng::with_seed(seed), StepFault::KillAt, Role::Owner, step)
        };
        let is_lost =
            |trap: &Trap| matches!(trap.action, Action::Drop(_)) && trap.direction == FaultDirection::Request;
        assert!((0..20).any(|seed| is_lost(&drawn(seed))));
        for trap in (0..20).map(drawn) {
            let (was_lost, after) = (is_lost(&trap), trap.clone().with_what_follows());
            assert_eq!(was_lost, matches!(after.action, Action::Disconnect(_)));
            assert!(was_lost || after == trap);
        }
    }

    #[test]
    fn what_librbd_does_not_bear_is_refused_by_its_name_or_behind_another() {
        let may = |fault, step: &str| {
            let step = step.parse().unwrap();
            Trap::draw(&mut Rng::with_seed(1), fault, Role::Owner, step).is_too_much_for_librbd()
        };
        for step in ["rbd.snapshot_add", "rbd.*copyup", "notify+1"] {
            assert!(may(StepFault::ErrorAt, step), "{step}");
        }
        assert!(!may(StepFault::ErrorAt, "rbd.parent_detach"));
        assert!(!may(StepFault::KillAt, "rbd.snapshot_add") && !may(StepFault::DelayAt, "notify+1"));
    }
}
