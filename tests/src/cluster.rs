//! One `osd-sim`, its event log, and whatever `rbd-client` is asked to do with it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use prost::Message;
use proto::{
    cls::lock::v1::{GetInfo, GetInfoReply},
    osd::v1::{
        BlocklistListRequest, Exec, ListSessionsRequest, ListWatchersRequest, Op, OperateRequest, Session,
        Watcher, op, op_result,
    },
};
use rpc::{Address, Network, osd::osd_client::OsdClient};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    client::Client,
    events::EventLog,
    process::Process,
    program::{self, Output},
};

/// How long one `rbd-client` verb may take.
const VERB_BOUND: Duration = Duration::from_secs(120);
/// A connection of the judge is cut only when the OSD is gone.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The pool that every OSD has.
pub const POOL: &str = "rbd";

/// One OSD as a process. Clients started from it belong to the caller; all of them end with their handles.
pub struct Cluster {
    /// What happened at the OSD.
    pub log: EventLog,
    /// The OSD's process.
    pub osd: Process,
    /// Where it listens.
    pub address: Address,
    stub: OsdClient<Channel>,
    client_options: Vec<String>,
    directory: PathBuf,
    /// Removed last, when it is ours.
    temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts an OSD with the `ci` preset in a directory of its own.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[], &[]).await
    }

    /// The same with further options for `osd-sim` and for every `rbd-client`.
    pub async fn start_with(osd_options: &[&str], client_options: &[&str]) -> Result<Self> {
        let temporary = TempDir::with_prefix("rbd-sim-")?;
        let directory = temporary.path().to_owned();
        let mut cluster = Self::start_in(&directory, osd_options, client_options).await?;
        cluster.temporary = Some(temporary);
        Ok(cluster)
    }

    /// The same in `directory`, which stays.
    pub async fn start_in(directory: &Path, osd_options: &[&str], client_options: &[&str]) -> Result<Self> {
        let mut arguments = owned(&["--listen", "127.0.0.1:0", "--preset", "ci"]);
        arguments.extend(owned(osd_options));
        let (osd, ready) = Process::start("osd-sim", "osd-sim", &arguments, directory).await?;
        let address: Address = ready.address.parse()?;
        let channel = Network::tcp(SILENCE_MAX).connect(&address).await.context("connecting to the OSD")?;
        let stub = OsdClient::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
        Ok(Self {
            log: EventLog::follow(stub.clone()),
            osd,
            address,
            stub,
            client_options: owned(client_options),
            directory: directory.to_owned(),
            temporary: None,
        })
    }

    /// Where logs and images lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn options(&self, further: &[&str]) -> Vec<String> {
        let address = self.address.to_string();
        let mut options = owned(&["--osd", &address, "--preset", "ci"]);
        options.extend(self.client_options.iter().cloned());
        options.extend(owned(further));
        options
    }

    /// Starts `rbd-client serve` on an image of pool "rbd".
    pub async fn serve(&self, name: &str, image: &str, options: &[&str]) -> Result<Client> {
        Client::start(name, &self.options(options), &spec(image), &self.directory).await
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
        program::run(&program::find("rbd-client")?, &self.options(arguments), VERB_BOUND).await
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

    /// Exports an image into a file of the cluster's directory.
    pub async fn export(&self, image: &str) -> Result<PathBuf> {
        let file = self.directory.join(format!("{image}.export"));
        if file.exists() {
            fs::remove_file(&file)?;
        }
        self.rbd_ok(&["export", "--no-progress", &spec(image), text(&file)?]).await?;
        Ok(file)
    }

    /// The raw stub. Cheap.
    pub fn stub(&self) -> OsdClient<Channel> {
        self.stub.clone()
    }

    /// The watches of an object of pool "rbd".
    pub async fn watchers(&self, object: &str) -> Result<Vec<Watcher>> {
        let request = ListWatchersRequest { pool: POOL.to_owned(), object: object.to_owned() };
        Ok(self.stub().list_watchers(request).await?.into_inner().watchers)
    }

    /// The fenced client instances.
    pub async fn blocklist(&self) -> Result<Vec<u64>> {
        let reply = self.stub().blocklist_list(BlocklistListRequest {}).await?.into_inner();
        Ok(reply.entries.into_iter().map(|entry| entry.gid).collect())
    }

    /// The live sessions.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        Ok(self.stub().list_sessions(ListSessionsRequest {}).await?.into_inner().sessions)
    }

    /// The exclusive lock on a header object.
    pub async fn lock(&self, header: &str) -> Result<GetInfoReply> {
        let input = GetInfo { name: "rbd_lock".to_owned() }.encode_to_vec().into();
        let exec = Exec { class: "lock".to_owned(), method: "get_info".to_owned(), input };
        let request = OperateRequest {
            pool: POOL.to_owned(),
            object: header.to_owned(),
            ops: vec![Op { op: Some(op::Op::Exec(exec)) }],
            ..OperateRequest::default()
        };
        let reply = self.stub().operate(request).await?.into_inner();
        match reply.results.into_iter().next().and_then(|result| result.result) {
            Some(op_result::Result::Exec(output)) => Ok(GetInfoReply::decode(output.output)?),
            other => anyhow::bail!("lock.get_info on {header} answered {other:?}"),
        }
    }

    /// The omap keys of a header object that start with `prefix`.
    pub async fn header_keys(&self, header: &str, prefix: &str) -> Result<Vec<String>> {
        let list = proto::osd::v1::OmapList { prefix: prefix.to_owned(), ..Default::default() };
        let request = OperateRequest {
            pool: POOL.to_owned(),
            object: header.to_owned(),
            ops: vec![Op { op: Some(op::Op::OmapList(list)) }],
            ..OperateRequest::default()
        };
        let reply = self.stub().operate(request).await?.into_inner();
        match reply.results.into_iter().next().and_then(|result| result.result) {
            Some(op_result::Result::Omap(omap)) => Ok(omap.entries.into_keys().collect()),
            other => anyhow::bail!("listing the omap of {header} answered {other:?}"),
        }
    }
}

/// `rbd/IMAGE`.
pub fn spec(image: &str) -> String {
    format!("{POOL}/{image}")
}

/// The header object of an image id.
pub fn header_of(id: &str) -> String {
    format!("rbd_header.{id}")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
