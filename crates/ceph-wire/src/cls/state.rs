//! What a client asserts of an object.

numbered! {
    /// Whether images may be added to a directory.
    DirectoryState: u8 {
        /// They may.
        Ready = 0,
        /// They may not: its namespace is about to be removed.
        AddDisabled = 1,
    }

    /// How the newest snapshot that an object was written under is to compare to a given one.
    SnapcSeqState: u8 {
        /// It is older.
        Older = 0,
        /// It is the same or newer.
        SameOrNewer = 1,
    }
}
