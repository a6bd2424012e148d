use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use clock::Clock;
use librbd::OpenOptions;
use tokio::net::TcpListener;

use crate::{
    failure::Failure,
    named::Named,
    report::Object,
    serve::{self, HeldImage},
    session::Session,
    spec::ImageOrSnapSpec,
};

/// Keep an image open and do what is asked over gRPC
#[derive(Args, Debug)]
#[command(
    after_help = "Offers service rbd.v1.RbdClient (and clock.v1.Clock) with health and reflection: read, write, discard, flush, flatten, resize, snapshots, \
the lock, a stream of events, and reopen. When it serves it prints one line of JSON on standard output:
  {\"program\":\"rbd-client\",\"address\":\"127.0.0.1:41235\",\"pid\":71,\"gid\":4107,\"image\":\"rbd/vm\"}
It ends on SIGTERM, SIGHUP or Ctrl-C: open streams end, the lock and the watch are given back. A client that was fenced stays up \
and answers EBLOCKLISTED until Reopen.

Examples:
  rbd-client serve vm --listen 127.0.0.1:0
  grpcurl -plaintext -d '{}' 127.0.0.1:41235 rbd.v1.RbdClient/Flatten"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(super) image: Named<ImageOrSnapSpec>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "RBD_CLIENT_LISTEN", default_value = "127.0.0.1:0", value_name = "IP:PORT", value_parser = rpc::socket_address)]
    listen: SocketAddr,

    /// Open the image read-only: whatever would change it is refused with EROFS
    #[arg(long)]
    read_only: bool,

    /// Whether time passes by itself, or only when it is told to: service clock.v1.Clock, `rbd-client clock`. The OSD should go by the same
    #[arg(long, env = "RBD_CLIENT_CLOCK", default_value = "real")]
    clock: Time,

    /// End when standard input ends: whoever started this program and holds the other end is gone, however that came about
    #[arg(long)]
    until_stdin_ends: bool,
}

/// What the protocol's times go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Time {
    /// Time passes by itself.
    Real,
    /// Time passes only when it is told to.
    Manual,
}

impl Serve {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("serve {}", self.image.in_pool(pool))
    }

    /// A clock of its own at each call.
    pub(super) fn clock(&self) -> Clock {
        match self.clock {
            Time::Real => Clock::Real,
            Time::Manual => Clock::manual(),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|error| Failure::io(&format!("listen on {}", self.listen), &error))?;
        let address = listener.local_addr().map_err(|error| Failure::io("the listener", &error))?;
        let io = session.io(&self.image.image).await?;
        let options = OpenOptions { read_only: self.read_only, snapshot: self.image.snap.clone() };
        let image = self.image.in_pool(io.pool()).to_string();
        let opening = HeldImage::open(session, &io, &self.image.image.image, options);
        let held = session.until_interrupted(opening).await?;
        let serving = Object::default()
            .with("program", "rbd-client")
            .with("address", address.to_string())
            .with("pid", std::process::id())
            .with("gid", session.rados.gid())
            .with("image", image);
        session.console.json(serving)?;
        let interrupted = session.interrupted.clone();
        if self.until_stdin_ends {
            let interrupted = interrupted.clone();
            tokio::spawn(async move {
                rpc::stdin_ended().await;
                interrupted.cancel();
            });
        }
        serve::until(held, listener, interrupted).await
    }
}
