//! The engine of op vectors: all ops of a vector against one view, giving their results and one transaction.

mod comparison;
mod ops;
mod overlay;
mod payload;
mod snapshots;
mod table;
pub(crate) mod target;
mod terms;

use std::collections::BTreeMap;

use ceph_wire::{AddrKind, EntityAddr};
use errno::Errno;
use store::{Store, Transaction};

pub use comparison::{Assertions, Comparison, Operand};
pub use ops::checksum::{Checksum, Checksums};
pub use ops::copy_from::Source;
pub use table::Op;
pub use terms::{Door, Terms};

use crate::around::{Around, Deed};
use crate::cls;
use crate::error::{OpError, Outcome, Refusal, Refused, refuse};
use crate::limits::{Limits, TEXT_BYTES_MAX, check_bytes};
use crate::op::{OpResult, Output, Vector};
use crate::pool::PoolInfo;
use crate::text::{beginning, few, shown};
use crate::time::Millis;
use target::Target;

/// On whose behalf a vector runs, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The client instance; 0 = nobody in particular, may not take locks.
    pub gid: u64,
    /// As Ceph shows it: IP:PORT/NONCE.
    pub address: &'a str,
    /// Who watches the object, by global id.
    pub watchers: &'a [u64],
    /// By name, for references that are stored by number.
    pub pools: &'a BTreeMap<String, PoolInfo>,
    /// For locks that expire.
    pub now: Millis,
    /// Wall clock of the step in milliseconds of Unix time, for what is stamped with it.
    pub unix_ms: u64,
    /// What goes on around the object; `None` = nothing can be asked of its watches.
    pub around: Option<Around<'a>>,
}

impl Caller<'_> {
    /// Where he is, as Ceph knows instances; without a socket where the connection has none.
    pub(crate) fn entity(&self) -> EntityAddr {
        let nowhere = EntityAddr { kind: AddrKind::Any, nonce: self.gid as u32, socket: None };
        self.address.parse().unwrap_or(nowhere)
    }
}

/// A vector that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// Of the vector as a whole: see [`Answer::number`](crate::Answer::number).
    pub number: i32,
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
    /// The object has got the pool's next snapshot id.
    SnapIdTaken(u64),
    /// The caller asks for something of the watches around the object.
    Watching(Deed),
}

impl Fact {
    /// A snapshot id that is allocated with the vector.
    pub(crate) fn snap_id(&self) -> Option<u64> {
        if let Self::SnapIdTaken(id) = self { Some(*id) } else { None }
    }

    /// The cookie of a watch that the caller registers.
    pub(crate) fn registered(&self) -> Option<u64> {
        if let Self::Watching(Deed::Register { cookie, .. }) = self { Some(*cookie) } else { None }
    }
}

/// Executes a vector. Nothing is changed here: submit the transaction before any other vector is evaluated.
///
/// Errors: those of the ops (osd.proto); E2BIG, ENAMETOOLONG and EINVAL for a vector that breaks a rule as a whole; ESTALE or
/// ENOENT for a read at a snapshot that was removed; ERESTART for a snap context that is older than the object's, where that
/// matters; EIO and ENOSPC of the store. Where the doors differ: [`Door`].
pub fn evaluate<S: Store>(
    store: &S,
    limits: &Limits,
    pool: &PoolInfo,
    caller: &Caller<'_>,
    vector: &Vector,
) -> Result<Evaluated, Refused> {
    let whole = |refusal| Refused::from(describe(vector, None, &refusal));
    check(limits, pool, vector).map_err(whole)?;
    let mut target = Target::load(store, limits, pool, caller, vector).map_err(whole)?;
    check_object(&target, vector).map_err(whole)?;
    let mut results: Vec<OpResult> = Vec::with_capacity(vector.ops.len());
    let mut read = 0;
    for (index, op) in vector.ops.iter().enumerate() {
        let may_fail = vector.terms.may_fail.contains(&index);
        let unharmed = may_fail.then(|| target.clone());
        match (run(op, &mut target, caller, results.last(), &mut read), unharmed) {
            (Ok(result), _) => results.push(result),
            (Err(refusal), Some(unharmed)) => {
                target = unharmed;
                results.push(refusal.result());
            }
            (Err(refusal), None) => {
                results.push(refusal.result());
                return Err(Refused { error: describe(vector, Some(index), &refusal), results });
            }
        }
    }
    answer(&target, &vector.terms, &mut results).map_err(whole)?;
    Ok(target.finish(results))
}

/// Whether an op comes, in RADOS, to what the one before it came to: after a comparison that holds, 1 (measured on 16.2).
fn keeps_number(op: &Op) -> bool {
    use Op::{
        AssertExists, AssertVersion, ListSnaps, OmapCompare, OmapCompareAll, OmapGet, OmapHeader, OmapKeys,
        OmapList, Stat,
    };
    matches!(
        op,
        Stat {}
            | AssertExists {}
            | AssertVersion { .. }
            | ListSnaps {}
            | OmapList { .. }
            | OmapKeys { .. }
            | OmapGet { .. }
            | OmapHeader {}
            | OmapCompare { .. }
            | OmapCompareAll { .. }
    )
}

