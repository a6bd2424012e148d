//! Mistakes on purpose: the proof that the checks can fail.
//!
//! Each [`Mistake`] spoils one decision of the protocol, in a few lines at the place of that decision. They are compiled in by
//! the feature `on` only, and one of them is chosen at run time by its name; without the feature [`is`] is `false` for the
//! compiler, and nothing remains of them.

macro_rules! mistakes {
    ($($(#[doc = $what:literal])+ $mistake:ident = $name:literal,)*) => {
        /// What can be done wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[doc = $what])+ $mistake,)*
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$mistake,)*];

            /// As it is chosen by.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mistake => $name,)*
                }
            }

            /// What is done wrong.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$mistake => concat!($($what,)+).trim_ascii(),)*
                }
            }
        }
    };
}

mistakes! {
    /// Flatten commits without closing the gate, and copy-ups of the state before it go on.
    CommitUnderIo = "commit-under-io",
    /// Flatten takes the child's entry away before the header lets the parent go.
    DetachIndexFirst = "detach-index-first",
    /// An image can be opened by its name before the directory has it.
    NameBeforeDirectory = "name-before-directory",
    /// Closing an image does not wait for what its owner has begun.
    OwnerTaskUntracked = "owner-task-untracked",
    /// A lock owner counts as dead when nobody watches under the handle of its cookie.
    FenceByCookie = "fence-by-cookie",
    /// A protection status is written over whatever another client has written meanwhile.
    ProtectUnguarded = "protect-unguarded",
    /// An operation is refused by what its cache says of the snapshots.
    DecideByCache = "decide-by-cache",
    /// A flatten fails when another one was faster.
    SecondFlattenFails = "second-flatten-fails",
    /// The lock of a dead owner is broken, and the owner is not fenced.
    SkipFence = "skip-fence",
    /// A snapshot is taken while writes are under way.
    SnapshotUndrained = "snapshot-undrained",
    /// Shrinking an image removes one object too many.
    TrimTooFar = "trim-too-far",
    /// A request whose number is the low-water mark counts as one that has ended.
    WatermarkOffByOne = "watermark-off-by-one",
    /// An owner runs a request again that a former owner has committed.
    ForgetCommitted = "forget-committed",
    /// A requester tells its caller of a refusal while an owner may still carry the request out.
    RefuseUnwithdrawn = "refuse-unwithdrawn",
    /// Who has just made an image counts as dead because it does not watch the directory any more.
    FenceMaker = "fence-maker",
    /// Who gives the lock away does not say so.
    ReleaseUntold = "release-untold",
    /// An owner does not tell the requester that its operation has ended.
    EndUntold = "end-untold",
    /// The lock is given away while writes are under way.
    ReleaseUndrained = "release-undrained",
    /// A request that was sent to an owner leaves no record.
    CommitUnrecorded = "commit-unrecorded",
    /// A write goes to a missing object without the rest of it from the parent.
    WriteWithoutCopyup = "write-without-copyup",
    /// A write does not say which snapshots there are.
    WriteWithoutSnapshots = "write-without-snapshots",
    /// A discarded object of a clone is removed, and the parent shines through.
    DiscardExposesParent = "discard-exposes-parent",
    /// Shrinking a clone removes objects, and the parent shines through when it grows again.
    TrimExposesParent = "trim-exposes-parent",
    /// A flatten leaves out the last object.
    FlattenTooShort = "flatten-too-short",
    /// A flatten leaves the child in its parent's list.
    ChildLeftInList = "child-left-in-list",
    /// Shrinking changes no object.
    ShrinkUntrimmed = "shrink-untrimmed",
}

/// The environment variable that names the mistake to make.
pub const VARIABLE: &str = "RBD_SIM_PLANTED";

#[cfg(feature = "on")]
mod chosen {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Mistake;

    /// Position in [`Mistake::ALL`] plus one; 0 = none.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Makes this mistake from here on, in the whole process; none with `None`.
    pub fn plant(mistake: Option<Mistake>) {
        let position = Mistake::ALL.iter().position(|&known| Some(known) == mistake);
        CHOSEN.store(position.map_or(0, |position| position + 1), Ordering::Relaxed);
    }

    /// Makes the mistake that [`VARIABLE`](super::VARIABLE) names. An unknown name is an error that lists the known ones.
    pub fn plant_from_environment() -> Result<(), String> {
        let Ok(name) = std::env::var(super::VARIABLE) else { return Ok(()) };
        match Mistake::ALL.iter().find(|mistake| mistake.name() == name) {
            Some(&mistake) => {
                plant(Some(mistake));
                Ok(())
            }
            None => {
                let names: Vec<_> = Mistake::ALL.iter().map(|mistake| mistake.name()).collect();
                Err(format!("{}: there is no mistake {name:?}: {}", super::VARIABLE, names.join(", ")))
            }
        }
    }

    /// Whether this mistake is to be made.
    pub fn is(mistake: Mistake) -> bool {
        let chosen = CHOSEN.load(Ordering::Relaxed);
        chosen > 0 && Mistake::ALL[chosen - 1] == mistake
    }
}

#[cfg(feature = "on")]
pub use chosen::{is, plant, plant_from_environment};

/// Whether this mistake is to be made: never in this build.
#[cfg(not(feature = "on"))]
pub const fn is(_: Mistake) -> bool {
    false
}

/// No mistake can be made in this build: naming one is an error that says how to build.
#[cfg(not(feature = "on"))]
pub fn plant_from_environment() -> Result<(), String> {
    match std::env::var_os(VARIABLE) {
        None => Ok(()),
        Some(_) => Err(format!("{VARIABLE} is set, but this program is built without --features planted/on")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Mistake;

    #[test]
    fn every_mistake_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Mistake::ALL.iter().map(|mistake| mistake.name()).collect();
        assert_eq!(names.len(), Mistake::ALL.len());
    }

    #[cfg(feature = "on")]
    #[test]
    fn one_mistake_at_a_time_is_made() {
        super::plant(Some(Mistake::FenceByCookie));
        let made: Vec<_> = Mistake::ALL.iter().filter(|&&mistake| super::is(mistake)).collect();
        assert_eq!(made, [&Mistake::FenceByCookie]);
        super::plant(None);
        assert!(!Mistake::ALL.iter().any(|&mistake| super::is(mistake)));
    }
}
