//! Service Osd: each call is a step of the daemon and a conversion on each side of it.

use std::sync::Arc;

use osd::vector::CALL_NOTIFY;
use osd::{OpError, Osd};
use prost::Message;
use proto::osd::v1 as wire;
use rpc::osd::osd_server;
use tonic::{Request, Response, Status, Streaming};

use crate::calls::{self, Call};
use crate::connections::Own;
use crate::daemon::{AnyStore, Daemon, milliseconds, span};
use crate::replies::{Departing, Nothing, streamed};
use crate::{Config, events, op_stream, watch_stream, wire as convert};

type Answer<T> = Result<Response<T>, Status>;

pub(crate) struct Service {
    daemon: Arc<Daemon>,
    config: Config,
}

impl Service {
    pub(crate) fn new(daemon: Arc<Daemon>, config: Config) -> Self {
        Self { daemon, config }
    }

    /// A reply of so many bytes, once there is room for it in its connection and in the OSD.
    async fn depart<T>(&self, own: &Own, bytes: usize, reply: impl FnOnce() -> T) -> Answer<T> {
        let of_connection = own.room.fill(bytes).await;
        let departing = Departing::through(own.cut.clone());
        departing.add(&self.daemon.replies, bytes, Some(of_connection)).await;
        Ok(departing.of(reply()))
    }
}

/// What a notify's answer holds.
fn notify_bytes(reply: &osd::NotifyReply) -> usize {
    reply.replies.iter().map(|ack| ack.payload.len()).sum()
}

fn answer<T>(reply: Result<T, OpError>) -> Answer<T> {
    reply.map(Response::new).map_err(convert::status)
}

#[tonic::async_trait]
impl osd_server::Osd for Service {
    type OperateStreamStream = Nothing<wire::OperateReply>;
    type WatchStream = Nothing<wire::WatchEvent>;
    type EventsStream = Nothing<wire::Event>;

    async fn connect(&self, request: Request<wire::ConnectRequest>) -> Answer<wire::ConnectReply> {
        let peer = request.extensions().get::<Own>().and_then(|own| own.peer);
        let peer = peer.map_or_else(|| "peer".to_owned(), |address| address.to_string());
        let connected = self.daemon.connect(&request.into_inner().name, &peer);
        // A gid that is lost in a crash would be given again.
        self.daemon.find(|_| ()).await;
        answer(connected.map(|(gid, address)| wire::ConnectReply {
            gid,
            address,
            limits: Some(convert::limits(&self.config.limits)),
            osd_client_watch_timeout_ms: milliseconds(self.config.osd_client_watch_timeout),
            osd_client_session_timeout_ms: milliseconds(self.config.osd_client_session_timeout),
        }))
    }

    async fn disconnect(&self, request: Request<wire::DisconnectRequest>) -> Answer<wire::DisconnectReply> {
        let gid = request.into_inner().gid;
        answer(
            self.daemon.answer(|osd, now| osd.disconnect(now, gid)).await.map(|()| wire::DisconnectReply {}),
        )
    }

    async fn operate(&self, request: Request<wire::OperateRequest>) -> Answer<wire::OperateReply> {
        let own = Own::of(&request);
        own.room.wait().await;
        let request = request.into_inner();
        let tid = request.tid;
        let reply = Ok(calls::operate(&self.daemon, request).await?);
        self.depart(&own, convert::reply_bytes(&reply), || convert::reply(tid, reply)).await
    }

    async fn operate_stream(
        &self,
        request: Request<Streaming<wire::OperateRequest>>,
    ) -> Answer<Self::OperateStreamStream> {
        let named = op_stream::named_session(request.metadata()).map_err(convert::status)?;
        let departing = Departing::through(Own::of(&request).cut);
        let requests = request.into_inner();
        let replies = op_stream::open(self.daemon.clone(), named, requests, departing.clone());
        Ok(streamed(Box::pin(replies.map_err(convert::status)?), departing))
    }

    async fn watch(&self, request: Request<Streaming<wire::WatchRequest>>) -> Answer<Self::WatchStream> {
        let events = watch_stream::open(self.daemon.clone(), request.into_inner());
        Ok(streamed(Box::pin(events), Departing::default()))
    }

    async fn notify(&self, request: Request<wire::NotifyRequest>) -> Answer<wire::NotifyReply> {
        let own = Own::of(&request);
        own.room.wait().await;
        let wire::NotifyRequest { gid, pool, object, payload, timeout_ms } = request.into_inner();
        let timeout = span(timeout_ms);
        let call = Call { name: CALL_NOTIFY, gid, pool: &pool, object: &object, payload: Some(&payload) };
        let answered = calls::call(
            &self.daemon,
            call,
            || async {
                let payload = payload.clone();
                let (notify_id, to_come) = self
                    .daemon
                    .notify(|osd, now| osd.notify(now, gid, (&pool, &object), payload, timeout))?;
                Ok((notify_id, to_come.await))
            },
            |(_, answered)| answered.as_ref().map_or(0, notify_bytes),
        );
        match answered.await? {
            (notify_id, Ok(reply)) => {
                let reply = convert::notify_reply(notify_id, reply);
                self.depart(&own, reply.encoded_len(), || reply).await
            }
            (notify_id, Err(_)) => {
                Err(Status::internal(format!("notify {notify_id} was dropped unanswered")))
            }
        }
    }

