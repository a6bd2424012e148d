//! Wire types to the OSD's types and back: the only place that knows both.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use osd::op::{
    Checksums, Comparison, Dialect, Door, Entries, Op, OpResult, Operand, Output, SnapContext, Terms, Vector,
};
use osd::{Millis, OpError, WatchEvent, WatchRequest};
use proto::osd::v1 as wire;
use store::{Name, ObjectClone};

use crate::across;
use crate::daemon::span;

/// EINVAL for an op that is empty or unknown.
pub fn request(request: wire::OperateRequest) -> Result<osd::Request, OpError> {
    let wire::OperateRequest { gid, tid, watermark, pool, object, snap_id, snap_context, ops } = request;
    let snap_context = snap_context
        .map_or_else(SnapContext::default, |context| SnapContext { seq: context.seq, snaps: context.snaps });
    let snap_id = (snap_id != 0).then_some(snap_id);
    let ops = ops.into_iter().enumerate().map(|(index, op)| self::op(index, op)).collect::<Result<_, _>>()?;
    let (namespace, object) = (Name::default(), object.into());
    let terms = Terms::default();
    let vector = Vector { pool, namespace, object, snap_id, snap_context, terms, ops };
    Ok(osd::Request { gid, tid, watermark, vector })
}

fn op(index: usize, op: wire::Op) -> Result<Op, OpError> {
    use wire::op::Op as W;
    let Some(op) = op.op else {
        let text = format!("op {index} of the vector is empty or not known here");
        return Err(OpError { errno: Errno::EINVAL, failed_op: u32::try_from(index).ok(), text });
    };
    Ok(match op {
        W::Read(wire::Read { offset, length }) => Op::Read { offset, length },
        W::SparseRead(wire::SparseRead { offset, length }) => Op::SparseRead { offset, length },
        W::Stat(wire::Stat {}) => Op::Stat {},
        W::AssertExists(wire::AssertExists {}) => Op::AssertExists {},
        W::AssertVersion(wire::AssertVersion { version }) => Op::AssertVersion { version },
        W::Write(wire::Write { offset, data }) => Op::Write { offset, data },
        W::WriteFull(wire::WriteFull { data }) => Op::WriteFull { data },
        W::Truncate(wire::Truncate { size }) => Op::Truncate { size },
        W::Zero(wire::Zero { offset, length }) => Op::Zero { offset, length },
        W::Create(wire::Create { exclusive }) => Op::Create { exclusive },
        W::Remove(wire::Remove {}) => Op::Remove {},
        W::GetXattr(wire::GetXattr { name }) => Op::GetXattr { name: name.into() },
        W::ListXattrs(wire::ListXattrs {}) => Op::ListXattrs {},
        W::SetXattr(wire::SetXattr { name, value }) => Op::SetXattr { name: name.into(), value },
        W::RemoveXattr(wire::RemoveXattr { name }) => Op::RemoveXattr { name: name.into() },
        W::CompareXattr(wire::CompareXattr { name, value }) => {
            let (comparison, value) = (Comparison::Equal, Operand::Bytes(value));
            Op::CompareXattr { name: name.into(), comparison, value }
        }
        W::OmapList(wire::OmapList { after, prefix, max }) => {
            Op::OmapList { after: after.into(), prefix: prefix.into(), max }
        }
        W::OmapGet(wire::OmapGet { keys }) => Op::OmapGet { keys: names(keys) },
        W::OmapSet(wire::OmapSet { entries }) => {
            Op::OmapSet { entries: entries.into_iter().map(|(key, value)| (key.into(), value)).collect() }
        }
        W::OmapRemove(wire::OmapRemove { keys }) => Op::OmapRemove { keys: names(keys) },
        W::OmapCompare(wire::OmapCompare { key, value }) => Op::OmapCompare { key: key.into(), value },
        W::Exec(wire::Exec { class, method, input }) => {
            Op::Exec { class, method, dialect: Dialect::Protobuf, input }
        }
        W::ListSnaps(wire::ListSnaps {}) => Op::ListSnaps {},
        W::Rollback(wire::Rollback { snap_id }) => Op::Rollback { snap_id },
    })
}

