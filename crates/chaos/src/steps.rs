//! Steps of operations: an op of a client at which something happens.

use std::{fmt, str::FromStr};

use fastrand::Rng;

use crate::nemesis::Role;

/// An op of a client, or one of those that it sends after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// As fault rules name it, e.g. "rbd.parent_detach"; `*` is any text.
    pub op: String,
    /// The so many-th after it; 0 = itself.
    pub later: u64,
}

/// Ops of whoever owns the lock.
const OF_OWNERS: [&str; 14] = [
    "rbd.parent_detach",
    "rbd.child_detach",
    "rbd.dir_rename_image",
    "rbd.snapshot_add",
    "rbd.snapshot_remove",
    "rbd.snapshot_rename",
    "rbd.set_size",
    "rbd.set_protection_status",
    "rbd.*copyup",
    "remove_snap_id",
    "rollback",
    "lock.unlock",
    "notify",
    "omap_remove",
];
/// Ops of whoever wants the lock, or asks its owner.
const OF_PEERS: [&str; 8] = [
    "notify",
    "lock.lock",
    "lock.break_lock",
    "lock.set_cookie",
    "blocklist_add",
    "list_watchers",
    "rbd.get_header",
    "rbd.set_protection_status",
];
/// Ops of the verbs that make, clone, flatten and remove images.
const OF_OPERATORS: [&str; 18] = [
    "rbd.set_id",
    "rbd.create",
    "rbd.child_attach",
    "rbd.child_detach",
    "rbd.dir_add_image",
    "rbd.dir_remove_image",
    "rbd.dir_rename_image",
    "rbd.parent_detach",
    "rbd.snapshot_add",
    "rbd.snapshot_remove",
    "rbd.snapshot_rename",
    "rbd.set_protection_status",
    "rbd.*copyup",
    "remove",
    "rollback",
    "remove_snap_id",
    "lock.lock",
    "lock.unlock",
];
/// How far behind an op a drawn step may lie.
const LATER_MAX: u64 = 3;

impl Step {
    /// One that somebody in this role takes now and then.
    pub fn draw(rng: &mut Rng, role: Role) -> Self {
        let ops: &[&str] = match role {
            Role::Owner => &OF_OWNERS,
            Role::Requester | Role::Bystander => &OF_PEERS,
            Role::Operator => &OF_OPERATORS,
        };
        let later = if rng.bool() { 0 } else { rng.u64(1..=LATER_MAX) };
        Self { op: ops[rng.usize(0..ops.len())].to_owned(), later }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.later {
            0 => f.write_str(&self.op),
            later => write!(f, "{}+{later}", self.op),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (op, later) = match text.split_once('+') {
            None => (text, 0),
            Some((op, later)) => {
                (op, later.parse().map_err(|_| format!("{text}: a step is OP or OP+K, K a number"))?)
            }
        };
        if op.is_empty() {
            return Err("a step names an op, e.g. rbd.parent_detach+1".to_owned());
        }
        Ok(Self { op: op.to_owned(), later })
    }
}
