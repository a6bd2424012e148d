//! What a checker found.

use std::fmt;

macro_rules! rules {
    ($($rule:ident = $name:literal, $text:literal;)*) => {
        /// The rule that was broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $text] $rule,)*
        }

        impl Rule {
            /// Its name in reports, e.g. "two-holders".
            pub const fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }
        }
    };
}

rules! {
    TwoHolders = "two-holders", "The lock was taken while somebody else held it.";
    ForeignRelease = "foreign-release", "The lock was released, broken or renamed at somebody who did not hold it.";
    UnfencedBreak = "unfenced-break", "The lock was broken although its holder was not blocklisted.";
    WriteWithoutLock = "write-without-lock", "A mutating op was applied for a client that never held the lock.";
    WriteAfterLoss = "write-after-loss", "A mutating op was applied for a client that had lost the lock.";
    WriteAfterFence = "write-after-fence", "An op was applied for a blocklisted instance.";
    OtherOpen = "other-open", "A commit was made by another open of the image than the one that holds the lock.";
    NotLinearizable = "not-linearizable", "No order of the ops on a block explains what was read.";
    TornBlock = "torn-block", "A block held parts of more than one write.";
    ShortRead = "short-read", "A read of an image that nobody resized ended early.";
    SearchBound = "search-bound", "The search gave up before it could decide: the history has too much at once.";
    SnapshotChanged = "snapshot-changed", "Two reads of one block of one snapshot differ.";
    SnapshotNotACut = "snapshot-not-a-cut", "A snapshot's block has a value that it cannot have had at the snapshot's creation.";
    SnapshotTorn = "snapshot-torn", "Blocks of a snapshot are not of one moment.";
    NotCommitted = "not-committed", "A maintenance call returned success but nothing was committed while it ran.";
    ErrorAfterCommit = "error-after-commit", "A call was answered with an error, and what it asked for was committed for it.";
    Unexplained = "unexplained", "A commit happened that no call explains: it was done twice, or after its call had ended.";
    FinalState = "final-state", "The final state does not follow from the calls and their answers.";
    ParentChild = "parent-child", "A parent's list of children and a child's parent disagree.";
    LeftOver = "left-over", "Something is still there that nothing explains.";
    Orphan = "orphan", "An object or a snapshot id belongs to no image.";
    Missing = "missing", "A client that has an image open has no session, or does not watch the image.";
    FenceLost = "fence-lost", "A blocklist entry is missing that the event log says is in force.";
    Unfinished = "unfinished", "A call never ended.";
    Late = "late", "A call ended after its bound.";
    ErrorWithoutCause = "error-without-cause", "A call was answered with an error that nothing explains.";
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Sequence number in the OSD's event log.
    Event(u64),
    /// Id of a call in the history.
    Call(u64),
}

/// A broken rule: what, by whom, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The client, instance, image or object that it concerns.
    pub who: String,
    /// The events and calls that show it.
    pub at: Vec<At>,
    /// What happened, for people.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(
        rule: Rule,
        who: impl Into<String>,
        at: impl IntoIterator<Item = At>,
        what: impl Into<String>,
    ) -> Self {
        Self { rule, who: who.into(), at: at.into_iter().collect(), what: what.into() }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(sequence) => write!(f, "event {sequence}"),
            Self::Call(id) => write!(f, "call {id}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule.name(), self.who, self.what)?;
        let places: Vec<_> = self.at.iter().map(ToString::to_string).collect();
        if places.is_empty() { Ok(()) } else { write!(f, " ({})", places.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_what_who_and_when() {
        let found = Violation::new(Rule::TwoHolders, "client 7", [At::Event(12)], "took the lock");
        assert_eq!(found.to_string(), "two-holders: client 7: took the lock (event 12)");
        let found = Violation::new(Rule::Late, "a", [], "ended late");
        assert_eq!(found.to_string(), "late: a: ended late");
    }
}
