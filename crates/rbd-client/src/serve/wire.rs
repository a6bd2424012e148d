//! Between librbd's types and those of service RbdClient.

use std::time::Duration;

use librbd::{CallOptions, ImageEvent, OperationEvent, ProgressSink, Protection};
use proto::rbd::v1 as wire;
use tonic::Status;

use crate::failure::Failure;

/// A status that carries the errno's name and number.
pub(super) fn status(failure: impl Into<Failure>) -> Status {
    let failure: Failure = failure.into();
    rpc::status::from_error(&proto::osd::v1::Error {
        number: failure.errno().number(),
        name: failure.errno().name().to_owned(),
        failed_op: None,
        text: failure.to_string(),
    })
}

pub(super) fn call_options(limits: Option<wire::CallLimits>, progress: ProgressSink) -> CallOptions {
    let limits = limits.unwrap_or_default();
    CallOptions {
        attempts_max: (limits.attempts_max > 0).then_some(limits.attempts_max),
        deadline: (limits.deadline_ms > 0).then(|| Duration::from_millis(limits.deadline_ms)),
        progress,
    }
}

pub(super) fn operation_event(event: OperationEvent) -> wire::OperationEvent {
    use wire::operation_event::Event;
    let event = match event {
        OperationEvent::Placed { attempt, forwarded, owner_gid } => {
            Event::Placed(wire::Placed { attempt, forwarded, owner_gid })
        }
        OperationEvent::Progress { offset, total, attempt } => {
            Event::Progress(wire::Progress { offset, total, attempt })
        }
        OperationEvent::Restarted { reason, attempt } => {
            Event::Restarted(wire::Restarted { reason, attempt })
        }
    };
    wire::OperationEvent { event: Some(event) }
}

pub(super) fn client_event(event: ImageEvent) -> wire::client_event::Event {
    use wire::client_event::Event;
    match event {
        ImageEvent::LockState(state) => Event::LockState(wire::LockState { state: state.to_owned() }),
        ImageEvent::Restarted { reason, attempt } => Event::Restarted(wire::Restarted { reason, attempt }),
        ImageEvent::Progress { offset, total, attempt } => {
            Event::Progress(wire::Progress { offset, total, attempt })
        }
        ImageEvent::OperationStarted { operation, request_id: id, remote } => {
            let operation = operation.to_owned();
            Event::OperationStarted(wire::OperationStarted { operation, request_id: id.to_string(), remote })
        }
        ImageEvent::OperationEnded { operation, request_id: id, result } => {
            let operation = operation.to_owned();
            Event::OperationEnded(wire::OperationEnded { operation, request_id: id.to_string(), result })
        }
        ImageEvent::HeaderUpdated => Event::HeaderUpdated(wire::HeaderUpdated {}),
        ImageEvent::WatchState { state, handle, error } => {
            let error = error.map_or_else(String::new, |errno| errno.name().to_owned());
            Event::WatchState(wire::WatchState { state: state.to_owned(), handle, error })
        }
    }
}

pub(super) fn info(info: librbd::Info) -> wire::InfoReply {
    wire::InfoReply {
        features: info.features.names().into_iter().map(str::to_owned).collect(),
        snapshots: info
            .snapshots
            .into_iter()
            .map(|snapshot| wire::SnapshotInfo {
                id: snapshot.id,
                name: snapshot.name,
                size: snapshot.size,
                protected: snapshot.protection != Protection::Unprotected,
                children: snapshot.child_count,
            })
            .collect(),
        parent: info.parent.map(|parent| wire::ParentInfo {
            pool: parent.pool,
            image: parent.image,
            snapshot: parent.snapshot,
            overlap: parent.overlap,
        }),
        pool: info.pool,
        image: info.image,
        id: info.id,
        size: info.size,
        order: info.order,
        gid: info.gid,
        watch_handle: info.watch_handle,
        is_lock_owner: info.is_lock_owner,
        read_only: info.read_only,
        stripe_unit: info.layout.stripe_unit(),
        stripe_count: info.layout.stripe_count(),
        object_prefix: info.object_prefix,
    }
}

pub(super) fn lock_owner(owner: librbd::LockOwner) -> wire::LockOwner {
    wire::LockOwner {
        gid: owner.gid,
        cookie: owner.cookie,
        address: owner.address,
        tag: owner.tag,
        is_self: owner.is_self,
    }
}
