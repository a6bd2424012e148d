use clap::{Args, Parser, Subcommand, ValueEnum};
use rpc::Address;
use system_tests::play::report::Title;

/// Makes the image of the compose demo, and plays its scenes with clients that run in containers.
///
/// A line on standard output that begins with '@' asks scripts/compose-demo to do something to a container. Exit status 0:
/// everything passed. 1: something failed.
#[derive(Parser, Debug)]
#[command(name = "compose-controller", version)]
pub(crate) struct Options {
    /// Address of the OSD.
    #[arg(long, env = "RBD_CLIENT_OSD", value_name = "HOST:PORT")]
    pub(crate) osd: Address,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Makes an image for the clients to open, a clone of a full parent, unless it exists.
    Prepare {
        /// Name of the image in pool "rbd".
        image: String,
    },
    /// Plays scenes and judges them.
    Play(Play),
}

#[derive(Args, Debug)]
pub(crate) struct Play {
    /// Scenes to play.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scene::value_variants().to_vec())]
    scene: Vec<Scene>,

    /// Spoils the outcome of a scene: it must then print FAIL.
    #[arg(long = "break", value_enum, value_delimiter = ',')]
    breaks: Vec<Scene>,
}

impl Play {
    /// The scenes in the order of the play, each once.
    pub(crate) fn scenes(&self) -> Vec<Scene> {
        Scene::value_variants().iter().copied().filter(|scene| self.scene.contains(scene)).collect()
    }

    /// Whether the outcome of this scene is to be spoiled.
    pub(crate) fn breaks(&self, scene: Scene) -> bool {
        self.breaks.contains(&scene)
    }
}

/// One scene of the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scene {
    /// A flatten is forwarded to the lock owner.
    #[value(name = "a")]
    Forward,
    /// The lock changes hands in the middle of a forwarded flatten.
    #[value(name = "b")]
    HandOver,
    /// The lock owner's container is killed in the middle of a forwarded flatten.
    #[value(name = "c")]
    Killed,
    /// The lock owner's container is cut off from the network in the middle of a forwarded flatten, and comes back fenced.
    #[value(name = "d")]
    CutOff,
}

impl Scene {
    pub(crate) fn title(self) -> Title {
        let (letter, name, title) = match self {
            Self::Forward => {
                ("a", "forward", "forward: client 2 flattens, client 1 owns the lock and does the work")
            }
            Self::HandOver => (
                "b",
                "hand-over",
                "hand-over: client 3 needs the lock in the middle of the forwarded flatten",
            ),
            Self::Killed => {
                ("c", "owner killed", "owner's container killed in the middle of the forwarded flatten")
            }
            Self::CutOff => (
                "d",
                "owner cut",
                "owner cut off from the network in the middle of the forwarded flatten, back when it is fenced",
            ),
        };
        Title { letter, name, title }
    }
}