/// One op after others, of which `last` is what the one before it came to, and `read` how many bytes were
/// read for all of them.
fn run(
    op: &Op,
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    last: Option<&OpResult>,
    read: &mut u64,
) -> Outcome<OpResult> {
    let mut result = op.execute(target, caller)?;
    if target.door() == Door::Ceph && keeps_number(op) {
        result.number = last.map_or(0, |last| last.number.max(0));
    }
    let bytes = *read + payload::read_for(&result);
    payload::check_results(target.limits(), target.door(), bytes)?;
    *read = bytes;
    Ok(result)
}

/// Most bytes that one op of a vector that has changed something answers with RETURNVEC, as RADOS'
/// `osd_max_write_op_reply_len` (EOVERFLOW).
pub const RETURN_BYTES_MAX: u64 = 64;

/// What Ceph's clients are told of a vector that has changed something: a reply that is lost must not be told from one that
/// is given again.
fn answer(target: &Target<'_>, terms: &Terms, results: &mut [OpResult]) -> Outcome<()> {
    if terms.door == Door::Grpc || !target.has_changed() {
        return Ok(());
    }
    if !terms.returns {
        results.fill(Output::Done.into());
    } else if let Some(bytes) = results.iter().map(payload::of_result).find(|&bytes| bytes > RETURN_BYTES_MAX)
    {
        return refuse(
            Errno::EOVERFLOW,
            format!(
                "an op of a vector that changes something answers {bytes} bytes, above {RETURN_BYTES_MAX}"
            ),
        );
    }
    Ok(())
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

/// Calls that have a name and are no ops of vectors too.
const CALLS: [(&str, Subject); 4] = [
    ("blocklist_add", Subject::Osd),
    ("allocate_snap_id", Subject::Pool),
    ("remove_snap_id", Subject::Pool),
    ("list_objects", Subject::Pool),
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

/// Bytes of a namespace's name, as in RADOS.
const NAMESPACE_BYTES_MAX: usize = 256;

/// The rules of a vector as a whole.
fn check(limits: &Limits, pool: &PoolInfo, vector: &Vector) -> Outcome<()> {
    let Terms { door, .. } = vector.terms;
    let mutates = mutates(&vector.ops);
    let ops_max = door.ops_per_vector_max(limits, mutates);
    if vector.object.is_empty() {
        return refuse(Errno::EINVAL, "an object's name is empty");
    }
    check_bytes("an object's name", &vector.object, door.object_name_bytes_max())?;
    check_bytes("a namespace", &vector.namespace, NAMESPACE_BYTES_MAX)?;
    if vector.ops.len() > ops_max {
        let count = vector.ops.len();
        return refuse(Errno::E2BIG, format!("{count} ops are more than ops_per_vector_max = {ops_max}"));
    }
    let snaps = size_of_val(vector.snap_context.snaps.as_slice()) as u64;
    payload::check_ops(limits, door, vector.ops.iter().map(Op::payload).sum::<u64>() + snaps)?;
    if mutates && vector.snap_id.is_some() {
        return refuse(Errno::EINVAL, "a vector that changes the object cannot name a snap id");
    }
    vector.snap_id.map_or(Ok(()), |snap_id| snapshots::check_read(pool, door, snap_id))?;
    snapshots::check_context(pool, door, &vector.snap_context)?;
    if door == Door::Ceph { vector.ops.iter().try_for_each(check_method) } else { Ok(()) }
}

/// EPERM for a class that is not there, EOPNOTSUPP for a method.
fn check_method(op: &Op) -> Outcome<()> {
    let Op::Exec { class, method, dialect, .. } = op else { return Ok(()) };
    if !cls::has_class(class) {
        return refuse(Errno::EPERM, format!("there is no class {class:?}"));
    }
    cls::method(class, method, *dialect).map(drop)
}

/// What Ceph's clients rely on before any op runs.
fn check_object(target: &Target<'_>, vector: &Vector) -> Outcome<()> {
    let Terms { door, is_snap_ordered, .. } = vector.terms;
    let mutates = mutates(&vector.ops);
    if mutates && is_snap_ordered {
        target.check_snap_order()?;
    }
    if door == Door::Ceph && !mutates && !vector.ops.contains(&Op::ListSnaps {}) {
        target.stat()?;
    }
    Ok(())
}

/// What was attempted on what, and why not.
pub(crate) fn describe(vector: &Vector, failed_op: Option<usize>, refusal: &Refusal) -> OpError {
    let Vector { pool, object, ops, .. } = vector;
    let attempted = failed_op.map_or_else(|| summary(ops), |index| ops[index].name());
    let (attempted, rule) = (beginning(&attempted, TEXT_BYTES_MAX), beginning(&refusal.rule, TEXT_BYTES_MAX));
    let text = format!("{attempted} on {}/{}: {rule}", shown(pool), shown(&object.to_string()));
    OpError { errno: refusal.errno, failed_op: failed_op.map(|index| index as u32), text }
}
