//! A serving client as a process: `rbd-client serve`.

use std::{ops::Deref, path::Path};

use anyhow::Result;
use rpc::Address;

use crate::{process::Process, remote::Remote};

/// One `rbd-client serve` and the connection to it: a [`Remote`] that can be killed, frozen and ended.
pub struct Client {
    /// Its process.
    pub process: Process,
    /// Its client instance when it started; a reopened client has another.
    pub gid: u64,
    /// Where it serves.
    pub address: Address,
    remote: Remote,
}

impl Client {
    /// Starts `rbd-client serve <image> <options>` and connects to it.
    pub async fn start(name: &str, options: &[String], image: &str, directory: &Path) -> Result<Self> {
        let mut arguments =
            ["serve", image, "--listen", "127.0.0.1:0", "--until-stdin-ends"].map(str::to_owned).to_vec();
        arguments.extend(["--name".to_owned(), name.replace(' ', "-")]);
        arguments.extend_from_slice(options);
        let (process, ready) = Process::start("rbd-client", name, &arguments, directory).await?;
        let address = ready.address.parse()?;
        let remote = Remote::connect(&address).await?;
        Ok(Self { process, gid: ready.gid, address, remote })
    }

    /// Its name in timelines.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// The connection alone, for tasks that outlive this borrow.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }
}

impl Deref for Client {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}
