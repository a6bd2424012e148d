//! Every op, once: its fields, its name, whether it may change the object, and its rule.
//!
//! Another op is another entry here, its rule in `ops.rs` (or a file of its own), and its message in `osd.proto` with the
//! line of `osd-sim::wire` that the compiler asks for.

use bytes::Bytes;
use store::Name;

use super::Caller;
use super::ops;
use super::payload::Carried;
use super::target::Target;
use crate::cls;
use crate::error::Outcome;
use crate::op::{Dialect, Entries, OpResult};
use crate::text::shown;

macro_rules! ops {
    ($($op:ident { $($field:ident: $type:ty),* } = $name:literal, $kind:ident, $rule:path;)*) => {
        /// One op. The rules and errors of each stand at its message in `osd.proto`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of osd.proto, documented there")]
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
            pub(super) fn payload(&self) -> u64 {
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
    Read { offset: u64, length: u64 } = "read", Reads, ops::read;
    SparseRead { offset: u64, length: u64 } = "sparse_read", Reads, ops::sparse_read;
    Stat {} = "stat", Reads, ops::stat;
    AssertExists {} = "assert_exists", Reads, ops::assert_exists;
    AssertVersion { version: u64 } = "assert_version", Reads, ops::assert_version;
    Write { offset: u64, data: Bytes } = "write", Writes, ops::write;
    WriteFull { data: Bytes } = "write_full", Writes, ops::write_full;
    Truncate { size: u64 } = "truncate", Writes, ops::truncate;
    Zero { offset: u64, length: u64 } = "zero", Writes, ops::zero;
    Create { exclusive: bool } = "create", Writes, ops::create;
    Remove {} = "remove", Writes, ops::remove;
    GetXattr { name: Name } = "get_xattr", Reads, ops::get_xattr;
    ListXattrs {} = "list_xattrs", Reads, ops::list_xattrs;
    SetXattr { name: Name, value: Bytes } = "set_xattr", Writes, ops::set_xattr;
    RemoveXattr { name: Name } = "remove_xattr", Writes, ops::remove_xattr;
    CompareXattr { name: Name, value: Bytes } = "compare_xattr", Reads, ops::compare_xattr;
    OmapList { after: Name, prefix: Name, max: u32 } = "omap_list", Reads, ops::omap_list;
    OmapGet { keys: Vec<Name> } = "omap_get", Reads, ops::omap_get;
    OmapSet { entries: Entries } = "omap_set", Writes, ops::omap_set;
    OmapRemove { keys: Vec<Name> } = "omap_remove", Writes, ops::omap_remove;
    OmapCompare { key: Name, value: Option<Bytes> } = "omap_compare", Reads, ops::omap_compare;
    ListSnaps {} = "list_snaps", Reads, ops::list_snaps;
    Rollback { snap_id: u64 } = "rollback", Writes, ops::rollback;
}
