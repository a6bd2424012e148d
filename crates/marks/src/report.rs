//! What a run has reached.

use std::fmt;

use crate::Mark;

/// How often each mark was reached, and what is wrong with it. Displayed as docs/marks.md has it.
pub struct Report {
    lines: Vec<String>,
    wrong: Vec<String>,
}

impl Report {
    /// By the hits of each mark.
    pub fn of(hits: impl Fn(Mark) -> u64) -> Self {
        let line =
            |&mark: &Mark| format!("| {} | {} | {} | {} |", mark.group(), mark, hits(mark), mark.row());
        let wrong = |&mark: &Mark| match (mark.is_out_of_reach(), hits(mark)) {
            (None, 0) => Some(format!("{mark} was never reached: {}", mark.row())),
            (Some(_), 0) | (None, _) => None,
            (Some(why), hits) => Some(format!("{mark} was reached {hits} times, though it cannot be: {why}")),
        };
        Self {
            lines: Mark::ALL.iter().map(line).collect(),
            wrong: Mark::ALL.iter().filter_map(wrong).collect(),
        }
    }

    /// Marks that were never reached, and those that were though they are out of reach; empty if all is well.
    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| table | mark | hits | row |")?;
        writeln!(f, "|---|---|---|---|")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_well(mark: Mark) -> u64 {
        u64::from(mark.is_out_of_reach().is_none())
    }

    #[test]
    fn nothing_is_wrong_when_every_mark_within_reach_was_reached_and_no_other() {
        assert!(Report::of(all_well).wrong().is_empty());
    }

    #[test]
    fn a_mark_that_was_never_reached_is_reported() {
        let report = Report::of(|mark| if mark == Mark::LockTaken { 0 } else { all_well(mark) });
        let [wrong] = report.wrong() else { panic!("{:?}", report.wrong()) };
        assert!(wrong.starts_with("LockTaken was never reached"), "{wrong}");
        assert!(report.to_string().contains("| lock | LockTaken | 0 |"), "{report}");
    }

    #[test]
    fn a_mark_out_of_reach_that_was_reached_is_reported() {
        let report = Report::of(|mark| if mark == Mark::LockForeign { 3 } else { all_well(mark) });
        let [wrong] = report.wrong() else { panic!("{:?}", report.wrong()) };
        assert!(wrong.starts_with("LockForeign was reached 3 times, though it cannot be: "), "{wrong}");
    }
}
