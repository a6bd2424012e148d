//! One `osd-sim` as a process, and the clients that are started on it.

use std::{ops::Deref, path::Path};

use anyhow::{Context, Result};
use rpc::Address;
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    client::Client,
    osd::{Osd, spec},
    process::Process,
    verbs::Verbs,
};

/// The constants of all programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// As Ceph behaves: a watch whose connection is gone lives as long as a silent one.
    Ceph,
    /// Ceph's constants and a grace of 500 ms.
    Default,
    /// One order shorter.
    #[default]
    Ci,
}

impl Preset {
    /// The options of `osd-sim` that choose it.
    fn of_osd(self) -> &'static [&'static str] {
        match self {
            Self::Ceph => &["--preset", "ceph"],
            Self::Default => &[],
            Self::Ci => &["--preset", "ci"],
        }
    }

    /// The options of `rbd-client` that choose it.
    fn of_client(self) -> &'static [&'static str] {
        match self {
            Self::Ceph | Self::Default => &["--preset", "ceph"],
            Self::Ci => &["--preset", "ci"],
        }
    }
}

/// One OSD as a process, its [`Verbs`], and clients on demand. Clients started from it belong to the caller; all of them end
/// with their handles.
pub struct Cluster {
    /// The OSD's process.
    pub process: Process,
    verbs: Verbs,
    /// Removed last, when it is ours.
    temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts an OSD with the `ci` preset in a directory of its own.
    pub async fn start() -> Result<Self> {
        Self::start_with(Preset::Ci, &[], &[]).await
    }

    /// The same with these constants, and further options for `osd-sim` and for every `rbd-client`.
    pub async fn start_with(preset: Preset, osd_options: &[&str], client_options: &[&str]) -> Result<Self> {
        let temporary = TempDir::with_prefix("rbd-sim-")?;
        let directory = temporary.path().to_owned();
        let mut cluster = Self::start_in(&directory, preset, osd_options, client_options).await?;
        cluster.temporary = Some(temporary);
        Ok(cluster)
    }

    /// The same in `directory`, which stays.
    pub async fn start_in(
        directory: &Path,
        preset: Preset,
        osd_options: &[&str],
        client_options: &[&str],
    ) -> Result<Self> {
        let arguments =
            [&["--listen", "127.0.0.1:0", "--until-stdin-ends"], preset.of_osd(), osd_options].concat();
        let (process, ready) = Process::start("osd-sim", "osd-sim", &owned(&arguments), directory).await?;
        let osd = Osd::connect(&ready.address.parse()?).await?;
        let options = [preset.of_client(), client_options].concat();
        Ok(Self { process, verbs: Verbs::at(osd, &options, directory), temporary: None })
    }

    /// Starts `rbd-client serve` on an image of pool "rbd".
    pub async fn serve(&self, name: &str, image: &str, options: &[&str]) -> Result<Client> {
        self.serve_through(&self.address, name, image, options).await
    }

    /// The same for a client that reaches the OSD at another address.
    pub async fn serve_through(
        &self,
        osd: &Address,
        name: &str,
        image: &str,
        options: &[&str],
    ) -> Result<Client> {
        let options = self.options(osd, options);
        Client::start(name, &options, &spec(image), self.directory()).await
    }

    /// Clients "client 1" to "client `count`" on one image.
    pub async fn serve_many(&self, count: usize, image: &str, options: &[&str]) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for number in 1..=count {
            clients.push(self.serve(&format!("client {number}"), image, options).await?);
        }
        Ok(clients)
    }

    /// Lets time pass at the OSD and at these clients, all of them with `--clock manual`; which client instances were silent at
    /// the end. `by` as the command line takes it, e.g. "30s".
    pub async fn advance(&self, by: &str, clients: &[&Client]) -> Result<Vec<u64>> {
        let addresses: Vec<String> = clients.iter().map(|client| client.address.to_string()).collect();
        let mut arguments = vec!["clock", "advance", by, "--format", "json"];
        arguments.extend(addresses.iter().flat_map(|address| ["--at", address]));
        let json = self.rbd_ok(&arguments).await?;
        let report: Advanced =
            serde_json::from_str(&json).with_context(|| format!("clock advance as JSON: {json}"))?;
        Ok(report.silent.into_iter().map(|watch| watch.client).collect())
    }
}

/// What `clock advance` reports.
#[derive(Deserialize)]
struct Advanced {
    silent: Vec<SilentWatch>,
}

#[derive(Deserialize)]
struct SilentWatch {
    client: u64,
}

impl Deref for Cluster {
    type Target = Verbs;

    fn deref(&self) -> &Verbs {
        &self.verbs
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
