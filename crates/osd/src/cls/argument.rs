//! What a change is about, for the event log: the part of a method's input that tells one commit from another.

use bytes::Bytes;
use proto::cls::lock::v1 as lock;
use proto::cls::rbd::v1::{
    DirectoryRename, Protection, SetProtectionStatus, SetSize, SnapshotAdd, SnapshotRemove, SnapshotRename,
};

use super::{ceph, protobuf};
use crate::error::Outcome;
use crate::op::{Dialect, Op};
use crate::text::shown;

/// Empty for an op whose name says it all, and for an input that cannot be decoded.
pub(crate) fn argument(op: &Op) -> String {
    let Op::Exec { class, method, dialect, input } = op else { return String::new() };
    let told = match dialect {
        Dialect::Protobuf => of_protobuf(class, method, input),
        Dialect::Ceph => of_ceph(class, method, input),
    };
    told.unwrap_or_default()
}

fn of_protobuf(class: &str, method: &str, input: &Bytes) -> Outcome<String> {
    Ok(match (class, method) {
        ("lock", "assert_locked") => {
            shown(&protobuf::decode::<lock::AssertLocked>(input)?.cookie).into_owned()
        }
        ("rbd", "set_size") => protobuf::decode::<SetSize>(input)?.size.to_string(),
        ("rbd", "snapshot_add") => {
            let SnapshotAdd { id, name, .. } = protobuf::decode(input)?;
            named(&id, &name)
        }
        ("rbd", "snapshot_remove") => protobuf::decode::<SnapshotRemove>(input)?.id.to_string(),
        ("rbd", "snapshot_rename") => {
            let SnapshotRename { id, name } = protobuf::decode(input)?;
            named(&id, &name)
        }
        ("rbd", "dir_rename_image") => {
            let DirectoryRename { id, new_name, .. } = protobuf::decode(input)?;
            named(&id, &new_name)
        }
        ("rbd", "set_protection_status") => {
            let SetProtectionStatus { id, protection, .. } = protobuf::decode(input)?;
            protected(id, protection)
        }
        _ => String::new(),
    })
}

fn of_ceph(class: &str, method: &str, input: &Bytes) -> Outcome<String> {
    Ok(match (class, method) {
        ("lock", "assert_locked") => {
            shown(&ceph::decode::<ceph_wire::cls::AssertLocked>(input)?.cookie).into_owned()
        }
        ("rbd", "set_size" | "snapshot_remove" | "snapshot_trash_add") => {
            ceph::decode::<u64>(input)?.to_string()
        }
        ("rbd", "snapshot_add") => {
            let (name, id): (String, u64) = ceph::decode(input)?;
            named(&id, &name)
        }
        ("rbd", "snapshot_rename") => {
            let (id, name): (u64, String) = ceph::decode(input)?;
            named(&id, &name)
        }
        ("rbd", "dir_rename_image") => {
            let (_, new_name, id): (String, String, String) = ceph::decode(input)?;
            named(&id, &new_name)
        }
        ("rbd", "set_protection_status") => {
            let (id, protection): (u64, u8) = ceph::decode(input)?;
            protected(id, protection.into())
        }
        _ => String::new(),
    })
}

fn named(id: &impl ToString, name: &str) -> String {
    format!("{} {}", shown(&id.to_string()), shown(name))
}

fn protected(id: u64, protection: i32) -> String {
    format!("{id} {}", Protection::try_from(protection).unwrap_or_default().as_str_name())
}
