use ceph_wire::EntityAddr;
use errno::Errno;

/// What the monitor speaks for: it says what there is and changes it.
pub trait Cluster {
    /// All pools, by number.
    fn pools(&self) -> Vec<PoolState>;
    /// A new pool; its number.
    fn create_pool(&mut self, name: &str) -> Result<u64, Refusal>;
    /// A pool gets another name.
    fn rename_pool(&mut self, from: &str, to: &str) -> Result<(), Refusal>;
    /// A pool goes, with everything in it.
    fn remove_pool(&mut self, name: &str) -> Result<(), Refusal>;
    /// A new snapshot of a whole pool.
    fn create_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal>;
    /// A snapshot of a whole pool goes.
    fn remove_snap(&mut self, pool: &str, name: &str) -> Result<(), Refusal>;
    /// A new snapshot id of a pool.
    fn allocate_snap_id(&mut self, pool: &str) -> Result<u64, Refusal>;
    /// A snapshot id is given up.
    fn remove_snap_id(&mut self, pool: &str, snap_id: u64) -> Result<(), Refusal>;
    /// Fenced instances, by address.
    fn fences(&self) -> Vec<Fence>;
    /// Fences an instance for so many milliseconds; `None` = the usual time. It is in force when this returns.
    fn fence(&mut self, address: &EntityAddr, for_ms: Option<u64>) -> Result<Fence, Refusal>;
    /// Takes a fence away; whether there was one.
    fn unfence(&mut self, address: &EntityAddr) -> bool;
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The newest snapshot id; 0 = none.
    pub snap_seq: u64,
    /// It has had snapshots of its own: clients cannot manage theirs.
    pub has_named_snaps: bool,
    /// Snapshots of the pool, by id.
    pub named_snaps: Vec<NamedSnap>,
    /// What it holds.
    pub usage: Usage,
}

/// A snapshot of a whole pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSnap {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds of Unix time.
    pub created_unix_ms: u64,
}

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A fenced instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Which one.
    pub address: EntityAddr,
    /// In milliseconds of Unix time.
    pub until_unix_ms: u64,
}

/// Something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub errno: Errno,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// An error with its text.
    pub fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}
