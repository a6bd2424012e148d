//! What a client asks of the OSD: the op vectors of librbd, and its answers.

use bytes::Bytes;
use errno::Errno;
use osd::op::{Dialect, Op, Output, SnapContext, Terms, Vector};
use osd::{Refused, Reply};
use prost::Message as _;
use proto::cls::lock::v1 as lock;
use proto::cls::rbd::v1 as rbd;
use rbd_protocol::locker::{LOCK_NAME, LOCK_TAG, LockInfo, LockKind, LockerInfo, encode_cookie};
use rbd_protocol::{
    ClientId, Ended, Message, NotifyAnswers, RequestId, ended_from_message, ended_to_message,
};

/// The pool of everything.
pub const POOL: &str = "rbd";
/// The image's id.
pub const IMAGE: &str = "i";
/// The header of the image that all clients have open.
pub const HEADER: &str = "rbd_header.i";
/// The header of its parent.
pub const PARENT_HEADER: &str = "rbd_header.p";
/// What the parent has in object 0; object 1 is a hole in it.
pub const PARENT_DATA: &[u8] = b"P";
/// Data objects of the image.
pub const OBJECTS: u64 = 2;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are those of the classes' messages and of rbd-protocol")]
pub enum Ask {
    /// Who holds the lock.
    Locker,
    /// Take the lock, and read the header.
    Lock { cookie: String },
    /// Change the cookie of the held lock, and read the header.
    SetCookie { old: u64, new: u64 },
    /// Give the lock back.
    Unlock { handle: u64 },
    /// Take the lock away from its holder.
    Break { gid: u64, cookie: String },
    /// Who watches the header.
    Watchers,
    /// Put on the blocklist.
    Fence { gid: u64, unless_watching: bool },
    /// Tell everybody who has the image open.
    Notify(Message),
    /// Read the header.
    Header,
    /// Read the record of a request, and whether its requester's session lives.
    LookUp(RequestId),
    /// The op vector by which an operation becomes true: the lock is asserted.
    Commit { cookie: String, id: RequestId, change: Change, record: Option<Ended> },
    /// Record that nobody may commit the request any more.
    Withdraw { id: RequestId, errno: Errno },
    /// Take the image out of its parent's list of children.
    DetachChild,
    /// Whether a data object exists.
    Touch { object: u64 },
    /// Write to a data object; `guarded`: only if it exists.
    Write { object: u64, value: u8, guarded: bool },
    /// Clear a data object so that it hides the parent, or remove it.
    Discard { object: u64, removes: bool },
    /// Bring the parent's data in.
    CopyUp { object: u64 },
}

/// What a commit changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// HEAD has no parent any more.
    DetachParent,
    /// There is one more snapshot.
    AddSnapshot(String),
    /// Only the record.
    Nothing,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are those of the classes' messages and of rbd-protocol")]
pub enum Answer {
    /// It has happened.
    Done,
    /// It has happened, and this is the header.
    Header { has_parent: bool },
    /// Nothing has happened; the op that failed, by its position.
    Failed(Errno, Option<u32>),
    /// Who holds the lock.
    Locker(LockInfo),
    /// Who watches the header.
    Watchers(Vec<ClientId>),
    /// What came of a notify.
    Notified(NotifyAnswers),
    /// The record of a request, if there is one, and whether its requester's session lives.
    Known { ended: Option<Ended>, requester_lives: bool },
}

impl Ask {
    /// Questions of one client about one object are answered in their order; others may overtake each other.
    pub fn object(&self) -> Option<String> {
        match self {
            Self::Watchers | Self::Fence { .. } | Self::Notify(_) => None,
            Self::Touch { object }
            | Self::Write { object, .. }
            | Self::Discard { object, .. }
            | Self::CopyUp { object } => Some(data_object(*object)),
            Self::DetachChild => Some(PARENT_HEADER.to_owned()),
            _ => Some(HEADER.to_owned()),
        }
    }

