//! The exclusive lock at the OSD: class `lock` on the header object.

use errno::Errno;
use proto::cls::lock::v1 as cls;
use proto::cls::rbd::v1 as rbd;
use rados::ObjectOp;
use rbd_protocol::acquire::{self, AcquireRequest, Outcome, Step};
use rbd_protocol::locker::{LOCK_NAME, LOCK_TAG, LockInfo, LockKind, LockerInfo, encode_cookie};
use rbd_protocol::{ClientId, OpResult, break_lock};

use crate::header::Header;
use crate::opened::OpenImage;

/// Takes the lock under this watch handle, or finds out why not. With it comes the header that the same op vector read.
pub(super) async fn acquire(image: &OpenImage, handle: u64) -> (Outcome, Option<Header>) {
    let mut request = AcquireRequest::new(image.gid(), handle, image.config.rbd_blocklist_on_break_lock);
    let mut header = None;
    let mut step = request.start();
    loop {
        let event = match step {
            Step::GetLocker => acquire::Event::Locker(get_locker(image).await),
            Step::Lock { cookie } => {
                acquire::Event::Locked(lock(image, cookie).await.map(|read| header = Some(read)))
            }
            Step::Break(step) => acquire::Event::Break(perform_break(image, step).await),
            Step::Finished(outcome) => return (outcome, header),
        };
        step = request.step(event);
    }
}

async fn perform_break(image: &OpenImage, step: break_lock::Step) -> break_lock::Event {
    match step {
        break_lock::Step::GetWatchers => break_lock::Event::Watchers(watchers(image).await),
        break_lock::Step::GetLocker => break_lock::Event::Locker(get_locker(image).await),
        break_lock::Step::Blocklist { gid } => {
            tracing::info!(image = image.name, gid, "fencing the dead owner of the exclusive lock");
            let fenced = image.io.rados().blocklist_add(gid, image.config.rbd_blocklist_expire).await;
            break_lock::Event::Blocklisted(fenced.map_err(|error| error.errno()))
        }
        break_lock::Step::BreakLock { gid, cookie } => {
            let input = cls::BreakLock { name: LOCK_NAME.to_owned(), gid, cookie };
            break_lock::Event::Broken(exec(image, "break_lock", &input).await)
        }
        // The request ends with it and asks for nothing more.
        break_lock::Step::Finished(result) => break_lock::Event::Broken(result),
    }
}

async fn watchers(image: &OpenImage) -> Result<Vec<ClientId>, Errno> {
    let watchers = image.io.list_watchers(&image.header).await.map_err(|error| error.errno())?;
    Ok(watchers.into_iter().map(|watcher| ClientId { gid: watcher.gid, handle: watcher.cookie }).collect())
}

async fn get_locker(image: &OpenImage) -> Result<LockInfo, Errno> {
    let input = cls::GetInfo { name: LOCK_NAME.to_owned() };
    let reply = image.io.operate(&image.header, ObjectOp::new().exec("lock", "get_info", &input)).await;
    let info = reply.and_then(|reply| reply.exec::<cls::GetInfoReply>(0)).map_err(|error| error.errno())?;
    let kind = match info.r#type() {
        cls::LockType::Exclusive => LockKind::Exclusive,
        cls::LockType::Shared => LockKind::Shared,
        cls::LockType::None | cls::LockType::ExclusiveEphemeral => LockKind::Other,
    };
    let locker =
        |locker: cls::Locker| LockerInfo { gid: locker.gid, cookie: locker.cookie, address: locker.address };
    Ok(LockInfo { kind, tag: info.tag, lockers: info.lockers.into_iter().map(locker).collect() })
}

async fn lock(image: &OpenImage, cookie: String) -> Result<Header, Errno> {
    let input = cls::Lock {
        name: LOCK_NAME.to_owned(),
        r#type: cls::LockType::Exclusive.into(),
        cookie,
        tag: LOCK_TAG.to_owned(),
        may_renew: true,
        ..cls::Lock::default()
    };
    with_header(image, ObjectOp::new().exec("lock", "lock", &input)).await
}

/// Changes the cookie of the held lock and puts the header in place that was read with it.
pub(super) async fn set_cookie(image: &OpenImage, old: u64, new: u64) -> OpResult {
    let input = cls::SetCookie {
        name: LOCK_NAME.to_owned(),
        r#type: cls::LockType::Exclusive.into(),
        cookie: encode_cookie(old),
        tag: LOCK_TAG.to_owned(),
        new_cookie: encode_cookie(new),
    };
    let header = with_header(image, ObjectOp::new().exec("lock", "set_cookie", &input)).await?;
    image.install(header).await.map_err(|error| error.errno())
}

/// Appends `rbd.get_header` to an op vector and returns what it read, at the version after the vector.
async fn with_header(image: &OpenImage, op: ObjectOp) -> Result<Header, Errno> {
    let last = op.len();
    let reply = image.io.operate(&image.header, op.exec_empty("rbd", "get_header")).await;
    let reply = reply.map_err(|error| error.errno())?;
    let header = reply.exec::<rbd::Header>(last).map_err(|error| error.errno())?;
    Ok(Header { version: reply.version, ..Header::from(header) })
}

pub(super) async fn unlock(image: &OpenImage, handle: u64) -> OpResult {
    let input = cls::Unlock { name: LOCK_NAME.to_owned(), cookie: encode_cookie(handle) };
    exec(image, "unlock", &input).await
}

async fn exec(image: &OpenImage, method: &str, input: &impl prost::Message) -> OpResult {
    let done = image.io.operate(&image.header, ObjectOp::new().exec("lock", method, input)).await;
    done.map(drop).map_err(|error| error.errno())
}
