//! One pool in a memory store, and short ways to run vectors on it.
#![allow(dead_code, reason = "every test program uses its own part")]

use bytes::Bytes;
use errno::Errno;
use osd::op::{Comparison, Dialect, Op, OpResult, Operand, Output, SnapContext, Terms, Vector};
use osd::vector::{Caller, Evaluated, evaluate};
use osd::{Limits, Millis, OpError, PoolInfo, Refused};
use prost::Message;
use store::{Change, MemoryStore, Name, ObjectChange, PoolId, Store, Transaction};

/// Wall clock at the beginning.
pub(crate) const STARTED_UNIX_MS: u64 = 1_800_000_000_000;

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) pool: PoolInfo,
    /// Other pools, which images may refer to.
    pub(crate) others: Vec<PoolInfo>,
    pub(crate) limits: Limits,
    /// Under which writes are made.
    pub(crate) context: SnapContext,
    /// Under which vectors run.
    pub(crate) terms: Terms,
    /// Who watches every object, by global id.
    pub(crate) watchers: Vec<u64>,
    pub(crate) now: Millis,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            pool: PoolInfo::new(PoolId(1), "rbd"),
            others: Vec::new(),
            limits: Limits::default(),
            context: SnapContext::default(),
            terms: Terms::default(),
            watchers: Vec::new(),
            now: Millis(0),
        }
    }

    /// Runs a vector and submits what it made.
    pub(crate) fn run(&mut self, gid: u64, vector: &Vector) -> Result<Evaluated, OpError> {
        self.reply(gid, vector).map_err(|refused| refused.error)
    }

    /// The same, with what the ops of a vector that was refused came to.
    pub(crate) fn reply(&mut self, gid: u64, vector: &Vector) -> Result<Evaluated, Refused> {
        let unix_ms = STARTED_UNIX_MS + self.now.0;
        let (address, watchers) = ("127.0.0.1:1/1", &self.watchers[..]);
        let pools =
            self.others.iter().chain([&self.pool]).map(|pool| (pool.name.clone(), pool.clone())).collect();
        let caller = Caller { gid, address, pools: &pools, watchers, now: self.now, unix_ms, around: None };
        let evaluated = evaluate(&self.store, &self.limits, &self.pool, &caller, vector)?;
        if let Some(transaction) = &evaluated.transaction {
            self.store.submit(transaction.clone()).expect("memory does not fail");
        }
        Ok(evaluated)
    }

    pub(crate) fn vector(&self, object: &str, ops: impl Into<Vec<Op>>) -> Vector {
        Vector {
            pool: "rbd".into(),
            namespace: Name::default(),
            object: object.into(),
            snap_id: None,
            snap_context: self.context.clone(),
            terms: self.terms.clone(),
            ops: ops.into(),
        }
    }

    pub(crate) fn ops(&mut self, object: &str, ops: impl Into<Vec<Op>>) -> Result<Evaluated, OpError> {
        self.run(1, &self.vector(object, ops))
    }

    pub(crate) fn must(&mut self, object: &str, ops: impl Into<Vec<Op>>) -> Evaluated {
        self.ops(object, ops).expect("the test set this up to succeed")
    }

    pub(crate) fn errno(&mut self, object: &str, ops: impl Into<Vec<Op>>) -> Errno {
        self.ops(object, ops).expect_err("the test set this up to be refused").errno
    }

    /// A class call by client `gid`.
    pub(crate) fn call<I: Message, O: Message + Default>(
        &mut self,
        gid: u64,
        object: &str,
        method: &str,
        input: &I,
    ) -> Result<O, Errno> {
        let evaluated =
            self.run(gid, &self.vector(object, [exec(method, input)])).map_err(|error| error.errno)?;
        Ok(O::decode(exec_output(&evaluated)).expect("a class answers with its message"))
    }

    /// A class call by client `gid` in Ceph's encoding, by Ceph's rules.
    pub(crate) fn ceph_call(
        &mut self,
        gid: u64,
        object: &str,
        method: &str,
        input: Bytes,
    ) -> Result<Bytes, Errno> {
        let vector = Vector { terms: Terms::ceph(), ..self.vector(object, [ceph_exec(method, input)]) };
        self.run(gid, &vector).map(|evaluated| exec_output(&evaluated)).map_err(|error| error.errno)
    }

    /// What a read of everything sees; `None` when there is no object.
    pub(crate) fn read(&mut self, object: &str, snap_id: Option<u64>) -> Option<Vec<u8>> {
        let vector = Vector { snap_id, ..self.vector(object, [Op::Read { offset: 0, length: 0 }]) };
        match self.run(1, &vector) {
            Ok(evaluated) => Some(bytes(&evaluated.results[0].output)),
            Err(error) => {
                assert_eq!(error.errno, Errno::ENOENT, "{error}");
                None
            }
        }
    }

    /// A snapshot that later writes preserve.
    pub(crate) fn snap(&mut self) -> u64 {
        let id = self.pool.allocate_snap_id();
        self.context.seq = id;
        self.context.snaps.insert(0, id);
        id
    }

    pub(crate) fn remove_snap(&mut self, id: u64) {
        self.context.snaps.retain(|&snap| snap != id);
        assert!(self.pool.remove_snap_id(id));
        let objects = self.store.preserving(self.pool.id, id, usize::MAX).expect("memory does not fail");
        let drop = |object| Change::Object { id: object, changes: vec![ObjectChange::DropSnap { snap: id }] };
        let changes = objects.into_iter().map(drop).collect();
        self.store.submit(Transaction { changes }).expect("memory does not fail");
    }

    /// Everything there is, to be compared.
    pub(crate) fn dump(&self) -> String {
        format!("{:?}", self.store)
    }
}

pub(crate) fn write(offset: u64, data: &[u8]) -> Op {
    Op::Write { offset, data: Bytes::copy_from_slice(data) }
}

pub(crate) fn compare_xattr(name: &str, value: impl AsRef<[u8]>) -> Op {
    let value = Operand::Bytes(Bytes::copy_from_slice(value.as_ref()));
    Op::CompareXattr { name: name.into(), comparison: Comparison::Equal, value }
}

/// `method` is "class.method".
pub(crate) fn exec(method: &str, input: &impl Message) -> Op {
    let (class, method) = method.split_once('.').expect("class.method");
    Op::Exec {
        class: class.into(),
        method: method.into(),
        dialect: Dialect::Protobuf,
        input: input.encode_to_vec().into(),
    }
}

/// The same in Ceph's encoding.
pub(crate) fn ceph_exec(method: &str, input: Bytes) -> Op {
    let (class, method) = method.split_once('.').expect("class.method");
    Op::Exec { class: class.into(), method: method.into(), dialect: Dialect::Ceph, input }
}

/// What the only op of a vector, a class call, has answered.
pub(crate) fn exec_output(evaluated: &Evaluated) -> Bytes {
    match evaluated.results.as_slice() {
        [OpResult { output: Output::Exec { output }, .. }] => output.clone(),
        // Ceph's clients are told nothing of a change.
        [OpResult { output: Output::Done, .. }] => Bytes::new(),
        results => panic!("not a class call's result: {results:?}"),
    }
}

pub(crate) fn bytes(output: &Output) -> Vec<u8> {
    let Output::Read { data, offset, length } = output else { panic!("not a read's result: {output:?}") };
    data.to_bytes(*offset, *length).to_vec()
}

/// The answers of a vector.
pub(crate) fn outputs(evaluated: &Evaluated) -> Vec<Output> {
    evaluated.results.iter().map(|result| result.output.clone()).collect()
}
