//! The lock on an image's header as people handle it: `lock ls`, `lock add`, `lock rm`, `lock break`. It has the same name as
//! the automatic exclusive lock, so one keeps the other out.

use errno::Errno;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::break_lock::Outcome;
use rbd_protocol::locker::{LockInfo, LockKind, Locker as Owner, LockerInfo, get_locker};

use crate::breaking::Breaking;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::images::image_id;
use crate::lock_class;
use crate::names;

/// Name of the lock (class `lock`).
pub use rbd_protocol::locker::LOCK_NAME as NAME;
/// Tag of the automatic exclusive lock; locks by hand have another one.
pub use rbd_protocol::locker::LOCK_TAG as AUTOMATIC_TAG;
/// The watch handle in a cookie of the automatic lock.
pub use rbd_protocol::locker::decode_cookie as cookie_handle;
/// Cookie of the automatic lock of a client whose watch has this handle.
pub use rbd_protocol::locker::encode_cookie as automatic_cookie;

/// Who holds the lock of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockList {
    /// False: shared by all holders of the tag.
    pub exclusive: bool,
    /// "internal" = the automatic exclusive lock.
    pub tag: String,
    /// Empty = nobody.
    pub lockers: Vec<Locker>,
}

/// A holder of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locker {
    /// Instance of the client.
    pub gid: u64,
    /// Chosen by the client; "auto HANDLE" of the automatic lock.
    pub cookie: String,
    /// IP:PORT/NONCE when it took the lock.
    pub address: String,
}

/// Who holds the lock. ENOENT if there is no such image.
pub async fn lock_list(io: &IoCtx, image: &str) -> Result<LockList> {
    info(io, &image_id(io, image).await?).await
}

/// Takes the lock by hand, for good: exclusively, or shared with all who use the same tag. EBUSY while it is held otherwise,
/// EEXIST if this client holds it under the cookie already.
pub async fn lock_add(io: &IoCtx, image: &str, cookie: &str, shared_tag: Option<&str>) -> Result<()> {
    if shared_tag == Some(AUTOMATIC_TAG) {
        return Err(Error::invalid(format!("tag {AUTOMATIC_TAG:?} belongs to the automatic exclusive lock")));
    }
    let header = names::header(&image_id(io, image).await?);
    // The class would make a missing header; an image that is being removed must stay gone.
    let op = lock_class::lock_by_hand(ObjectOp::new().assert_exists(), cookie, shared_tag);
    let attempted = format!("lock image {}/{image} with cookie {cookie:?}", io.pool());
    io.operate(&header, op).await.map(drop).map_err(Error::osd(attempted))
}

/// Takes the lock from one holder, dead or alive. Whoever has the automatic lock is fenced first, unless
/// `rbd_blocklist_on_break_lock` is off. ENOENT if (gid, cookie) does not hold it; EINVAL this client itself would be fenced.
pub async fn lock_remove(io: &IoCtx, image: &str, gid: u64, cookie: &str, config: &Config) -> Result<()> {
    let subject = format!("remove lock {cookie:?} of client.{gid} from image {}/{image}", io.pool());
    let header = names::header(&image_id(io, image).await?);
    let seen = lock_class::info(io, &header).await.map_err(Error::osd(subject.clone()))?;
    match get_locker(&seen) {
        Ok(owner) if (owner.client.gid, &*owner.cookie) == (gid, cookie) => {
            match break_lock(io, &header, owner, true, config, &subject).await {
                Err(error) if error.errno() == Errno::EAGAIN => Err(Error::refused(Errno::ENOENT, subject)),
                broken => broken,
            }
        }
        // By hand, or somebody else's: the class knows.
        _ => {
            let op = lock_class::break_lock(ObjectOp::new(), gid, cookie);
            io.operate(&header, op).await.map(drop).map_err(Error::osd(subject))
        }
    }
}

/// Breaks the exclusive lock of an owner that no longer watches the image (facts 3.4): fences it first, unless
/// `rbd_blocklist_on_break_lock` is off. ENOENT nobody holds it; EBUSY the owner is alive, unless `force`, or it is locked by
/// hand; EAGAIN the owner changed meanwhile; EOPNOTSUPP the lock is shared; EINVAL this client itself would be fenced.
pub async fn lock_break(io: &IoCtx, image: &str, force: bool, config: &Config) -> Result<()> {
    let subject = format!("break the lock of image {}/{image}", io.pool());
    let refused = |errno, why: String| Err(Error::refused(errno, format!("{subject}: {why}")));
    let header = names::header(&image_id(io, image).await?);
    let seen = lock_class::info(io, &header).await.map_err(Error::osd(subject.clone()))?;
    match get_locker(&seen) {
        Ok(owner) => break_lock(io, &header, owner, force, config, &subject).await,
        Err(Errno::ENOENT) => refused(Errno::ENOENT, "nobody holds it".to_owned()),
        Err(_) if seen.kind == LockKind::Shared => {
            refused(Errno::EOPNOTSUPP, format!("it is shared by {} clients", seen.lockers.len()))
        }
        Err(errno) => refused(errno, "it was taken by hand; `lock rm` takes it away".to_owned()),
    }
}

/// `subject` says what is attempted, in errors.
async fn break_lock(
    io: &IoCtx,
    header: &str,
    owner: Owner,
    force: bool,
    config: &Config,
    subject: &str,
) -> Result<()> {
    let refused = |errno, why: String| Err(Error::refused(errno, format!("{subject}: {why}")));
    let gid = owner.client.gid;
    let mut breaking = Breaking::new(io, header, config);
    match breaking.run(owner, force).await {
        Outcome::Broken => Ok(()),
        Outcome::OwnerAlive => refused(Errno::EBUSY, format!("its owner client.{gid} is alive")),
        Outcome::OwnerChanged => refused(Errno::EAGAIN, "its owner changed".to_owned()),
        Outcome::OwnerIsSelf => {
            refused(Errno::EINVAL, "its owner is this client, which does not fence itself".to_owned())
        }
        Outcome::Failed(errno) => Err(match breaking.failure {
            Some(source) => Error::Osd { attempted: subject.to_owned(), source },
            None => Error::refused(errno, subject),
        }),
    }
}

/// Who holds the lock of the image with this id.
pub(crate) async fn info(io: &IoCtx, id: &str) -> Result<LockList> {
    let attempted = Error::osd(format!("read the lock of image id {id} in pool {}", io.pool()));
    let LockInfo { kind, tag, lockers } =
        lock_class::info(io, &names::header(id)).await.map_err(attempted)?;
    let locker = |LockerInfo { gid, cookie, address }| Locker { gid, cookie, address };
    let lockers = lockers.into_iter().map(locker).collect();
    Ok(LockList { exclusive: kind != LockKind::Shared, tag, lockers })
}
