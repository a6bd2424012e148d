//! Every op, once: its fields, its name, whether it may change the object, and its rule.
//!
//! Another op is another entry here, its rule in `ops` (or a file of its own), and, if our own clients are to have it, its
//! message in `osd.proto` with the line of `osd-sim::wire`. An op that only Ceph's clients have has Ceph's name.

use bytes::Bytes;
use store::Name;

use super::Caller;
use super::comparison::{Assertions, Comparison, Operand};
use super::ops::checksum::{self, Checksum};
use super::ops::copy_from::{self, Source};
use super::ops::{self, data, object, omap, xattrs};
use super::payload::Carried;
use super::target::Target;
use crate::Millis;
use crate::around::ops as around;
use crate::cls;
use crate::error::Outcome;
use crate::op::{Dialect, Entries, OpResult};
use crate::text::shown;

macro_rules! ops {
    ($($op:ident { $($field:ident: $type:ty),* } = $name:literal, $kind:ident, $rule:path;)*) => {
        /// One op. The rules and errors of each stand at its message in `osd.proto`; where it has none, at its rule.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of osd.proto or of RADOS' op, documented there")]
        pub enum Op {
            $($op { $($field: $type),* },)*
            /// A method of an object class.
            Exec { class: String, method: String, dialect: Dialect, input: Bytes },
        }

        /// Names of ops that are no class's methods.
        pub(super) const OWN_NAMES: &[&str] = &[$($name,)*];

        impl Op {
            /// In short: "write", "rbd.get_header".
            pub fn name(&self) -> String {
                match self {
                    $(Self::$op { .. } => $name.to_owned(),)*
                    Self::Exec { class, method, .. } => format!("{}.{}", shown(class), shown(method)),
                }
            }

            /// Whether it may change the object. False for classes and methods that are not known.
            pub fn mutates(&self) -> bool {
                match self {
                    $(Self::$op { .. } => Kind::$kind == Kind::Writes,)*
                    Self::Exec { class, method, dialect, .. } => {
                        cls::method(class, method, *dialect).is_ok_and(|method| method.mutates())
                    }
                }
            }

            /// How many bytes of payload it carries.
            pub fn payload(&self) -> u64 {
                match self {
                    $(Self::$op { $($field),* } => 0 $(+ $field.bytes())*,)*
                    Self::Exec { input, .. } => input.bytes(),
                }
            }

            /// Carries it out.
            pub(super) fn execute(&self, target: &mut Target<'_>, caller: &Caller<'_>) -> Outcome<OpResult> {
                match self {
                    $(Self::$op { $($field),* } => $rule(target, $($field),*),)*
                    Self::Exec { class, method, dialect, input } => {
                        ops::exec(target, caller, class, method, *dialect, input)
                    }
                }
            }
        }
    };
}

#[derive(PartialEq)]
enum Kind {
    Reads,
    Writes,
}

ops! {
    Read { offset: u64, length: u64 } = "read", Reads, data::read;
    SparseRead { offset: u64, length: u64 } = "sparse_read", Reads, data::sparse_read;
    CompareExtent { offset: u64, data: Bytes } = "cmpext", Reads, data::compare_extent;
    Checksum { kind: Checksum, offset: u64, length: u64, chunk: u32 } = "checksum", Reads, checksum::checksum;
    Stat {} = "stat", Reads, object::stat;
    AssertExists {} = "assert_exists", Reads, object::assert_exists;
    AssertVersion { version: u64 } = "assert_version", Reads, object::assert_version;
    Write { offset: u64, data: Bytes } = "write", Writes, data::write;
    WriteFull { data: Bytes } = "write_full", Writes, data::write_full;
    WriteSame { offset: u64, length: u64, data: Bytes } = "writesame", Writes, data::write_same;
    Append { data: Bytes } = "append", Writes, data::append;
    Truncate { size: u64 } = "truncate", Writes, data::truncate;
    Zero { offset: u64, length: u64 } = "zero", Writes, data::zero;
    CopyFrom { source: Source, version: u64 } = "copy_from", Writes, copy_from::copy_from;
    Create { exclusive: bool } = "create", Writes, object::create;
    SetAllocHint {} = "set_alloc_hint", Writes, object::set_alloc_hint;
    Remove {} = "remove", Writes, object::remove;
    GetXattr { name: Name } = "get_xattr", Reads, xattrs::get_xattr;
    ListXattrs {} = "list_xattrs", Reads, xattrs::list_xattrs;
    SetXattr { name: Name, value: Bytes } = "set_xattr", Writes, xattrs::set_xattr;
    RemoveXattr { name: Name } = "remove_xattr", Writes, xattrs::remove_xattr;
    CompareXattr { name: Name, comparison: Comparison, value: Operand } = "compare_xattr", Reads, xattrs::compare_xattr;
    OmapList { after: Name, prefix: Name, max: u32 } = "omap_list", Reads, omap::list;
    OmapKeys { after: Name, max: u32 } = "omap_get_keys", Reads, omap::keys;
    OmapGet { keys: Vec<Name> } = "omap_get", Reads, omap::get;
    OmapSet { entries: Entries } = "omap_set", Writes, omap::set;
    OmapRemove { keys: Vec<Name> } = "omap_remove", Writes, omap::remove;
    OmapRemoveRange { from: Name, to: Name } = "omap_rm_key_range", Writes, omap::remove_range;
    OmapClear {} = "omap_clear", Writes, omap::clear;
    OmapHeader {} = "omap_get_header", Reads, omap::header;
    OmapSetHeader { header: Bytes } = "omap_set_header", Writes, omap::set_header;
    OmapCompare { key: Name, value: Option<Bytes> } = "omap_compare", Reads, omap::compare;
    OmapCompareAll { assertions: Assertions } = "omap_cmp", Reads, omap::compare_all;
    ListSnaps {} = "list_snaps", Reads, object::list_snaps;
    Watch { cookie: u64, timeout: Millis } = "watch", Writes, around::watch;
    Reconnect { cookie: u64 } = "reconnect", Writes, around::reconnect;
    Ping { cookie: u64 } = "ping", Reads, around::ping;
    Unwatch { cookie: u64 } = "unwatch", Writes, around::unwatch;
    Notify { cookie: u64, timeout: Millis, payload: Bytes } = "notify", Reads, around::notify;
    NotifyAck { notify_id: u64, cookie: u64, payload: Bytes } = "notify_ack", Reads, around::notify_ack;
    ListWatchers {} = "list_watchers", Reads, around::list_watchers;
    Rollback { snap_id: u64 } = "rollback", Writes, object::rollback;
    Unsupported { code: u16 } = "unsupported", Writes, object::unsupported;
}
