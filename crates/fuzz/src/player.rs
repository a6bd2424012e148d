use std::env;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::mutation::Mutator;
use crate::unhex;

/// Inputs that are played on one decoder before the next one has its turn.
const ROUND_INPUTS: usize = 256;
/// Rounds of a test that has no time of its own.
const ROUNDS: usize = 4;
/// Inputs that were taken and are mutated further, of one decoder.
const TAKEN_MAX: usize = 512;
/// Taken inputs are kept when they are no longer than that, so that most inputs are small.
const TAKEN_BYTES_MAX: usize = 4 << 10;

/// How much room an input justifies.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes for each byte of it.
    pub per_byte: u64,
    /// Bytes whatever it is.
    pub base: u64,
}

impl Room {
    /// Of what is read, written and read again. The smallest item is a text without letters: 4 bytes that become 24, in a
    /// sequence that had half the room before.
    pub const DECODED: Self = Self { per_byte: 32, base: 64 << 10 };

    fn of(self, input: &[u8]) -> u64 {
        self.base + self.per_byte * input.len() as u64
    }
}

/// Whether an input was taken.
type Play<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;

/// Something that reads bytes of strangers.
pub struct Decoder<'a> {
    name: String,
    room: Room,
    examples: Vec<Vec<u8>>,
    play: Play<'a>,
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<'a> Decoder<'a> {
    /// `play` says whether an input was taken, and panics when it should not have been.
    pub fn new(name: impl Into<String>, room: Room, play: impl Fn(&[u8]) -> bool + 'a) -> Self {
        Self { name: name.into(), room, examples: Vec::new(), play: Box::new(play) }
    }

    /// Besides those of the corpus.
    #[must_use]
    pub fn with_examples(self, examples: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { examples: examples.into_iter().collect(), ..self }
    }

    /// What is wrong, or whether the input was taken.
    fn verdict(&self, input: &[u8]) -> Result<bool, String> {
        let mut taken = Ok(false);
        let used = allocation_counter::measure(|| {
            taken = catch_unwind(AssertUnwindSafe(|| (self.play)(input)));
        });
        let (bytes, room) = (used.bytes_max, self.room.of(input));
        match taken {
            Err(_) => Err("panics: see above".to_owned()),
            Ok(_) if bytes > room => Err(format!("{bytes} bytes of memory for {} of input", input.len())),
            Ok(taken) => Ok(taken),
        }
    }
}

/// One decoder, what is mutated for it, and what came of it.
struct Played<'a> {
    decoder: Decoder<'a>,
    taken: Vec<Vec<u8>>,
    inputs: usize,
    failure: Option<String>,
}

impl Played<'_> {
    fn input(&mut self, input: Vec<u8>) {
        if self.failure.is_some() {
            return;
        }
        self.inputs += 1;
        match self.decoder.verdict(&input) {
            Ok(true) if input.len() <= TAKEN_BYTES_MAX && self.taken.len() < TAKEN_MAX => {
                self.taken.push(input);
            }
            Ok(_) => {}
            Err(why) => {
                let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                self.failure = Some(format!("{why}\n{} {hex}", self.decoder.name));
            }
        }
    }

    fn round(&mut self, corpus: &[Vec<u8>], mutator: &mut Mutator) {
        for _ in 0..ROUND_INPUTS {
            // The empty input is one that everybody has.
            let inputs = match self.taken.is_empty() {
                false => &self.taken[..],
                true if corpus.is_empty() => &[Vec::new()],
                true => corpus,
            };
            self.input(mutator.mutated(inputs));
        }
    }
}

/// Plays the examples, the regressions (lines of a decoder's name and an input in hexadecimal), the corpus, and mutations.
///
/// # Panics
///
/// When a decoder has failed: with the line to be added to the regressions. When none of a decoder's inputs was taken: then its
/// corpus lacks an example.
pub fn play(part: &str, decoders: Vec<Decoder<'_>>, corpus: &[Vec<u8>], regressions: &str) {
    let begin = |decoder| Played { decoder, taken: Vec::new(), inputs: 0, failure: None };
    let mut all: Vec<Played<'_>> = decoders.into_iter().map(begin).collect();
    for line in regressions.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, hex) = line.split_once(' ').unwrap_or_else(|| panic!("no line of regressions: {line}"));
        let known = all.iter_mut().find(|played| played.decoder.name == name);
        known.unwrap_or_else(|| panic!("there is no decoder {name}")).input(unhex(hex));
    }
    for played in &mut all {
        let examples = std::mem::take(&mut played.decoder.examples);
        corpus.iter().cloned().chain(examples).chain([Vec::new()]).for_each(|input| played.input(input));
    }
    let seconds = env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("FUZZ_SECONDS is a number"));
    let seed = env::var("FUZZ_SEED").map_or(1, |text| text.parse().expect("FUZZ_SEED is a number"));
    let (mut mutator, time) = (Mutator::new(seed), Time::now());
    let mut rounds = 0;
    while seconds.map_or(rounds < ROUNDS, |seconds| time.seconds() < seconds) {
        for played in &mut all {
            if seconds.is_none_or(|seconds| time.seconds() < seconds) {
                played.round(corpus, &mut mutator);
            }
        }
        rounds += 1;
    }
    for Played { decoder, inputs, failure, .. } in &all {
        println!("fuzz: {part} {} {inputs} {}", decoder.name, u8::from(failure.is_some()));
    }
    let failures: Vec<&str> = all.iter().filter_map(|played| played.failure.as_deref()).collect();
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
    let untaken: Vec<_> =
        all.iter().filter(|played| played.taken.is_empty()).map(|played| &played.decoder).collect();
    assert!(untaken.is_empty(), "no input was taken by {untaken:?}");
}

/// How long it has been played: outside of everything that is played.
#[allow(clippy::disallowed_types, reason = "it bounds the test, nothing that is tested")]
struct Time(std::time::Instant);

impl Time {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "see Time")]
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    fn seconds(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}
