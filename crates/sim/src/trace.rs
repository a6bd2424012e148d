//! What happened, step by step, as a number and on demand as text.

/// Steps are told in order; two runs are the same when their hashes are.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    steps: u64,
    /// Kept when asked for.
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, lines: keeps_lines.then(Vec::new) }
    }

    /// One step: numbers that say which it was, and what a person reads.
    pub(crate) fn step(&mut self, numbers: &[u64], line: impl FnOnce() -> String) {
        self.steps += 1;
        for number in numbers {
            // As FNV-1a, by words: the same in every process and release. The shift brings the high bits down.
            self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
            self.hash ^= self.hash >> 32;
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
