//! What Ceph's librbd clients that have an image open say to each other by notifies on its header object.

use crate::cls::SnapshotNamespace;
use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// The version that Pacific and later write. Octopus writes 6: without the fields that came later.
const VERSION: u8 = 7;

records! {
    /// An image that somebody has open.
    #[derive(Copy, Default, Eq, PartialOrd, Ord)]
    ClientId {
        /// Who, by global id.
        gid: u64,
        /// Which one of his: the handle of his watch.
        handle: u64,
    }

    /// A request that the owner of the exclusive lock is asked to carry out.
    #[derive(Copy, Default, Eq, PartialOrd, Ord)]
    AsyncRequestId {
        /// Who asks.
        client: ClientId,
        /// Which one of his.
        request: u64,
    }

    /// The answer to a notify; one without bytes says nothing.
    #[derive(Copy, Eq)]
    ResponseMessage version 1, 1 {
        /// 0, or an error as a negative number.
        result: i32,
    }
}

/// Kinds of notifies: their numbers and fields, and behind a `+` those that version 7 added.
macro_rules! messages {
    ($($(#[$meta:meta])* $name:ident = $op:literal {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    } $(+ {
        $($(#[$later_meta:meta])* $later:ident: $later_type:ty,)*
    })?)*) => {
        /// What a notify says.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum NotifyMessage {
            $($(#[$meta])* $name {
                $($(#[$field_meta])* $field: $type,)*
                $($($(#[$later_meta])* $later: $later_type,)*)?
            },)*
        }

        impl NotifyMessage {
            /// Names of all kinds, by their numbers from 0.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($name),)*];

            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name),)* }
            }

            /// The number of its kind.
            pub const fn number(&self) -> u32 {
                match self { $(Self::$name { .. } => $op,)* }
            }

            #[allow(unused_variables, reason = "a message may be without fields")]
            fn put_payload(&self, out: &mut Writer) {
                self.number().put(out);
                match self {
                    $(Self::$name { $($field,)* $($($later,)*)? } => {
                        $($field.put(out);)*
                        $($($later.put(out);)*)?
                    })*
                }
            }

            #[allow(unused_variables, reason = "a message may be without fields")]
            fn take_payload(from: &mut Reader<'_>, version: u8) -> Result<Self, WireError> {
                let op = u32::take(from)?;
                match op {
                    $($op => Ok(Self::$name {
                        $($field: Wire::take(from).map_err(|error: WireError| {
                            error.at(concat!(stringify!($name), ".", stringify!($field)))
                        })?,)*
                        $($($later: match version {
                            ..VERSION => <$later_type>::default(),
                            _ => Wire::take(from).map_err(|error: WireError| {
                                error.at(concat!(stringify!($name), ".", stringify!($later)))
                            })?,
                        },)*)?
                    }),)*
                    op => Err(WireError::new(Problem::Unknown(op.into()))),
                }
            }
        }

        #[cfg(test)]
        impl crate::sample::Sample for NotifyMessage {
            fn sample(draw: &mut crate::sample::Draw<'_>) -> Self {
                use crate::sample::Sample;
                let drawn = usize::from(u8::sample(draw)) % Self::KINDS.len();
                match Self::KINDS[drawn] {
                    $(stringify!($name) => Self::$name {
                        $($field: Sample::sample(draw),)*
                        $($($later: Sample::sample(draw),)*)?
                    },)*
                    kind => unreachable!("{kind} is listed"),
                }
            }
        }
    };
}

messages! {
    /// The sender owns the exclusive lock.
    AcquiredLock = 0 {
        /// The sender.
        client: ClientId,
    }
    /// The sender owns the exclusive lock no longer.
    ReleasedLock = 1 {
        /// The sender.
        client: ClientId,
    }
    /// The owner is asked for the lock.
    RequestLock = 2 {
        /// The sender.
        client: ClientId,
        /// Whether he has to give it.
        is_forced: bool,
    }
    /// The header was changed.
    HeaderUpdate = 3 {}
    /// The owner is so far with a request.
    AsyncProgress = 4 {
        /// Which one.
        request: AsyncRequestId,
        /// So much is done.
        offset: u64,
        /// Of so much.
        total: u64,
    }
    /// The owner is done with a request.
    AsyncComplete = 5 {
        /// Which one.
        request: AsyncRequestId,
        /// 0, or an error as a negative number.
        result: i32,
    }
    /// The image is to become independent of its parent.
    Flatten = 6 {
        /// The request.
        request: AsyncRequestId,
    }
    /// The image is to have another size.
    Resize = 7 {
        /// Bytes.
        size: u64,
        /// The request.
        request: AsyncRequestId,
        /// Whether it may become smaller.
        allow_shrink: bool,
    }
    /// A snapshot is to be made.
    SnapCreate = 8 {
        /// Its name.
        name: String,
        /// What it is for.
        namespace: SnapshotNamespace,
    } + {
        /// The request.
        request: AsyncRequestId,
        /// 1 = whoever writes is not asked to pause; 2 = it is made also if that fails.
        flags: u64,
    }
    /// A snapshot is to be removed.
    SnapRemove = 9 {
        /// Its name.
        name: String,
        /// What it is for.
        namespace: SnapshotNamespace,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// The object map is to be made anew.
    RebuildObjectMap = 10 {
        /// The request.
        request: AsyncRequestId,
    }
    /// A snapshot is to have another name.
    SnapRename = 11 {
        /// Its id.
        snap_id: u64,
        /// The other name.
        name: String,
        /// What it is for.
        namespace: SnapshotNamespace,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// A snapshot is to be protected from removal.
    SnapProtect = 12 {
        /// Its name.
        name: String,
        /// What it is for.
        namespace: SnapshotNamespace,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// A snapshot is to be removable again.
    SnapUnprotect = 13 {
        /// Its name.
        name: String,
        /// What it is for.
        namespace: SnapshotNamespace,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// The image is to have another name.
    Rename = 14 {
        /// The other name.
        name: String,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// Features are to be enabled or disabled.
    UpdateFeatures = 15 {
        /// Their bits.
        features: u64,
        /// Which of both.
        is_enabled: bool,
    } + {
        /// The request.
        request: AsyncRequestId,
    }
    /// The data is to be copied to where a migration brings the image.
    Migrate = 16 {
        /// The request.
        request: AsyncRequestId,
    }
    /// Ranges of zeros are to give their room back.
    Sparsify = 17 {
        /// The request.
        request: AsyncRequestId,
        /// Bytes of the ranges.
        sparse_size: u64,
    }
    /// Whoever writes is asked to pause.
    Quiesce = 18 {
        /// The request.
        request: AsyncRequestId,
    }
    /// Whoever paused may go on.
    Unquiesce = 19 {
        /// The request.
        request: AsyncRequestId,
    }
    /// A pair of the image's metadata is to be changed.
    MetadataUpdate = 20 {
        /// Its key.
        key: String,
        /// Its value; none = it is to be removed.
        value: Option<String>,
        /// The request.
        request: AsyncRequestId,
    }
}

impl Wire for NotifyMessage {
    fn put(&self, out: &mut Writer) {
        out.versioned(VERSION, 1, |out| self.put_payload(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        from.versioned(VERSION, Self::take_payload).map_err(|error| error.at("NotifyMessage"))
    }
}
