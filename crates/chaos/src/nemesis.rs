//! What befalls whom.

use std::{fmt, str::FromStr};

use crate::steps::Step;

/// What happens to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL; later another process takes its place.
    Kill,
    /// SIGSTOP, later SIGCONT.
    Freeze,
    /// Nothing passes between it and the OSD, and nobody is told; later all of it arrives.
    Cut,
    /// Everything between it and the OSD takes longer.
    Slow,
    /// What it sends to the OSD is lost.
    Mute,
    /// What the OSD sends to it is lost.
    Deaf,
    /// Its connections to the OSD are closed, over and over.
    Reset,
}

/// Which client, at the moment of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It holds the exclusive lock.
    Owner,
    /// It has forwarded an operation to the owner and waits.
    Requester,
    /// Neither.
    Bystander,
    /// A verb of `rbd-client`, a process of its own, that works on an image.
    Operator,
}

/// What happens between two ops of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepFault {
    /// The op, or its answer, is on its way when its client is killed.
    KillAt,
    /// The op is refused with EIO.
    ErrorAt,
    /// The op, or its answer, comes late.
    DelayAt,
}

/// A named way to break the system. Any number of them may be at work at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nemesis {
    /// `FAULT-ROLE`, e.g. `kill-owner`.
    Client(Fault, Role),
    /// `FAULT-at-ROLE`, e.g. `kill-at-owner`: at a step that is drawn; `kill-at-owner=rbd.parent_detach+1`: at this one.
    Step(StepFault, Role, Option<Step>),
    /// `silent-watcher`: a watcher of the image that never acks.
    SilentWatcher,
}

const FAULTS: [(Fault, &str); 7] = [
    (Fault::Kill, "kill"),
    (Fault::Freeze, "freeze"),
    (Fault::Cut, "cut"),
    (Fault::Slow, "slow"),
    (Fault::Mute, "mute"),
    (Fault::Deaf, "deaf"),
    (Fault::Reset, "reset"),
];
const STEP_FAULTS: [(StepFault, &str); 3] =
    [(StepFault::KillAt, "kill-at"), (StepFault::ErrorAt, "error-at"), (StepFault::DelayAt, "delay-at")];
const ROLES: [(Role, &str); 4] = [
    (Role::Owner, "owner"),
    (Role::Requester, "requester"),
    (Role::Bystander, "bystander"),
    (Role::Operator, "operator"),
];
const SILENT_WATCHER: &str = "silent-watcher";
const RESTART_OSD: &str = "restart-osd";

impl Nemesis {
    /// Every one, in the order of the documentation.
    pub fn all() -> Vec<Self> {
        let seats = || ROLES.iter().map(|&(role, _)| role).filter(|role| *role != Role::Operator);
        let on_clients =
            FAULTS.iter().flat_map(|&(fault, _)| seats().map(move |role| Self::Client(fault, role)));
        let at_steps = STEP_FAULTS
            .iter()
            .flat_map(|&(fault, _)| ROLES.iter().map(move |&(role, _)| Self::Step(fault, role, None)));
        on_clients.chain(at_steps).chain([Self::SilentWatcher]).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULTS.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name))
    }
}

impl fmt::Display for StepFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STEP_FAULTS.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROLES.iter().find(|(role, _)| role == self).map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(fault, role) => write!(f, "{fault}-{role}"),
            Self::Step(fault, role, None) => write!(f, "{fault}-{role}"),
            Self::Step(fault, role, Some(step)) => write!(f, "{fault}-{role}={step}"),
            Self::SilentWatcher => f.write_str(SILENT_WATCHER),
        }
    }
}

impl FromStr for Nemesis {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == RESTART_OSD {
            return Err(
                "osd-sim keeps everything in memory: a restart would lose what clients were promised, \
                        and every violation found afterwards would be the restart's"
                    .to_owned(),
            );
        }
        let (kind, step) = match name.split_once('=') {
            Some((kind, step)) => (kind, Some(step.parse::<Step>()?)),
            None => (name, None),
        };
        match (Self::all().into_iter().find(|nemesis| nemesis.to_string() == kind), step) {
            (Some(nemesis), None) => Ok(nemesis),
            (Some(Self::Step(fault, role, _)), step) => Ok(Self::Step(fault, role, step)),
            (Some(_), Some(_)) => Err(format!("{kind} strikes at no step")),
            (None, _) => {
                let names = |names: &[&str]| names.join("|");
                let (faults, steps) = (FAULTS.map(|(_, name)| name), STEP_FAULTS.map(|(_, name)| name));
                Err(format!(
                    "there is no such nemesis; there are {{{}}}-{{owner|requester|bystander}}, \
                     {{{}}}-{{owner|requester|bystander|operator}}[=OP[+K]] and {SILENT_WATCHER}",
                    names(&faults),
                    names(&steps)
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nemesis_is_found_by_its_name() {
        let all = Nemesis::all();
        assert_eq!(all.len(), 34);
        for nemesis in all {
            assert_eq!(nemesis.to_string().parse(), Ok(nemesis));
        }
    }

    #[test]
    fn a_step_is_named_by_an_op_and_how_many_come_after_it() {
        let parsed = |name: &str| name.parse::<Nemesis>();
        let step = |op: &str, later| Some(Step { op: op.to_owned(), later });
        let detach = Nemesis::Step(StepFault::KillAt, Role::Owner, step("rbd.parent_detach", 1));
        assert_eq!(parsed("kill-at-owner=rbd.parent_detach+1"), Ok(detach.clone()));
        assert_eq!(detach.to_string(), "kill-at-owner=rbd.parent_detach+1");
        let notify = Nemesis::Step(StepFault::ErrorAt, Role::Operator, step("notify", 0));
        assert_eq!(parsed("error-at-operator=notify"), Ok(notify));
        assert!(parsed("kill-owner=notify").is_err() && parsed("kill-at-owner=").is_err());
        assert!(parsed("kill-at-owner=x+y").is_err());
    }

    #[test]
    fn an_unknown_nemesis_is_told_which_there_are() {
        let refusal = "kill-everybody".parse::<Nemesis>().unwrap_err();
        assert!(refusal.contains("kill|freeze") && refusal.contains("silent-watcher"), "{refusal}");
    }

    #[test]
    fn a_restart_of_a_memory_store_is_refused_with_the_reason() {
        let refusal = "restart-osd".parse::<Nemesis>().unwrap_err();
        assert!(refusal.contains("in memory"), "{refusal}");
    }
}