    /// Changes data without looking at the lock: only the fence keeps a former owner from it.
    pub fn changes_data(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Discard { .. } | Self::CopyUp { .. })
    }

    /// The op vector; `None` for a call that is none.
    pub fn vector(&self) -> Option<Vector> {
        let header = || exec("rbd", "get_header", &());
        let ops = match self {
            Self::Watchers | Self::Fence { .. } | Self::Notify(_) => return None,
            Self::Locker => vec![exec("lock", "get_info", &lock::GetInfo { name: LOCK_NAME.to_owned() })],
            Self::Lock { cookie } => vec![lock_op(cookie), header()],
            Self::SetCookie { old, new } => vec![set_cookie(*old, *new), header()],
            Self::Unlock { handle } => {
                let cookie = encode_cookie(*handle);
                vec![exec("lock", "unlock", &lock::Unlock { name: LOCK_NAME.to_owned(), cookie })]
            }
            Self::Break { gid, cookie } => {
                let (name, cookie) = (LOCK_NAME.to_owned(), cookie.clone());
                vec![exec("lock", "break_lock", &lock::BreakLock { name, gid: *gid, cookie })]
            }
            Self::Header => vec![header()],
            Self::LookUp(id) => vec![Op::OmapGet { keys: vec![done_key(*id).as_str().into()] }],
            Self::Commit { cookie, id, change, record } => commit(cookie, *id, change, record.as_ref()),
            Self::Withdraw { id, errno } => {
                let ended = Err((*errno).into());
                [vec![Op::AssertExists {}], record_ops(*id, &ended)].concat()
            }
            Self::DetachChild => vec![exec("rbd", "child_detach", &child())],
            Self::Touch { .. } => vec![Op::AssertExists {}],
            Self::Write { value, guarded, .. } => {
                let write = Op::Write { offset: 0, data: vec![*value].into() };
                if *guarded { vec![Op::AssertExists {}, write] } else { vec![write] }
            }
            Self::Discard { removes: true, .. } => vec![Op::AssertExists {}, Op::Remove {}],
            Self::Discard { .. } => vec![Op::Create { exclusive: false }, Op::Truncate { size: 0 }],
            Self::CopyUp { .. } => {
                vec![exec("rbd", "copyup", &rbd::Copyup { data: Bytes::from_static(PARENT_DATA) })]
            }
        };
        Some(vector(&self.object()?, ops))
    }

    /// What the reply to its vector says.
    pub fn answer(&self, reply: &Reply, requester_lives: bool) -> Answer {
        let results = match reply {
            Ok(answer) => &answer.results,
            Err(Refused { error, .. }) => return Answer::Failed(error.errno, error.failed_op),
        };
        let last = results.last().map(|result| &result.output);
        match (self, last) {
            (Self::Locker, Some(Output::Exec { output })) => Answer::Locker(lock_info(output)),
            (
                Self::Lock { .. } | Self::SetCookie { .. } | Self::Header | Self::Commit { .. },
                Some(Output::Exec { output }),
            ) => Answer::Header { has_parent: has_parent(output) },
            (Self::LookUp(id), Some(Output::Omap { entries, .. })) => {
                let value = entries.get(done_key(*id).as_bytes());
                Answer::Known { ended: value.map(|value| decode_ended(value)), requester_lives }
            }
            _ => Answer::Done,
        }
    }
}

/// A vector on an object of the pool, without snapshots.
pub fn vector(object: &str, ops: Vec<Op>) -> Vector {
    Vector {
        pool: POOL.to_owned(),
        namespace: Default::default(),
        object: object.into(),
        snap_id: None,
        snap_context: SnapContext::default(),
        terms: Terms::default(),
        ops,
    }
}

