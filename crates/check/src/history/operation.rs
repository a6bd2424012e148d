//! What is asked of images: one table.

/// What is known of an operation wherever it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its `op` in a history file, e.g. "snap_create".
    pub name: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// Who carries it out.
    pub place: Place,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes of an image.
    Io,
    /// The image itself: what there is of it, and what it is called.
    Maintenance,
    /// Who has it open, and who holds its lock.
    Access,
}

/// Who carries an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Whoever asks, without the lock.
    Anywhere,
    /// Whoever asks, and takes the lock for it.
    Holder,
    /// The lock's owner: it is forwarded, and has an entry in `rbd_protocol::Operation::TABLE`, or is made of those that have.
    Owner,
}

macro_rules! operations {
    ($(
        $(#[doc = $what:literal])+
        $operation:ident $({ $($(#[$of:meta])+ $field:ident: $type:ty),+ $(,)? })?
        = ($name:literal, $kind:ident, $place:ident),
    )+) => {
        /// What is asked. Offsets, lengths and sizes are in bytes and multiples of the block size.
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum Operation {
            $(
                $(#[doc = $what])+
                #[serde(rename = $name)]
                $operation $({ $($(#[$of])+ $field: $type),+ })?,
            )+
        }

        impl Operation {
            /// All of them.
            pub const TABLE: &'static [Entry] =
                &[$(Entry { name: $name, kind: Kind::$kind, place: Place::$place }),+];

            /// What the table says of it.
            pub const fn entry(&self) -> Entry {
                match self {
                    $(Self::$operation { .. } => {
                        Entry { name: $name, kind: Kind::$kind, place: Place::$place }
                    })+
                }
            }
        }
    };
}

operations! {
    /// Reads a range of HEAD or of a snapshot.
    Read {
        /// Where it begins.
        offset: u64,
        /// How much.
        length: u64,
        /// Name of the snapshot; absent = HEAD.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snap: Option<String>,
    } = ("read", Io, Anywhere),

    /// Fills every block of a range with the tag.
    Write {
        /// Where it begins.
        offset: u64,
        /// How much.
        length: u64,
        /// Above 0, no other write of the history has it.
        tag: u64,
    } = ("write", Io, Holder),

    /// Makes a range read as zeros.
    Discard {
        /// Where it begins.
        offset: u64,
        /// How much.
        length: u64,
    } = ("discard", Io, Holder),

    /// Answers when earlier writes have ended.
    Flush = ("flush", Io, Holder),

    /// Makes the image.
    Create {
        /// Its size.
        size: u64,
    } = ("create", Maintenance, Anywhere),

    /// Makes the image from another's snapshot.
    Clone {
        /// The other image.
        parent: String,
        /// Name of its snapshot.
        snap: String,
    } = ("clone", Maintenance, Anywhere),

    /// Takes a snapshot.
    SnapCreate {
        /// Its name.
        snap: String,
    } = ("snap_create", Maintenance, Owner),

    /// Removes a snapshot.
    SnapRemove {
        /// Its name.
        snap: String,
    } = ("snap_remove", Maintenance, Owner),

    /// Gives a snapshot another name.
    SnapRename {
        /// Its name.
        snap: String,
        /// The new name.
        to: String,
    } = ("snap_rename", Maintenance, Anywhere),

    /// Removes all snapshots that are not protected.
    SnapPurge = ("snap_purge", Maintenance, Owner),

    /// Keeps a snapshot from being removed, so that it can be cloned.
    SnapProtect {
        /// Its name.
        snap: String,
    } = ("snap_protect", Maintenance, Anywhere),

    /// Takes that back.
    SnapUnprotect {
        /// Its name.
        snap: String,
    } = ("snap_unprotect", Maintenance, Anywhere),

    /// Makes HEAD what a snapshot is.
    SnapRollback {
        /// Its name.
        snap: String,
    } = ("snap_rollback", Maintenance, Holder),

    /// Removes the image.
    Remove = ("remove", Maintenance, Holder),

    /// Gives the image another name.
    Rename {
        /// The new name.
        to: String,
    } = ("rename", Maintenance, Owner),

    /// Changes the size; blocks beyond it are zero afterwards.
    Resize {
        /// The new size.
        size: u64,
    } = ("resize", Maintenance, Owner),

    /// Detaches the image from its parent.
    Flatten = ("flatten", Maintenance, Owner),

    /// Takes the exclusive lock.
    Acquire = ("acquire", Access, Holder),

    /// Gives the exclusive lock away.
    Release = ("release", Access, Anywhere),

    /// Opens the image anew, as a new instance.
    Reopen = ("reopen", Access, Anywhere),
}

impl Operation {
    /// Offset and length of a read, write or discard.
    pub fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Read { offset, length, .. }
            | Self::Write { offset, length, .. }
            | Self::Discard { offset, length } => Some((*offset, *length)),
            _ => None,
        }
    }

    /// The snapshot that it needs.
    pub fn snapshot(&self) -> Option<&str> {
        match self {
            Self::Read { snap, .. } => snap.as_deref(),
            Self::SnapRemove { snap }
            | Self::SnapRename { snap, .. }
            | Self::SnapProtect { snap }
            | Self::SnapUnprotect { snap }
            | Self::SnapRollback { snap }
            | Self::Clone { snap, .. } => Some(snap),
            _ => None,
        }
    }

    /// The snapshot that it is about, also one that it makes.
    pub(super) fn snapshot_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Read { snap, .. } => snap.as_mut(),
            Self::SnapCreate { snap }
            | Self::SnapRemove { snap }
            | Self::SnapRename { snap, .. }
            | Self::SnapProtect { snap }
            | Self::SnapUnprotect { snap }
            | Self::SnapRollback { snap }
            | Self::Clone { snap, .. } => Some(snap),
            _ => None,
        }
    }

    /// What tells it from others of its name, as far as the log says of their commits.
    pub(crate) fn argument(&self) -> Option<String> {
        match self {
            Self::SnapCreate { snap } | Self::SnapRemove { snap } => Some(snap.clone()),
            Self::Resize { size } => Some(size.to_string()),
            Self::Rename { to } => Some(to.clone()),
            _ => None,
        }
    }

    /// Whether it is done by the lock's owner, its caller or another.
    pub(crate) fn needs_the_lock(&self) -> bool {
        self.entry().place != Place::Anywhere
    }

    /// Whether it makes an image.
    pub fn makes_an_image(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Clone { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_forwarded_is_what_the_protocol_forwards() {
        let owners = Operation::TABLE.iter().filter(|entry| entry.place == Place::Owner);
        // A purge is a removal of each snapshot.
        let here: BTreeSet<_> = owners.map(|entry| entry.name).filter(|name| *name != "snap_purge").collect();
        let there: BTreeSet<_> = rbd_protocol::Operation::TABLE.iter().map(|entry| entry.name).collect();
        assert_eq!(here, there);
    }
}
