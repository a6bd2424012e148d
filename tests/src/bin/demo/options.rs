use clap::{Parser, ValueEnum};
use system_tests::play::report::Title;

/// Plays scenes of clients that race for an image's lock, and judges each by the event log and by the bytes.
///
/// Exit status 0: everything passed. 1: something failed, or the demo could not run.
#[derive(Parser, Debug)]
#[command(name = "demo", version)]
pub(crate) struct Options {
    /// Scenes to play.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scene::value_variants().to_vec())]
    scene: Vec<Scene>,

    /// Spoils the outcome of a scene: it must then print FAIL.
    #[arg(long = "break", value_enum, value_delimiter = ',')]
    breaks: Vec<Scene>,

    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    pub(crate) format: Format,

    /// Size of the image in MiB; a smaller one makes a shorter demo.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=4096))]
    pub(crate) size: u64,

    /// Keeps the working directory: images, logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// The scenes in the order of the play, each once.
    pub(crate) fn scenes(&self) -> Vec<Scene> {
        Scene::value_variants().iter().copied().filter(|scene| self.scene.contains(scene)).collect()
    }

    /// Whether the outcome of this scene is to be spoiled.
    pub(crate) fn breaks(&self, scene: Scene) -> bool {
        self.breaks.contains(&scene)
    }
}

/// What the verdict is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Plain,
    /// For programs: one JSON document with whole timelines.
    Json,
}

/// One scene of the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scene {
    /// Three clients write at once; the lock moves by request.
    #[value(name = "a")]
    Race,
    /// A flatten is forwarded to the lock owner.
    #[value(name = "b")]
    Forward,
    /// The lock changes hands in the middle of a forwarded flatten.
    #[value(name = "c")]
    HandOver,
    /// The lock owner is killed in the middle of a forwarded flatten.
    #[value(name = "d")]
    Killed,
    /// The lock owner freezes in the middle of its writes and wakes up fenced.
    #[value(name = "e")]
    Frozen,
}

impl Scene {
    pub(crate) fn letter(self) -> &'static str {
        self.title().letter
    }

    pub(crate) fn title(self) -> Title {
        let (letter, name, title) = match self {
            Self::Race => ("a", "race", "race: three clients write at once, the lock moves by request"),
            Self::Forward => {
                ("b", "forward", "forward: client 2 flattens, client 1 owns the lock and does the work")
            }
            Self::HandOver => (
                "c",
                "hand-over",
                "hand-over: client 3 needs the lock in the middle of the forwarded flatten",
            ),
            Self::Killed => ("d", "owner killed", "owner killed in the middle of the forwarded flatten"),
            Self::Frozen => (
                "e",
                "owner frozen",
                "owner frozen in the middle of its writes, woken up after it was fenced",
            ),
        };
        Title { letter, name, title }
    }
}
