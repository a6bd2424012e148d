use super::NO_POOL;

numbered! {
    /// Whether an image's membership is known at both ends.
    GroupImageState: u8 {
        /// The image knows its group, too.
        Attached = 0,
        /// On the way in or out.
        Incomplete = 1,
    }

    /// Whether a group's snapshot has all its parts.
    GroupSnapshotState: u8 {
        /// Some may be missing.
        Incomplete = 0,
        /// It has.
        Complete = 1,
    }
}

records! {
    /// Which group.
    #[derive(Eq)]
    GroupSpec version 1, 1 {
        /// Its pool; [`NO_POOL`] = there is none.
        pool: i64,
        /// Its id.
        group_id: String,
    }

    /// An image in a group. The pool comes last.
    #[derive(Eq, PartialOrd, Ord)]
    GroupImageSpec version 1, 1 {
        /// Id of the image.
        image_id: String,
        /// Its pool.
        pool: i64,
    }

    /// An image in a group, and how far in it is.
    #[derive(Eq)]
    GroupImageStatus version 1, 1 {
        /// Which one.
        spec: GroupImageSpec,
        /// How far.
        state: GroupImageState,
    }

    /// One image's snapshot in a snapshot of its group.
    #[derive(Eq)]
    ImageSnapshotSpec version 1, 1 {
        /// The image's pool.
        pool: i64,
        /// Id of the image.
        image_id: String,
        /// Id of the snapshot.
        snap_id: u64,
    }

    /// A snapshot of a group.
    #[derive(Eq)]
    GroupSnapshot version 1, 1 {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Whether it is whole.
        state: GroupSnapshotState,
        /// Its parts.
        snapshots: Vec<ImageSnapshotSpec>,
    }
}

impl GroupSpec {
    /// What an image without a group has.
    pub fn none() -> Self {
        Self { pool: NO_POOL, group_id: String::new() }
    }
}
