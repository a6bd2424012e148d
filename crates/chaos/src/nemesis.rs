//! What befalls whom.

use std::{fmt, str::FromStr};

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
}

/// A named way to break the system. Any number of them may be at work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nemesis {
    /// `FAULT-ROLE`, e.g. `kill-owner`.
    Client(Fault, Role),
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
const ROLES: [(Role, &str); 3] =
    [(Role::Owner, "owner"), (Role::Requester, "requester"), (Role::Bystander, "bystander")];
const SILENT_WATCHER: &str = "silent-watcher";
const RESTART_OSD: &str = "restart-osd";

impl Nemesis {
    /// Every one, in the order of the documentation.
    pub fn all() -> Vec<Self> {
        let on_clients =
            FAULTS.iter().flat_map(|&(fault, _)| ROLES.map(|(role, _)| Self::Client(fault, role)));
        on_clients.chain([Self::SilentWatcher]).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULTS.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name))
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
        let found = Self::all().into_iter().find(|nemesis| nemesis.to_string() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = FAULTS.iter().map(|(_, name)| *name).collect();
            format!(
                "there is no such nemesis; there are {{{}}}-{{owner|requester|bystander}} and {SILENT_WATCHER}",
                names.join("|")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nemesis_is_found_by_its_name() {
        let all = Nemesis::all();
        assert_eq!(all.len(), 22);
        for nemesis in all {
            assert_eq!(nemesis.to_string().parse(), Ok(nemesis));
        }
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
