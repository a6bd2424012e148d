//! Changes of pools that clients ask for by messages of their own.

use bytes::Bytes;
use ceph_wire::mon::{Paxos, PoolOp, PoolOpReply, op};
use ceph_wire::{Uuid, to_bytes};
use errno::Errno;

use crate::cluster::{Cluster, Refusal};

/// What the reply carries.
type Outcome = Result<Option<Bytes>, Refusal>;

/// A change is carried out.
pub(crate) fn run(request: &PoolOp, cluster: &mut impl Cluster) -> Outcome {
    match request.op {
        op::CREATE => cluster.create_pool(&request.name).map(|_| None),
        op::DELETE => {
            let name = named(request, cluster)?;
            cluster.remove_pool(&name).map(|()| None)
        }
        op::CREATE_SNAP => {
            let name = named(request, cluster)?;
            cluster.create_snap(&name, &request.name).map(|()| None)
        }
        op::DELETE_SNAP => {
            let name = named(request, cluster)?;
            cluster.remove_snap(&name, &request.name).map(|()| None)
        }
        op::CREATE_UNMANAGED_SNAP => {
            let name = named(request, cluster)?;
            cluster.allocate_snap_id(&name).map(|id| Some(to_bytes(&id)))
        }
        op::DELETE_UNMANAGED_SNAP => {
            let name = named(request, cluster)?;
            cluster.remove_snap_id(&name, request.snap_id).map(|()| None)
        }
        other => Err(Refusal::new(Errno::EOPNOTSUPP, format!("pool op {other:#x} is not served"))),
    }
}

/// The name of the pool that is meant.
fn named(request: &PoolOp, cluster: &impl Cluster) -> Result<String, Refusal> {
    let found = cluster.pools().into_iter().find(|pool| pool.id == u64::from(request.pool));
    let missing = || Refusal::new(Errno::ENOENT, format!("there is no pool {}", request.pool));
    found.map(|pool| pool.name).ok_or_else(missing)
}

/// The answer, with the map in which the change shows.
pub(crate) fn reply(fsid: Uuid, epoch: u32, outcome: Outcome) -> PoolOpReply {
    let (result, data) = match outcome {
        Ok(data) => (0, data),
        Err(refusal) => (refusal.errno.result(), None),
    };
    PoolOpReply { paxos: Paxos, fsid, result, epoch, data }
}
