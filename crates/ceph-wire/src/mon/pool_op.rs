use bytes::Bytes;

use crate::Uuid;
use crate::message::payloads;
use crate::mon::Paxos;

records! {
    /// A change of a pool.
    #[derive(Eq)]
    PoolOp {
        /// Of no concern.
        paxos: Paxos,
        /// The cluster that is meant.
        fsid: Uuid,
        /// Which pool.
        pool: u32,
        /// Which change; see [`op`].
        op: u32,
        /// What was the pool's owner.
        auid: u64,
        /// Which snapshot.
        snap_id: u64,
        /// Of the pool, or of the snapshot.
        name: String,
        /// Nothing.
        pad: u8,
        /// Of a new pool; -1 = the usual one.
        crush_rule: i16,
    }

    /// What became of it.
    #[derive(Eq)]
    PoolOpReply {
        /// Of no concern.
        paxos: Paxos,
        /// The cluster.
        fsid: Uuid,
        /// 0, or a negative error.
        result: i32,
        /// The map in which it shows.
        epoch: u32,
        /// A new snapshot id, encoded.
        data: Option<Bytes>,
    }
}

payloads! {
    PoolOp = POOLOP, 4, 2;
    PoolOpReply = POOLOP_REPLY, 1, 1;
}

/// Numbers of changes of a pool.
pub mod op {
    /// A new pool of that name.
    pub const CREATE: u32 = 0x01;
    /// The pool goes.
    pub const DELETE: u32 = 0x02;
    /// A snapshot of the whole pool.
    pub const CREATE_SNAP: u32 = 0x11;
    /// Such a one goes.
    pub const DELETE_SNAP: u32 = 0x12;
    /// A snapshot id that clients manage.
    pub const CREATE_UNMANAGED_SNAP: u32 = 0x21;
    /// Such a one is given up.
    pub const DELETE_UNMANAGED_SNAP: u32 = 0x22;
}
