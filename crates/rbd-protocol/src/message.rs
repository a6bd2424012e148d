//! What the clients of one image tell each other through notifies on its header object (facts 4.2).

use crate::ids::{ClientId, RequestId};
use crate::operation::Operation;
use crate::outcome::{Ended, ended_to_message};

/// A notify's payload, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// The sender owns the lock.
    AcquiredLock(ClientId),
    /// The sender no longer owns the lock. None: a peer that does not say who it is.
    ReleasedLock(Option<ClientId>),
    /// The sender wants the lock; answered by the owner alone.
    RequestLock(ClientId),
    /// The header changed: refresh before going on.
    HeaderUpdate,
    /// Owner to requester; restarts the request's timer.
    AsyncProgress {
        /// Which request.
        id: RequestId,
        /// Done so far, in units of the operation.
        offset: u64,
        /// All of it, in the same units.
        total: u64,
    },
    /// Owner to requester: the operation ended.
    AsyncComplete {
        /// Which request.
        id: RequestId,
        /// How.
        result: Ended,
    },
    /// Requester to owner: run this.
    Request(Request),
    /// A payload that this client does not know, or that does not decode.
    Unknown,
}

impl Message {
    /// As events, logs and fault rules name it, e.g. "header_update"; a request as its operation.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AcquiredLock(_) => "acquired_lock",
            Self::ReleasedLock(_) => "released_lock",
            Self::RequestLock(_) => "request_lock",
            Self::HeaderUpdate => "header_update",
            Self::AsyncProgress { .. } => "async_progress",
            Self::AsyncComplete { .. } => "async_complete",
            Self::Request(request) => request.operation.entry().name,
            Self::Unknown => "unknown",
        }
    }

    /// What it says beyond its name and its sender, in words.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::AsyncProgress { id, offset, total } => Some(format!("request {id}: {offset} of {total}")),
            Self::AsyncComplete { id, result } => {
                Some(format!("request {id}: result {}", ended_to_message(result).0))
            }
            Self::Request(Request { id, attempt, operation, .. }) => {
                let request = format!("request {id} attempt {attempt}");
                let arguments = operation.arguments();
                Some(if arguments.is_empty() { request } else { format!("{request}: {arguments}") })
            }
            Self::AcquiredLock(_)
            | Self::ReleasedLock(_)
            | Self::RequestLock(_)
            | Self::HeaderUpdate
            | Self::Unknown => None,
        }
    }

    /// The client instance that the message says it comes from. None: it does not say.
    pub(crate) fn sender(&self) -> Option<u64> {
        match self {
            Self::AcquiredLock(id) | Self::ReleasedLock(Some(id)) => Some(id.gid),
            Self::RequestLock(from) => Some(from.gid),
            Self::Request(request) => Some(request.id.gid),
            Self::ReleasedLock(None)
            | Self::HeaderUpdate
            | Self::AsyncProgress { .. }
            | Self::AsyncComplete { .. }
            | Self::Unknown => None,
        }
    }
}

/// A forwarded maintenance operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Stays the same through all re-sends of one call.
    pub id: RequestId,
    /// The requester's watch handle now; not part of the identity.
    pub handle: u64,
    /// 1 for the first sending; grows with every round of the requester's loop. Lengthens the owner's hold on the lock.
    pub attempt: u32,
    /// Every request of this open with a smaller number has ended.
    pub low_water_mark: u64,
    /// What to do.
    pub operation: Operation,
}
