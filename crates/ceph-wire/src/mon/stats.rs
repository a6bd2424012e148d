use crate::error::WireError;
use crate::message::payloads;
use crate::mon::Paxos;
use crate::{Reader, Uuid, Wire, Writer};

records! {
    /// Asks how full the cluster is.
    #[derive(Copy, Eq)]
    Statfs {
        /// Of no concern.
        paxos: Paxos,
        /// The cluster that is meant.
        fsid: Uuid,
        /// Only this pool.
        pool: Option<i64>,
    }

    /// How full the cluster is.
    #[derive(Copy, Eq)]
    StatfsReply {
        /// The cluster.
        fsid: Uuid,
        /// Of the figures.
        version: u64,
        /// All KiB.
        kib: u64,
        /// KiB in use.
        kib_used: u64,
        /// KiB that are free.
        kib_available: u64,
        /// Objects.
        objects: u64,
    }

    /// Asks how much pools hold.
    #[derive(Eq)]
    GetPoolStats {
        /// Of no concern.
        paxos: Paxos,
        /// The cluster that is meant.
        fsid: Uuid,
        /// Their names.
        pools: Vec<String>,
    }
}

/// What pools hold: nothing is said, as by a real monitor without a manager. Clients show zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetPoolStatsReply {
    /// The cluster.
    pub fsid: Uuid,
}

impl Wire for GetPoolStatsReply {
    fn put(&self, out: &mut Writer) {
        Paxos.put(out);
        self.fsid.put(out);
        // No pools, and each would be counted by itself.
        0u32.put(out);
        true.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Paxos::take(from)?;
        let fsid = Wire::take(from)?;
        u32::take(from)?;
        bool::take(from)?;
        Ok(Self { fsid })
    }
}

payloads! {
    Statfs = STATFS, 2, 1;
    StatfsReply = STATFS_REPLY, 1, 1;
    GetPoolStats = GETPOOLSTATS, 1, 1;
    GetPoolStatsReply = GETPOOLSTATS_REPLY, 2, 1;
}