    async fn list_watchers(
        &self,
        request: Request<wire::ListWatchersRequest>,
    ) -> Answer<wire::ListWatchersReply> {
        let wire::ListWatchersRequest { pool, object } = request.into_inner();
        let call = Call { name: "list_watchers", gid: 0, pool: &pool, object: &object, payload: None };
        let listed = calls::call(
            &self.daemon,
            call,
            || async { self.daemon.answer(|osd, now| osd.list_watchers(now, &pool, &object)).await },
            calls::small,
        );
        let watchers = listed.await?.into_iter().map(convert::watcher).collect();
        Ok(Response::new(wire::ListWatchersReply { watchers }))
    }

    async fn blocklist_add(
        &self,
        request: Request<wire::BlocklistAddRequest>,
    ) -> Answer<wire::BlocklistAddReply> {
        let wire::BlocklistAddRequest { gid, expire_ms, requester_gid, unless_watching } =
            request.into_inner();
        let expire = span(expire_ms);
        let watched =
            unless_watching.as_ref().map(|watched| (watched.pool.as_str(), watched.object.as_str()));
        let call = Call { name: "blocklist_add", gid: requester_gid, pool: "", object: "", payload: None };
        let added = calls::call(
            &self.daemon,
            call,
            || async {
                let fence = |osd: &mut Osd<AnyStore>, now| match watched {
                    None => osd.blocklist_add(now, gid, expire, requester_gid),
                    Some(watched) => {
                        osd.blocklist_add_unless_watching(now, gid, expire, requester_gid, watched)
                    }
                };
                self.daemon.answer(fence).await
            },
            calls::small,
        );
        added.await.map(|()| Response::new(wire::BlocklistAddReply {}))
    }

    async fn blocklist_remove(
        &self,
        request: Request<wire::BlocklistRemoveRequest>,
    ) -> Answer<wire::BlocklistRemoveReply> {
        let gid = request.into_inner().gid;
        self.daemon.answer(|osd, now| ((), osd.blocklist_remove(now, gid))).await;
        answer(Ok(wire::BlocklistRemoveReply {}))
    }

    async fn blocklist_list(
        &self,
        _request: Request<wire::BlocklistListRequest>,
    ) -> Answer<wire::BlocklistListReply> {
        let entries = self.daemon.answer(osd::Osd::blocklist).await.into_iter();
        let entries =
            entries.map(|(gid, expires_in)| wire::BlocklistEntry { gid, expires_in_ms: expires_in.0 });
        answer(Ok(wire::BlocklistListReply { entries: entries.collect() }))
    }

    async fn list_sessions(
        &self,
        _request: Request<wire::ListSessionsRequest>,
    ) -> Answer<wire::ListSessionsReply> {
        let sessions = self.daemon.find(osd::Osd::sessions).await.into_iter();
        answer(Ok(wire::ListSessionsReply { sessions: sessions.map(convert::session).collect() }))
    }

    async fn create_pool(&self, request: Request<wire::CreatePoolRequest>) -> Answer<wire::CreatePoolReply> {
        let name = request.into_inner().name;
        let created = self.daemon.answer(|osd, now| osd.create_pool(now, &name)).await;
        answer(created.map(|id| wire::CreatePoolReply { id }))
    }

    async fn list_pools(&self, _request: Request<wire::ListPoolsRequest>) -> Answer<wire::ListPoolsReply> {
        let pools = self.daemon.find(osd::Osd::pools).await.into_iter();
        answer(Ok(wire::ListPoolsReply { pools: pools.map(convert::pool).collect() }))
    }

    async fn list_objects(
        &self,
        request: Request<wire::ListObjectsRequest>,
    ) -> Answer<wire::ListObjectsReply> {
        let wire::ListObjectsRequest { pool, after, prefix, max } = request.into_inner();
        let call = Call { name: "list_objects", gid: 0, pool: &pool, object: "", payload: None };
        let listed = calls::call(
            &self.daemon,
            call,
            || async { self.daemon.find(|osd| osd.list_objects(&pool, &prefix, &after, max)).await },
            |(names, _)| names.iter().map(|name| name.len()).sum(),
        );
        let (names, more) = listed.await?;
        let names = names.into_iter().map(store::Name::into_text).collect();
        Ok(Response::new(wire::ListObjectsReply { names, more }))
    }

    async fn allocate_snap_id(
        &self,
        request: Request<wire::AllocateSnapIdRequest>,
    ) -> Answer<wire::AllocateSnapIdReply> {
        let wire::AllocateSnapIdRequest { pool, gid, tid } = request.into_inner();
        let call = Call { name: "allocate_snap_id", gid, pool: &pool, object: "", payload: None };
        let allocated = calls::call(
            &self.daemon,
            call,
            || async { self.daemon.answer(|osd, now| osd.allocate_snap_id(now, &pool, gid, tid)).await },
            calls::small,
        );
        allocated.await.map(|snap_id| Response::new(wire::AllocateSnapIdReply { snap_id }))
    }

    async fn remove_snap_id(
        &self,
        request: Request<wire::RemoveSnapIdRequest>,
    ) -> Answer<wire::RemoveSnapIdReply> {
        let wire::RemoveSnapIdRequest { pool, snap_id, gid } = request.into_inner();
        let call = Call { name: "remove_snap_id", gid, pool: &pool, object: "", payload: None };
        let removed = calls::call(
            &self.daemon,
            call,
            || async { self.daemon.answer(|osd, now| osd.remove_snap_id(now, &pool, snap_id, gid)).await },
            calls::small,
        );
        removed.await.map(|()| Response::new(wire::RemoveSnapIdReply {}))
    }

    async fn events(&self, request: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        let wire::EventsRequest { after, until_now } = request.into_inner();
        let events = events::stream(self.daemon.clone(), after, until_now);
        Ok(streamed(Box::pin(events), Departing::default()))
    }
}
