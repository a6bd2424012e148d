//! The engine of op vectors: all ops of a vector against one view, giving their results and one transaction.

mod ops;
mod overlay;
mod payload;
mod snapshots;
mod table;
pub(crate) mod target;

use errno::Errno;
use store::{Store, Transaction};

pub use table::Op;

use crate::cls;
use crate::error::{OpError, Outcome, Refusal, refuse};
use crate::limits::{Limits, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::op::{OpResult, Vector};
use crate::pool::PoolInfo;
use crate::text::{beginning, few, shown};
use crate::time::Millis;
use target::Target;

/// On whose behalf a vector runs, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The client instance; 0 = nobody in particular, may not take locks.
    pub gid: u64,
    /// "peer address/gid".
    pub address: &'a str,
    /// For locks that expire.
    pub now: Millis,
    /// Wall clock of the step in milliseconds of Unix time, for what is stamped with it.
    pub unix_ms: u64,
}

/// A vector that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// One for each op.
    pub results: Vec<OpResult>,
    /// Of the object after the vector; for reads of the state that was read; 0 when there is no object.
    pub version: u64,
    /// What to submit; `None` when nothing changed.
    pub transaction: Option<Transaction>,
    /// In the order in which they came to be.
    pub facts: Vec<Fact>,
}

/// What the event log and the watch table need to know beyond the change itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "name and cookie are the lock's, gid is the former holder's")]
pub enum Fact {
    /// HEAD existed before the vector and was removed by it, if only to be created again.
    ObjectRemoved,
    /// The caller holds the lock; also said when it renewed it.
    LockTaken { name: String, cookie: String },
    /// The caller gave the lock up.
    LockReleased { name: String, cookie: String },
    /// The caller took the lock away from its holder.
    LockBroken { name: String, gid: u64, cookie: String },
    /// The caller holds the lock under another cookie.
    LockCookieChanged { name: String, old: String, new: String },
}

/// Executes a vector. Nothing is changed here: submit the transaction before any other vector is evaluated.
///
/// Errors: those of the ops (osd.proto); E2BIG, ENAMETOOLONG and EINVAL for a vector that breaks a rule as a whole; ESTALE
/// for a read at a snapshot that was removed; EIO and ENOSPC of the store.
pub fn evaluate<S: Store>(
    store: &S,
    limits: &Limits,
    pool: &PoolInfo,
    caller: &Caller<'_>,
    vector: &Vector,
) -> Result<Evaluated, OpError> {
    let whole = |refusal| describe(vector, None, &refusal);
    check(limits, pool, vector).map_err(whole)?;
    let mut target = Target::load(store, limits, pool, caller, vector).map_err(whole)?;
    let mut results = Vec::with_capacity(vector.ops.len());
    let mut result_bytes = 0;
    for (index, op) in vector.ops.iter().enumerate() {
        let failed = |refusal| describe(vector, Some(index), &refusal);
        let result = op.execute(&mut target, caller).map_err(failed)?;
        result_bytes += payload::of_result(&result);
        payload::check(limits, "results", result_bytes).map_err(failed)?;
        results.push(result);
    }
    Ok(target.finish(results))
}

/// Whether a vector with these ops may change the object.
pub fn mutates(ops: &[Op]) -> bool {
    ops.iter().any(Op::mutates)
}

/// Ops that a summary names: a vector is summed up before its ops are counted, too.
const OPS_NAMED_MAX: usize = 64;

/// The ops in short, e.g. "lock.lock, rbd.get_header".
pub fn summary(ops: &[Op]) -> String {
    few(ops.iter().map(Op::name), OPS_NAMED_MAX)
}

/// For each op that the summary names what it is about; empty when there is nothing to say of any.
pub(crate) fn arguments(ops: &[Op]) -> Vec<String> {
    let arguments: Vec<String> = ops.iter().take(OPS_NAMED_MAX).map(cls::argument).collect();
    if arguments.iter().all(String::is_empty) { Vec::new() } else { arguments }
}

/// The call by which clients notify.
pub const CALL_NOTIFY: &str = "notify";

/// Calls other than op vectors that have a name.
const CALLS: [(&str, Subject); 5] = [
    (CALL_NOTIFY, Subject::Object),
    ("list_watchers", Subject::Object),
    ("blocklist_add", Subject::Osd),
    ("allocate_snap_id", Subject::Pool),
    ("remove_snap_id", Subject::Pool),
];

/// What an op or a call is about. The later, the more it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Neither a pool nor an object.
    Osd,
    /// A pool.
    Pool,
    /// An object of a pool.
    Object,
}

/// Every name of an op, of a class's method ("lock.lock") and of a call ("notify"), and what it is about.
pub fn names() -> impl Iterator<Item = (String, Subject)> {
    let of_objects = table::OWN_NAMES.iter().map(|&name| name.to_owned()).chain(cls::method_names());
    let calls = CALLS.into_iter().map(|(name, subject)| (name.to_owned(), subject));
    of_objects.map(|name| (name, Subject::Object)).chain(calls)
}

/// How many bytes the results of a vector carry.
pub(crate) fn result_bytes(results: &[OpResult]) -> u64 {
    results.iter().map(payload::of_result).sum()
}

/// The rules of a vector as a whole.
fn check(limits: &Limits, pool: &PoolInfo, vector: &Vector) -> Outcome<()> {
    let ops_max = limits.ops_per_vector_max as usize;
    if vector.object.is_empty() {
        return refuse(Errno::EINVAL, "an object's name has 1 to 256 bytes");
    }
    if vector.object.len() > NAME_BYTES_MAX {
        return refuse(Errno::ENAMETOOLONG, "an object's name has 1 to 256 bytes");
    }
    if vector.ops.len() > ops_max {
        let count = vector.ops.len();
        return refuse(Errno::E2BIG, format!("{count} ops are more than ops_per_vector_max = {ops_max}"));
    }
    let snaps = size_of_val(vector.snap_context.snaps.as_slice()) as u64;
    payload::check(limits, "ops", vector.ops.iter().map(Op::payload).sum::<u64>() + snaps)?;
    if mutates(&vector.ops) && vector.snap_id.is_some() {
        return refuse(Errno::EINVAL, "a vector that changes the object cannot name a snap id");
    }
    vector.snap_id.map_or(Ok(()), |snap_id| pool.check_snap_id(snap_id))?;
    snapshots::check_context(pool, &vector.snap_context)
}

/// What was attempted on what, and why not.
pub(crate) fn describe(vector: &Vector, failed_op: Option<usize>, refusal: &Refusal) -> OpError {
    let Vector { pool, object, ops, .. } = vector;
    let attempted = failed_op.map_or_else(|| summary(ops), |index| ops[index].name());
    let (attempted, rule) = (beginning(&attempted, TEXT_BYTES_MAX), beginning(&refusal.rule, TEXT_BYTES_MAX));
    let text = format!("{attempted} on {}/{}: {rule}", shown(pool), shown(&object.to_string()));
    OpError { errno: refusal.errno, failed_op: failed_op.map(|index| index as u32), text }
}
