use bytes::Bytes;

use super::OsdOp;
use crate::error::WireError;
use crate::message::payloads;
use crate::{ObjectLocator, Reader, ReqId, SnapContext, Spg, Utime, Wire, Writer};

records! {
    /// What is the same for all ops of a request.
    #[derive(Eq)]
    Head {
        /// Where the object is.
        spg: Spg,
        /// Of its name, whole.
        hash: u32,
        /// Of the client's map.
        epoch: u32,
        /// See [`flag`](super::flag).
        flags: u32,
        /// Zeros: the connection and the message name the request.
        reqid: ReqId,
        /// Of no concern.
        trace: [u8; 24],
        /// Which incarnation of the client.
        incarnation: u32,
        /// What a write stamps the object with.
        mtime: Utime,
        /// Pool and namespace.
        locator: ObjectLocator,
        /// The object's name.
        oid: Bytes,
    }

    /// What follows the ops.
    #[derive(Eq)]
    Tail {
        /// What a read reads.
        snap_id: u64,
        /// Under which snapshots a write is made.
        snap_context: SnapContext,
        /// How often it was sent before.
        retry: i32,
        /// The client's.
        features: u64,
    }
}

/// An op vector on one object. The message's data is the ops' input, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsdOpRequest {
    /// What is the same for all ops.
    pub head: Head,
    /// In order.
    pub ops: Vec<OsdOp>,
    /// The rest.
    pub tail: Tail,
}

impl Wire for OsdOpRequest {
    fn put(&self, out: &mut Writer) {
        self.head.put(out);
        u16::try_from(self.ops.len()).expect("no vector has 65,536 ops").put(out);
        self.ops.iter().for_each(|op| op.put(out));
        self.tail.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let head = Wire::take(from)?;
        let count = u16::take(from)?;
        let ops = (0..count).map(|_| OsdOp::take(from)).collect::<Result<_, _>>();
        let ops = ops.map_err(|error| error.at("OsdOpRequest.ops"))?;
        Ok(Self { head, ops, tail: Wire::take(from)? })
    }
}

payloads! {
    OsdOpRequest = OSD_OP, 8, 3;
}
