//! An OSD as a judge sees it, wherever it runs: what it knows, and what happened there.

use std::time::Duration;

use anyhow::{Context, Result};
use errno::Errno;
use prost::Message;
use proto::{
    cls::{
        lock::v1::{GetInfo, GetInfoReply},
        rbd::v1::{
            Child, ChildrenList, ChildrenListReply, DirectoryEntry, DirectoryList, DirectoryListReply, Header,
        },
    },
    osd::v1::{
        BlocklistListRequest, Exec, ListObjectsRequest, ListSessionsRequest, ListWatchersRequest, Op,
        OperateRequest, Session, Watcher, op, op_result,
    },
};
use rpc::{Address, Network, faults::faults_client::FaultsClient, osd::osd_client::OsdClient};
use tonic::transport::Channel;

use crate::events::EventLog;

/// A connection of the judge is cut only when the OSD is gone.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The pool that every OSD has.
pub const POOL: &str = "rbd";

/// The connection to one OSD, and its event log.
pub struct Osd {
    /// What happened at the OSD.
    pub log: EventLog,
    /// Where it listens.
    pub address: Address,
    stub: OsdClient<Channel>,
    faults: FaultsClient<Channel>,
}

impl Osd {
    /// Connects to an OSD and follows its events from the first one on.
    pub async fn connect(address: &Address) -> Result<Self> {
        let channel = Network::tcp(SILENCE_MAX).connect(address).await.context("connecting to the OSD")?;
        let faults = FaultsClient::new(channel.clone());
        let stub = OsdClient::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
        Ok(Self { log: EventLog::follow(stub.clone()), address: address.clone(), stub, faults })
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
        self.exec(header, "lock", "get_info", &GetInfo { name: "rbd_lock".to_owned() }).await
    }

    /// Every image in the directory.
    pub async fn entries(&self) -> Result<Vec<DirectoryEntry>> {
        let mut entries: Vec<DirectoryEntry> = Vec::new();
        loop {
            let after = entries.last().map_or_else(String::new, |entry| entry.name.clone());
            let listed =
                self.exec("rbd_directory", "rbd", "dir_list", &DirectoryList { after, max: 0 }).await;
            let page: DirectoryListReply = match listed {
                Err(error) if is_missing(&error) => return Ok(entries),
                page => page?,
            };
            entries.extend(page.entries);
            if !page.more {
                return Ok(entries);
            }
        }
    }

    /// What the header of the image with this id says; `None` when there is none.
    pub async fn image(&self, id: &str) -> Result<Option<Header>> {
        match self.exec(&header_of(id), "rbd", "get_header", &()).await {
            Err(error) if is_missing(&error) => Ok(None),
            header => header.map(Some),
        }
    }

    /// The clones that are registered at a snapshot.
    pub async fn clones(&self, id: &str, snap_id: u64) -> Result<Vec<Child>> {
        let reply: ChildrenListReply =
            self.exec(&header_of(id), "rbd", "children_list", &ChildrenList { snap_id }).await?;
        Ok(reply.children)
    }

    async fn exec<R: Message + Default>(
        &self,
        object: &str,
        class: &str,
        method: &str,
        input: &impl Message,
    ) -> Result<R> {
        let exec =
            Exec { class: class.to_owned(), method: method.to_owned(), input: input.encode_to_vec().into() };
        let request = OperateRequest {
            pool: POOL.to_owned(),
            object: object.to_owned(),
            ops: vec![Op { op: Some(op::Op::Exec(exec)) }],
            ..OperateRequest::default()
        };
        let reply = self.stub().operate(request).await?.into_inner();
        match reply.results.into_iter().next().and_then(|result| result.result) {
            Some(op_result::Result::Exec(output)) => Ok(R::decode(output.output)?),
            other => anyhow::bail!("{class}.{method} on {object} answered {other:?}"),
        }
    }

    /// The rules of what is broken on purpose.
    pub fn faults(&self) -> FaultsClient<Channel> {
        self.faults.clone()
    }

    /// The names of all objects of pool "rbd".
    pub async fn objects(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let request = ListObjectsRequest { pool: POOL.to_owned(), after, ..Default::default() };
            let page = self.stub().list_objects(request).await?.into_inner();
            names.extend(page.names);
            if !page.more {
                return Ok(names);
            }
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

fn is_missing(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    let error = status.and_then(rpc::status::to_error);
    error.is_some_and(|error| error.name == Errno::ENOENT.name())
}

/// `rbd/IMAGE`.
pub fn spec(image: &str) -> String {
    format!("{POOL}/{image}")
}

/// `IMAGE` of `rbd/IMAGE`.
pub fn without_pool(image: &str) -> &str {
    image.split_once('/').map_or(image, |(_, name)| name)
}

/// The header object of an image id.
pub fn header_of(id: &str) -> String {
    format!("rbd_header.{id}")
}
