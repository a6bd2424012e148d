//! The clients in their containers.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use harness::{remote::Remote, wait::until};
use proto::rbd::v1::InfoReply;
use system_tests::play::{acts::BOUND, trial::Player};
use tokio::time::timeout;

/// Services of the compose file, which are host names too.
const SERVICES: [&str; 3] = ["client-1", "client-2", "client-3"];
/// Where each of them listens.
const PORT: u16 = 6800;
/// Bound of one attempt to reach a client: a container that is not there swallows packets.
const ATTEMPT_BOUND: Duration = Duration::from_secs(2);
/// Largest read of one call.
const READ_BYTES: u64 = 1 << 20;

/// The service of client `number`, from 1.
pub(crate) fn service(number: usize) -> &'static str {
    SERVICES[number - 1]
}

/// Waits until all clients serve `image`.
pub(crate) async fn reach_all(image: &str) -> Result<Vec<Player>> {
    let mut players = Vec::new();
    for (number, service) in (1..).zip(SERVICES) {
        let (remote, info) = reach(service, image).await?;
        players.push(Player { name: format!("client {number}"), gid: info.gid, remote });
    }
    Ok(players)
}

/// Waits until a client serves `image`.
async fn reach(service: &str, image: &str) -> Result<(Remote, InfoReply)> {
    let last = Mutex::new(String::new());
    let what = format!("{service} serves {image}");
    let reaching = until(&what, BOUND, || async {
        let attempt = timeout(ATTEMPT_BOUND, ask(service)).await.map_err(anyhow::Error::from).flatten();
        // Until then: no such host, nobody listens, or the client of the scene before.
        let said = match attempt {
            Ok((remote, info)) if info.image == image => return Ok(Some((remote, info))),
            Ok((_, info)) => format!("it serves {}", info.image),
            Err(error) => format!("{error:#}"),
        };
        *last.lock().unwrap_or_else(PoisonError::into_inner) = said;
        Ok(None)
    });
    let reached = reaching.await;
    reached.with_context(|| format!("at last: {}", last.lock().unwrap_or_else(PoisonError::into_inner)))
}

async fn ask(service: &str) -> Result<(Remote, InfoReply)> {
    let remote = connect(service).await?;
    let info = remote.info().await?;
    Ok((remote, info))
}

async fn connect(service: &str) -> Result<Remote> {
    Remote::connect(&format!("{service}:{PORT}").parse()?).await
}

/// Waits for a new connection to a client that was cut off. A fenced client accepts one and answers nothing but errors.
pub(crate) async fn reconnect(service: &str) -> Result<Remote> {
    until(&format!("a connection to {service}"), BOUND, || async {
        Ok(timeout(ATTEMPT_BOUND, connect(service)).await.ok().and_then(Result::ok))
    })
    .await
}

/// Reads a whole image through a client, into a file of `directory`.
pub(crate) async fn download(player: &Player, directory: &Path) -> Result<PathBuf> {
    let path = directory.join("image.read");
    let mut file = File::create(&path)?;
    let size = player.info().await?.size;
    for offset in (0..size).step_by(READ_BYTES as usize) {
        let length = READ_BYTES.min(size - offset);
        let data = player.read(offset, length).await;
        let data = data.with_context(|| format!("{} reads {length} bytes at {offset}", player.name))?;
        file.write_all(&data)?;
    }
    Ok(path)
}
