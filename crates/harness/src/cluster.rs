//! One `osd-sim`, its event log, and whatever `rbd-client` is asked to do with it.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rpc::Address;
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    client::Client,
    osd::{Osd, spec},
    process::Process,
    program::{self, Output},
};

/// How long one `rbd-client` verb may take.
const VERB_BOUND: Duration = Duration::from_secs(120);

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

/// One OSD as a process: an [`Osd`] that can be asked for clients and verbs. Clients started from it belong to the caller; all of
/// them end with their handles.
pub struct Cluster {
    /// The OSD's process.
    pub process: Process,
    osd: Osd,
    client_options: Vec<String>,
    directory: PathBuf,
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
        let arguments = [&["--listen", "127.0.0.1:0"], preset.of_osd(), osd_options].concat();
        let (process, ready) = Process::start("osd-sim", "osd-sim", &owned(&arguments), directory).await?;
        Ok(Self {
            process,
            osd: Osd::connect(&ready.address.parse()?).await?,
            client_options: owned(&[preset.of_client(), client_options].concat()),
            directory: directory.to_owned(),
            temporary: None,
        })
    }

    /// Where logs and images lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn options(&self, osd: &Address, further: &[&str]) -> Vec<String> {
        let mut options = owned(&["--osd", &osd.to_string()]);
        options.extend(self.client_options.iter().cloned());
        options.extend(owned(further));
        options
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
        Client::start(name, &self.options(osd, options), &spec(image), &self.directory).await
    }

    /// Clients "client 1" to "client `count`" on one image.
    pub async fn serve_many(&self, count: usize, image: &str, options: &[&str]) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for number in 1..=count {
            clients.push(self.serve(&format!("client {number}"), image, options).await?);
        }
        Ok(clients)
    }

    /// Runs one verb of `rbd-client` to its end, whatever its exit status.
    pub async fn rbd(&self, arguments: &[&str]) -> Result<Output> {
        program::run(&program::find("rbd-client")?, &self.options(&self.address, arguments), VERB_BOUND).await
    }

    /// Runs one verb that must succeed; its standard output.
    pub async fn rbd_ok(&self, arguments: &[&str]) -> Result<String> {
        self.rbd(arguments).await?.success(&format!("rbd-client {}", arguments.join(" ")))
    }

    /// Imports `content` as an image of pool "rbd" with objects of `object_bytes`.
    pub async fn import(&self, image: &str, content: &[u8], object_bytes: u64) -> Result<()> {
        let file = self.directory.join(format!("{image}.import"));
        fs::write(&file, content)?;
        self.import_file(image, &file, object_bytes).await?;
        fs::remove_file(&file)?;
        Ok(())
    }

    /// The same from a file.
    pub async fn import_file(&self, image: &str, file: &Path, object_bytes: u64) -> Result<()> {
        let size = object_bytes.to_string();
        self.rbd_ok(&["import", "--no-progress", "--object-size", &size, text(file)?, &spec(image)]).await?;
        Ok(())
    }

    /// Makes `child` a clone of a fresh, protected snapshot `parent@snapshot`.
    pub async fn clone_image(&self, parent: &str, snapshot: &str, child: &str) -> Result<()> {
        let snapshot = format!("{}@{snapshot}", spec(parent));
        self.rbd_ok(&["snap", "create", &snapshot]).await?;
        self.rbd_ok(&["snap", "protect", &snapshot]).await?;
        self.rbd_ok(&["clone", &snapshot, &spec(child)]).await?;
        Ok(())
    }

    /// Names of the children of `parent@snapshot`.
    pub async fn children(&self, parent: &str, snapshot: &str) -> Result<Vec<String>> {
        let snapshot = format!("{}@{snapshot}", spec(parent));
        let json = self.rbd_ok(&["children", "--format", "json", &snapshot]).await?;
        let children: Vec<serde_json::Value> =
            serde_json::from_str(&json).with_context(|| format!("children as JSON: {json}"))?;
        Ok(children.iter().filter_map(|child| Some(child.get("image")?.as_str()?.to_owned())).collect())
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

    /// Exports an image into a file of the cluster's directory.
    pub async fn export(&self, image: &str) -> Result<PathBuf> {
        let file = self.directory.join(format!("{image}.export"));
        if file.exists() {
            fs::remove_file(&file)?;
        }
        self.rbd_ok(&["export", "--no-progress", &spec(image), text(&file)?]).await?;
        Ok(file)
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
    type Target = Osd;

    fn deref(&self) -> &Osd {
        &self.osd
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
