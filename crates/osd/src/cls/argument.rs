//! What a change is about, for the event log: the part of a method's input that tells one commit from another.

use prost::Message;
use proto::cls::lock::v1::AssertLocked;
use proto::cls::rbd::v1::{SetProtectionStatus, SetSize, SnapshotAdd, SnapshotRemove, SnapshotRename};

use crate::op::{Dialect, Op};
use crate::text::shown;

/// Empty for an op whose name says it all, and for an input that cannot be decoded.
pub(crate) fn argument(op: &Op) -> String {
    let Op::Exec { class, method, dialect: Dialect::Protobuf, input } = op else { return String::new() };
    let input = input.clone();
    let told = match (class.as_str(), method.as_str()) {
        ("lock", "assert_locked") => {
            AssertLocked::decode(input).map(|input| shown(&input.cookie).into_owned())
        }
        ("rbd", "set_size") => SetSize::decode(input).map(|SetSize { size }| size.to_string()),
        ("rbd", "snapshot_add") => {
            SnapshotAdd::decode(input).map(|input| format!("{} {}", input.id, shown(&input.name)))
        }
        ("rbd", "snapshot_remove") => SnapshotRemove::decode(input).map(|input| input.id.to_string()),
        ("rbd", "snapshot_rename") => {
            SnapshotRename::decode(input).map(|input| format!("{} {}", input.id, shown(&input.name)))
        }
        ("rbd", "set_protection_status") => SetProtectionStatus::decode(input)
            .map(|input| format!("{} {}", input.id, input.protection().as_str_name())),
        _ => return String::new(),
    };
    told.unwrap_or_default()
}