/// A class's method.
pub fn exec(class: &str, method: &str, input: &impl prost::Message) -> Op {
    let input = input.encode_to_vec().into();
    Op::Exec { class: class.to_owned(), method: method.to_owned(), dialect: Dialect::Protobuf, input }
}

/// Name of a data object.
pub fn data_object(number: u64) -> String {
    format!("rbd_data.i.{number:016x}")
}

/// The image, as its parent lists it.
pub fn child() -> rbd::Child {
    rbd::Child { snap_id: 1, pool: POOL.to_owned(), image_id: IMAGE.to_owned() }
}

/// Whether HEAD has a parent.
pub fn has_parent(header: &[u8]) -> bool {
    let header = rbd::Header::decode(header).unwrap_or_default();
    header.parent.is_some_and(|parent| parent.head_overlap.is_some())
}

fn lock_op(cookie: &str) -> Op {
    let input = lock::Lock {
        name: LOCK_NAME.to_owned(),
        r#type: lock::LockType::Exclusive.into(),
        cookie: cookie.to_owned(),
        tag: LOCK_TAG.to_owned(),
        may_renew: true,
        ..lock::Lock::default()
    };
    exec("lock", "lock", &input)
}

fn set_cookie(old: u64, new: u64) -> Op {
    let input = lock::SetCookie {
        name: LOCK_NAME.to_owned(),
        r#type: lock::LockType::Exclusive.into(),
        cookie: encode_cookie(old),
        tag: LOCK_TAG.to_owned(),
        new_cookie: encode_cookie(new),
    };
    exec("lock", "set_cookie", &input)
}

fn commit(cookie: &str, id: RequestId, change: &Change, record: Option<&Ended>) -> Vec<Op> {
    let asserted = lock::AssertLocked {
        name: LOCK_NAME.to_owned(),
        r#type: lock::LockType::Exclusive.into(),
        cookie: cookie.to_owned(),
        tag: LOCK_TAG.to_owned(),
    };
    let mut ops = vec![exec("lock", "assert_locked", &asserted)];
    ops.push(match change {
        Change::DetachParent => exec("rbd", "parent_detach", &()),
        Change::AddSnapshot(name) => {
            exec("rbd", "snapshot_add", &rbd::SnapshotAdd { name: name.clone(), ..Default::default() })
        }
        Change::Nothing => Op::AssertExists {},
    });
    ops.extend(record.into_iter().flat_map(|ended| record_ops(id, ended)));
    ops.push(exec("rbd", "get_header", &()));
    ops
}

/// The record of a request that has none.
fn record_ops(id: RequestId, ended: &Ended) -> Vec<Op> {
    let key = done_key(id);
    let (result, reason) = ended_to_message(ended);
    let value: Bytes = [&result.to_le_bytes()[..], reason.as_bytes()].concat().into();
    let compared = Op::OmapCompare { key: key.as_str().into(), value: None };
    vec![compared, Op::OmapSet { entries: [(key.as_str().into(), value)].into() }]
}

fn decode_ended(value: &[u8]) -> Ended {
    let Some((result, reason)) = value.split_first_chunk() else { return Ok(()) };
    ended_from_message(i32::from_le_bytes(*result), String::from_utf8_lossy(reason))
}

fn done_key(id: RequestId) -> String {
    format!("done_{}.{}_{:016x}", id.gid, id.open, id.number)
}

fn lock_info(output: &[u8]) -> LockInfo {
    let info = lock::GetInfoReply::decode(output).unwrap_or_default();
    let kind = match info.r#type() {
        lock::LockType::Exclusive => LockKind::Exclusive,
        lock::LockType::Shared => LockKind::Shared,
        lock::LockType::None | lock::LockType::ExclusiveEphemeral => LockKind::Other,
    };
    let locker =
        |locker: lock::Locker| LockerInfo { gid: locker.gid, cookie: locker.cookie, address: locker.address };
    LockInfo { kind, tag: info.tag, lockers: info.lockers.into_iter().map(locker).collect() }
}