fn names(names: Vec<String>) -> Vec<Name> {
    names.into_iter().map(Name::from).collect()
}

/// About how many bytes the reply has when what it refers to is resolved.
pub fn reply_bytes(reply: &osd::Reply) -> usize {
    /// Of what has a size of its own kind, and little of it.
    const SMALL: u64 = 64;
    let of_entries = |entries: &Entries| -> u64 {
        entries.iter().map(|(name, value)| name.len() as u64 + value.len() as u64 + SMALL).sum()
    };
    let of_result = |result: &OpResult| -> u64 {
        SMALL
            + match &result.output {
                Output::Done | Output::Stat { .. } | Output::Notified { .. } => 0,
                Output::Keys { keys, .. } => keys.iter().map(|key| key.len() as u64 + SMALL).sum(),
                Output::Header { header } => header.len() as u64,
                Output::Checksums { checksums: Checksums::Narrow(sums), .. } => 4 * sums.len() as u64,
                Output::Checksums { checksums: Checksums::Wide(sums), .. } => 8 * sums.len() as u64,
                Output::Watchers { watchers } => SMALL * watchers.len() as u64,
                Output::Read { length, .. } => *length,
                Output::SparseRead { data } => data.allocated() + SMALL * data.runs() as u64,
                Output::Xattrs { entries } | Output::Omap { entries, .. } => of_entries(entries),
                Output::Exec { output } => output.len() as u64,
                Output::ListSnaps { clones, .. } => {
                    clones.iter().map(|clone| SMALL + 8 * clone.snaps.len() as u64).sum()
                }
            }
    };
    let bytes = match reply {
        Ok(answer) => answer.results.iter().map(of_result).sum::<u64>(),
        Err(refused) => refused.error.text.len() as u64,
    };
    usize::try_from(SMALL + bytes).unwrap_or(usize::MAX)
}

/// Resolves the bytes that the reply refers to: not under the OSD's mutex.
pub fn reply(tid: u64, reply: osd::Reply) -> wire::OperateReply {
    match reply {
        Ok(osd::Answer { version, number: _, results }) => {
            let results = results.into_iter().map(result).collect();
            wire::OperateReply { tid, version, results, error: None }
        }
        Err(refused) => {
            wire::OperateReply { tid, version: 0, results: Vec::new(), error: Some(error(refused.error)) }
        }
    }
}

fn result(result: OpResult) -> wire::OpResult {
    use wire::op_result::Result as W;
    let result = match result.output {
        // Of ops that clients of this door have calls for.
        Output::Watchers { .. } | Output::Notified { .. } => W::Done(wire::Done {}),
        Output::Done => W::Done(wire::Done {}),
        Output::Read { data, offset, length } => {
            W::Read(wire::ReadResult { data: data.to_bytes(offset, length) })
        }
        Output::SparseRead { data } => {
            let extents = data.joined().map(|(offset, data)| wire::DataExtent { offset, data });
            W::SparseRead(wire::SparseReadResult { extents: extents.collect() })
        }
        Output::Stat { size, version, .. } => W::Stat(wire::StatResult { size, version }),
        Output::Xattrs { entries } => W::Xattrs(wire::XattrsResult { entries: texts(entries) }),
        Output::Omap { entries, more } => W::Omap(wire::OmapResult { entries: texts(entries), more }),
        Output::Exec { output } => W::Exec(wire::ExecResult { output }),
        // Of ops that have no message.
        Output::Keys { .. } | Output::Header { .. } | Output::Checksums { .. } => {
            return wire::OpResult { result: None };
        }
        Output::ListSnaps { seq, clones, head_bytes } => {
            let clone = |ObjectClone { id, snaps, size, .. }| wire::ObjectClone { id, snaps, size };
            let clones = clones.into_iter().map(clone).collect();
            W::ListSnaps(wire::ListSnapsResult { seq, clones, head_exists: head_bytes.is_some() })
        }
    };
    wire::OpResult { result: Some(result) }
}

