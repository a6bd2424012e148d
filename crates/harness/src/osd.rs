//! An OSD as a judge sees it, wherever it runs: what it knows, and what happened there.

use std::time::Duration;

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
}

impl Osd {
    /// Connects to an OSD and follows its events from the first one on.
    pub async fn connect(address: &Address) -> Result<Self> {
        let channel = Network::tcp(SILENCE_MAX).connect(address).await.context("connecting to the OSD")?;
        let stub = OsdClient::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
        Ok(Self { log: EventLog::follow(stub.clone()), address: address.clone(), stub })
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
