use super::NO_POOL;
use crate::NOSNAP;

records! {
    /// The snapshot that an image was cloned from.
    #[derive(Eq)]
    ParentImageSpec version 1, 1 {
        /// Its pool; [`NO_POOL`] = there is no parent.
        pool: i64,
        /// The pool's namespace.
        namespace: String,
        /// Id of the image.
        image_id: String,
        /// Id of the snapshot.
        snap_id: u64,
    }

    /// An image that was cloned from a snapshot. The namespace comes last.
    #[derive(Eq, PartialOrd, Ord)]
    ChildImageSpec version 2, 1 {
        /// Its pool.
        pool: i64,
        /// Id of the image.
        image_id: String,
        /// The pool's namespace.
        namespace: String,
    }

    /// The parent as an image's header stores it. Since Nautilus only decoders of version 2 may read it.
    #[derive(Eq)]
    ParentRecord version 2, 2 {
        /// The parent's pool.
        pool: i64,
        /// The pool's namespace.
        namespace: String,
        /// Id of the image.
        image_id: String,
        /// Id of the snapshot.
        snap_id: u64,
        /// Bytes of the image that HEAD may still read from it; none once it is flattened.
        head_overlap: Option<u64>,
    }
}

impl ParentImageSpec {
    /// What an image without a parent has.
    pub fn none() -> Self {
        Self { pool: NO_POOL, namespace: String::new(), image_id: String::new(), snap_id: NOSNAP }
    }
}

impl ParentRecord {
    /// The parent without what may be read from it.
    pub fn spec(&self) -> ParentImageSpec {
        let Self { pool, namespace, image_id, snap_id, .. } = self.clone();
        ParentImageSpec { pool, namespace, image_id, snap_id }
    }
}