/// Names here are text; a name of other bytes, which came through another door, is shown as well as text can.
fn texts(entries: Entries) -> BTreeMap<String, Bytes> {
    entries.into_iter().map(|(name, value)| (name.into_text(), value)).collect()
}

/// A refusal as the wire has it.
pub fn error(error: OpError) -> wire::Error {
    let OpError { errno, failed_op, text } = error;
    wire::Error { number: errno.number(), name: errno.name().to_owned(), failed_op, text }
}

pub(crate) fn status(refusal: OpError) -> tonic::Status {
    rpc::status::from_error(&error(refusal))
}

/// What comes up a watch stream.
pub enum Up {
    /// The first message of a stream names its session.
    Hello {
        /// The instance.
        gid: u64,
    },
    /// Every other one.
    Request(WatchRequest),
}

/// EINVAL for a request that is empty or unknown.
pub fn watch_request(request: wire::WatchRequest) -> Result<Up, OpError> {
    use wire::watch_request::Request as W;
    let Some(request) = request.request else {
        let text = "a watch request is empty or not known here".to_owned();
        return Err(OpError { errno: Errno::EINVAL, failed_op: None, text });
    };
    Ok(Up::Request(match request {
        W::Hello(wire::Hello { gid }) => return Ok(Up::Hello { gid }),
        W::Register(wire::Register { pool, object, cookie, timeout_ms }) => {
            WatchRequest::Register { pool, object, cookie, timeout: span(timeout_ms) }
        }
        W::Reconnect(wire::Reconnect { pool, object, cookie }) => {
            WatchRequest::Reconnect { pool, object, cookie }
        }
        W::Ping(wire::Ping { sequence }) => WatchRequest::Ping { sequence },
        W::Ack(wire::NotifyAck { pool, object, notify_id, cookie, payload }) => {
            WatchRequest::Ack { pool, object, notify_id, cookie, payload }
        }
        W::Unwatch(wire::Unwatch { pool, object, cookie }) => WatchRequest::Unwatch { pool, object, cookie },
    }))
}

/// What goes down a watch stream; `None` for what only clients of Ceph's are sent.
pub fn watch_event(event: WatchEvent) -> Option<wire::WatchEvent> {
    use wire::watch_event::Event as W;
    let event = match event {
        WatchEvent::Result { cookie, error } => {
            W::Result(wire::WatchResult { cookie, error: error.map(self::error) })
        }
        WatchEvent::Pong { sequence } => W::Pong(wire::Pong { sequence }),
        WatchEvent::Notification(notification) => {
            let osd::Notification { pool, object, notify_id, cookie, notifier_gid, door, payload, .. } =
                notification;
            let payload = across::heard(&object, door, Door::Grpc, payload);
            W::Notify(wire::Notification { pool, object, notify_id, cookie, notifier_gid, payload })
        }
        WatchEvent::Ask => W::Ask(wire::Ask {}),
        WatchEvent::NotifyDone { .. } => return None,
        WatchEvent::Disconnected { pool, object, cookie, error } => {
            let error = Some(self::error(error));
            W::Disconnected(wire::Disconnected { pool, object, cookie, error })
        }
    };
    Some(wire::WatchEvent { event: Some(event) })
}

/// A watch that did not answer in time.
pub fn silent_watch(watch: osd::SilentWatch) -> proto::clock::v1::SilentWatch {
    let osd::SilentWatch { gid, cookie, name, pool, object } = watch;
    proto::clock::v1::SilentWatch { gid, cookie, name, pool, object }
}

