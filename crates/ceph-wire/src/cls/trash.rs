use crate::Utime;

numbered! {
    /// Who put an image into the trash.
    TrashSource: u8 {
        /// Its user.
        User = 0,
        /// Mirroring.
        Mirroring = 1,
        /// A migration.
        Migration = 2,
        /// A removal that is under way.
        Removing = 3,
        /// Its user, and it has clones.
        UserParent = 4,
    }

    /// What becomes of an image in the trash.
    TrashState: u8 {
        /// Nothing.
        Normal = 0,
        /// It is on the way in.
        Moving = 1,
        /// It is removed.
        Removing = 2,
        /// It is on the way out.
        Restoring = 3,
    }
}

records! {
    /// An image in the trash.
    #[derive(Eq)]
    TrashImageSpec version 2, 1 {
        /// Who put it there.
        source: TrashSource,
        /// The name it had.
        name: String,
        /// Since when it is there.
        deleted: Utime,
        /// Until when it is not removed.
        deferred_until: Utime,
        /// What becomes of it.
        state: TrashState,
    }
}
