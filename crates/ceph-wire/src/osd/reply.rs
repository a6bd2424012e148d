use bytes::Bytes;

use super::OsdOp;
use crate::error::{Problem, WireError};
use crate::message::payloads;
use crate::{Eversion, Pg, Reader, Wire, Writer};

/// The answer to an op vector. The message's data is the ops' output, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsdOpReply {
    /// The request's object.
    pub oid: Bytes,
    /// The request's group, without its shard.
    pub pg: Pg,
    /// The request's flags, and that it succeeded.
    pub flags: u64,
    /// Of the whole vector.
    pub result: i32,
    /// What old clients know it by.
    pub bad_replay_version: Eversion,
    /// Of the map.
    pub epoch: u32,
    /// The request's, with the bytes of their output, and what each of them came to.
    pub ops: Vec<(OsdOp, i32)>,
    /// The request's: another one is ignored.
    pub retry: i32,
    /// Of the write.
    pub replay_version: Eversion,
    /// Of the object.
    pub user_version: u64,
}

impl Wire for OsdOpReply {
    fn put(&self, out: &mut Writer) {
        self.oid.put(out);
        self.pg.put(out);
        self.flags.put(out);
        self.result.put(out);
        self.bad_replay_version.put(out);
        self.epoch.put(out);
        u32::try_from(self.ops.len()).expect("no vector has 65,536 ops").put(out);
        self.ops.iter().for_each(|(op, _)| op.put(out));
        self.retry.put(out);
        self.ops.iter().for_each(|(_, result)| result.put(out));
        self.replay_version.put(out);
        self.user_version.put(out);
        // Nobody is sent elsewhere, and nothing is traced.
        false.put(out);
        [0u8; 24].put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (oid, pg, flags) = (Wire::take(from)?, Wire::take(from)?, Wire::take(from)?);
        let (result, bad_replay_version, epoch) = (Wire::take(from)?, Wire::take(from)?, Wire::take(from)?);
        let count = u32::take(from)?;
        let ops = (0..count).map(|_| OsdOp::take(from)).collect::<Result<Vec<_>, _>>()?;
        let retry = Wire::take(from)?;
        let results = ops.into_iter().map(|op| Ok((op, i32::take(from)?))).collect::<Result<_, _>>()?;
        let (replay_version, user_version) = (Wire::take(from)?, Wire::take(from)?);
        if bool::take(from)? {
            return Err(WireError { field: "OsdOpReply.redirect", problem: Problem::Unknown(1) });
        }
        from.bytes(24)?;
        let ops = results;
        Ok(Self {
            oid,
            pg,
            flags,
            result,
            bad_replay_version,
            epoch,
            ops,
            retry,
            replay_version,
            user_version,
        })
    }
}

payloads! {
    OsdOpReply = OSD_OPREPLY, 8, 2;
}