/// The answer to a notify.
pub fn notify_reply(notify_id: u64, reply: osd::NotifyReply) -> wire::NotifyReply {
    let osd::NotifyReply { object, timed_out, replies, missed, .. } = reply;
    let answer = |ack: &osd::Ack| {
        let payload = across::answered(&object, Door::Grpc, ack);
        wire::NotifyAnswer { gid: ack.gid, cookie: ack.cookie, payload }
    };
    let replies = replies.iter().map(answer).collect();
    let missed = missed.into_iter().map(|(gid, cookie)| wire::WatchId { gid, cookie }).collect();
    wire::NotifyReply { notify_id, timed_out, replies, missed }
}

/// A watch, as others see it.
pub fn watcher(watcher: osd::WatcherInfo) -> wire::Watcher {
    let osd::WatcherInfo { gid, cookie, address, name, timeout, is_connected, expires_in } = watcher;
    let (Millis(timeout_ms), Millis(expires_in_ms)) = (timeout, expires_in);
    wire::Watcher { gid, cookie, address, name, timeout_ms, connected: is_connected, expires_in_ms }
}

/// A session, as others see it.
pub fn session(session: osd::SessionInfo) -> wire::Session {
    let osd::SessionInfo { gid, name, address, is_connected } = session;
    wire::Session { gid, name, address, connected: is_connected }
}

/// A pool and what it holds.
pub fn pool(pool: osd::PoolTotals) -> wire::Pool {
    let osd::PoolTotals { id, name, totals, .. } = pool;
    wire::Pool { id, name, objects: totals.objects, bytes: totals.bytes }
}

/// The limits that clients must respect.
pub fn limits(limits: &osd::Limits) -> wire::Limits {
    wire::Limits {
        payload_bytes_max: limits.payload_bytes_max,
        ops_per_vector_max: limits.ops_per_vector_max,
        watches_per_object_max: limits.watches_per_object_max,
        pending_notifies_per_object_max: limits.pending_notifies_per_object_max,
        in_flight_ops_per_session_max: limits.in_flight_ops_per_session_max,
        object_bytes_max: limits.object_bytes_max,
    }
}

/// An event of the log.
pub fn event(event: &osd::Event) -> wire::Event {
    wire::Event {
        sequence: event.sequence,
        time_ms: event.time.0,
        kind: event.kind.name().to_owned(),
        gid: event.gid,
        tid: event.tid,
        pool: event.pool.clone(),
        object: event.object.clone(),
        version: event.version,
        cookie: event.cookie,
        notify_id: event.notify_id,
        error: event.error.map_or_else(String::new, |error| error.name().to_owned()),
        detail: event.detail.clone(),
        arguments: event.arguments.clone(),
        payload: event.payload.clone(),
        payload_bytes: event.payload_bytes,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_reply_that_waits_counts_at_least_what_it_has_when_it_is_sent() {
        let mut data = store::Extents::new();
        data.push(4096, vec![7; 100_000].into());
        let entries: Entries = [("key".into(), Bytes::from_static(b"value"))].into();
        let outputs = [
            Output::Done,
            Output::Read { data: data.clone(), offset: 0, length: 200_000 },
            Output::SparseRead { data },
            Output::Xattrs { entries: entries.clone() },
            Output::Omap { entries, more: true },
            Output::Exec { output: vec![7; 3000].into() },
            Output::ListSnaps {
                seq: 9,
                clones: vec![ObjectClone {
                    id: 9,
                    snaps: vec![9, 8, 7],
                    size: 1 << 40,
                    overlap: store::Intervals::default(),
                }],
                head_bytes: Some(1),
            },
        ];
        for output in outputs {
            let answer = osd::Answer { version: 1, number: 0, results: vec![output.into()] };
            let counted = reply_bytes(&Ok(answer.clone()));
            let sent = reply(1, Ok(answer)).encoded_len();
            assert!((sent..sent + 200).contains(&counted), "{counted} for {sent}");
        }
    }
}
