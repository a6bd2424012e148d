//! What the clients of one image tell each other through notifies on its header object (facts 4.2).

use crate::ids::{ClientId, RequestId};
use crate::operation::Operation;
use crate::outcome::Ended;

/// A notify's payload, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
