//! The maintenance operations that whoever owns the lock runs for everybody: one table.

/// What is known of an operation wherever it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// As calls, events, histories and logs name it, e.g. "snap_create".
    pub name: &'static str,
    /// Name of its message in `rbd.v1`, e.g. "SnapCreatePayload".
    pub message: &'static str,
    /// Number of its payload in `rbd.v1.NotifyMessage`.
    pub payload: u32,
    /// The op that makes it true, in an op vector of the header; of a renaming, in one of the directory.
    pub commit: &'static str,
    /// Names of the operations that do not run beside it at their owner, its own included (facts 5.5).
    pub apart_from: &'static [&'static str],
}

/// The table. What has a line for each operation is made from it: `then!` is handed the whole of it.
#[macro_export]
macro_rules! for_each_operation {
    ($then:ident) => {
        $then! {
            /// Copy everything from the parent and detach it.
            Flatten = ("flatten", FlattenPayload 7, commit "rbd.parent_detach", apart from ["flatten"]),

            /// Change the size. It cuts objects before the header says so: no snapshot is taken of what is cut in part.
            Resize {
                /// Bytes.
                size: u64,
                /// False: a smaller size is EINVAL.
                allow_shrink: bool,
            } = ("resize", ResizePayload 8, commit "rbd.set_size", apart from ["resize", "snap_create"]),

            /// Create a snapshot.
            SnapCreate {
                /// Its name.
                name: String,
            } = ("snap_create", SnapCreatePayload 9, commit "rbd.snapshot_add", apart from ["snap_create"]),

            /// Remove a snapshot.
            SnapRemove {
                /// Its name.
                name: String,
            } = ("snap_remove", SnapRemovePayload 10, commit "rbd.snapshot_remove", apart from ["snap_remove"]),

            /// Give the image another name in its pool.
            Rename {
                /// The name that it is to have.
                name: String,
            } = ("rename", RenamePayload 15, commit "rbd.dir_rename_image", apart from ["rename"]),
        }
    };
}

macro_rules! define {
    ($(
        $(#[doc = $what:literal])+
        $operation:ident $({ $($(#[doc = $of:literal])+ $field:ident: $type:ty),+ $(,)? })?
        = ($name:literal, $message:ident $payload:literal, commit $commit:literal, apart from $apart_from:expr),
    )+) => {
        /// The maintenance operations that can be forwarded.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(
                $(#[doc = $what])+
                $operation $({ $($(#[doc = $of])+ $field: $type),+ })?,
            )+
        }

        impl Operation {
            /// All of them.
            pub const TABLE: &'static [Entry] = &[$(define!(@entry $name $message $payload $commit $apart_from)),+];

            /// What the table says of it.
            pub const fn entry(&self) -> Entry {
                match self {
                    $(Self::$operation { .. } => define!(@entry $name $message $payload $commit $apart_from),)+
                }
            }

            /// Its arguments as they are read: "size 4096, allow_shrink true".
            pub fn arguments(&self) -> String {
                match self {
                    $(Self::$operation $({ $($field),+ })? => {
                        let arguments: &[String] = &[$($(format!("{} {:?}", stringify!($field), $field)),+)?];
                        arguments.join(", ")
                    })+
                }
            }
        }
    };
    (@entry $name:literal $message:ident $payload:literal $commit:literal $apart_from:expr) => {
        Entry {
            name: $name,
            message: stringify!($message),
            payload: $payload,
            commit: $commit,
            apart_from: &$apart_from,
        }
    };
}

for_each_operation!(define);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_operation_runs_apart_from_itself() {
        for entry in Operation::TABLE {
            assert!(entry.apart_from.contains(&entry.name), "{entry:?}");
        }
    }

    #[test]
    fn no_two_operations_share_a_name_or_a_payload() {
        let names: BTreeSet<_> = Operation::TABLE.iter().map(|entry| entry.name).collect();
        let payloads: BTreeSet<_> = Operation::TABLE.iter().map(|entry| entry.payload).collect();
        assert_eq!((names.len(), payloads.len()), (Operation::TABLE.len(), Operation::TABLE.len()));
        let resize = Operation::Resize { size: 4, allow_shrink: false };
        assert_eq!((resize.entry().name, resize.entry().payload), ("resize", 8));
    }
}
