//! What clients ask of the monitor, by name: for faults on purpose.

use ceph_wire::mon::{MonCommand, MonCommandAck, Paxos, PoolOp, op};
use ceph_wire::{Message, WireError, kind};
use errno::Errno;

use crate::cluster::{Cluster, Refusal};
use crate::commands::{self, Request};
use crate::pool_ops;

/// Start of the names that only the monitor has.
const PREFIX: &str = "mon.";

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its names, the general one first: `mon.command`, `mon.osd_blocklist_add`, `blocklist_add`.
    pub names: Vec<String>,
    /// Whether its answer can say an error.
    pub can_fail: bool,
}

/// A name of a call to the monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName {
    /// The name.
    pub name: String,
    /// Whether there is an answer to it; what is subscribed to is none.
    pub is_answered: bool,
    /// Whether the answer can say an error.
    pub can_fail: bool,
}

/// Messages that are no commands and no pool ops: their names, and whether there is an answer to them.
const PLAIN: [(u16, &str, bool); 5] = [
    (kind::MON_GET_MAP, "mon.get_map", true),
    (kind::MON_SUBSCRIBE, "mon.subscribe", false),
    (kind::MON_GET_VERSION, "mon.get_version", true),
    (kind::STATFS, "mon.statfs", true),
    (kind::GETPOOLSTATS, "mon.get_pool_stats", true),
];

const COMMAND: &str = "mon.command";
const POOL_OP: &str = "mon.pool_op";

/// Changes of pools by Ceph's names, and those of the OSD's calls that do the same.
const POOL_OPS: [(u32, &str, Option<&str>); 6] = [
    (op::CREATE, "mon.pool_op_create", None),
    (op::DELETE, "mon.pool_op_delete", None),
    (op::CREATE_SNAP, "mon.pool_op_create_snap", None),
    (op::DELETE_SNAP, "mon.pool_op_delete_snap", None),
    (op::CREATE_UNMANAGED_SNAP, "mon.pool_op_create_unmanaged_snap", Some("allocate_snap_id")),
    (op::DELETE_UNMANAGED_SNAP, "mon.pool_op_delete_unmanaged_snap", Some("remove_snap_id")),
];

/// The command that does what the OSD's call does.
const FENCE: (&str, &str) = ("osd blocklist add", "blocklist_add");

/// The names of what is sent to who subscribes to it.
pub const MAPS: [&str; 5] = ["osdmap", "monmap", "mgrmap", "config", "log"];

/// Bytes of what is taken for the words of a command.
const WORDS_BYTES_MAX: usize = 100;

/// Every name that only the monitor of such a cluster has.
pub fn call_names<C: Cluster>() -> Vec<CallName> {
    let of = |name: String, is_answered, can_fail| CallName { name, is_answered, can_fail };
    let plain = PLAIN.into_iter().map(|(_, name, is_answered)| of(name.to_owned(), is_answered, false));
    let general = [COMMAND, POOL_OP].map(|name| of(name.to_owned(), true, true));
    let pool_ops = POOL_OPS.into_iter().map(|(_, name, _)| of(name.to_owned(), true, true));
    let commands = commands::words::<C>().into_iter().map(|words| of(command_name(&words), true, true));
    plain.chain(general).chain(pool_ops).chain(commands).collect()
}

impl Call {
    /// `None` for what the monitor does not answer to.
    pub fn of(message: &Message) -> Result<Option<Self>, WireError> {
        let failing = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            Some(Self { names, can_fail: true })
        };
        Ok(match message.kind {
            kind::MON_COMMAND => {
                let MonCommand { command, .. } = message.read()?;
                let said = Request::parse(&command.concat()).ok().map(|request| request.words());
                let name = said.as_deref().filter(|words| words.len() <= WORDS_BYTES_MAX);
                let own = name.map(command_name);
                let of_osd = name.filter(|&said| said == FENCE.0).map(|_| FENCE.1);
                let names = [Some(COMMAND), own.as_deref(), of_osd];
                failing(&names.into_iter().flatten().collect::<Vec<_>>())
            }
            kind::POOLOP => {
                let PoolOp { op, .. } = message.read()?;
                let known = POOL_OPS.into_iter().find(|(number, ..)| *number == op);
                let names =
                    [Some(POOL_OP), known.map(|(_, name, _)| name), known.and_then(|(.., of_osd)| of_osd)];
                failing(&names.into_iter().flatten().collect::<Vec<_>>())
            }
            kind => PLAIN
                .into_iter()
                .find(|(number, ..)| *number == kind)
                .map(|(_, name, _)| Self { names: vec![name.to_owned()], can_fail: false }),
        })
    }
}

/// The answer to a message that says an error; `None` where an answer cannot. A pool op names the map that it was refused under.
pub fn refuse(message: &Message, errno: Errno, text: &str, epoch: u32) -> Result<Option<Message>, WireError> {
    Ok(match message.kind {
        kind::MON_COMMAND => {
            let MonCommand { command, .. } = message.read()?;
            let (result, status) = (errno.result(), text.to_owned());
            Some(Message::of(message.tid, &MonCommandAck { paxos: Paxos, result, status, command }))
        }
        kind::POOLOP => {
            let PoolOp { fsid, .. } = message.read()?;
            Some(Message::of(message.tid, &pool_ops::reply(fsid, epoch, Err(Refusal::new(errno, text)))))
        }
        _ => None,
    })
}

/// A command as rules name it.
fn command_name(words: &str) -> String {
    format!("{PREFIX}{}", words.replace([' ', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn names(command: &'static str) -> Vec<String> {
        let command = vec![Bytes::from_static(command.as_bytes())];
        let asks = MonCommand { paxos: Paxos, fsid: [0; 16], command };
        Call::of(&Message::of(1, &asks)).expect("it decodes").expect("it is a call").names
    }

    /// Old clients spell it differently.
    #[test]
    fn a_command_has_the_names_of_its_words_and_of_the_call_that_does_the_same() {
        let fence = ["mon.command", "mon.osd_blocklist_add", "blocklist_add"];
        assert_eq!(names(r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"1.2.3.4:0/7"}"#), fence);
        assert_eq!(names(r#"{"prefix":"osd blacklist","blacklistop":"add","addr":"1.2.3.4:0/7"}"#), fence);
        assert_eq!(names(r#"{"prefix":"config-key ls"}"#), ["mon.command", "mon.config_key_ls"]);
        assert_eq!(names("garbage"), ["mon.command"]);
    }
}
