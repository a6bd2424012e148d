use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use errno::Errno;
use rados::IoCtx;
use rbd_protocol::Operation;
use rbd_protocol::lock::Purpose;
use tasks::Dropped;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::Config;
use crate::data::Applied;
use crate::error::{Error, IoError, Result};
use crate::event::ImageEvent;
use crate::header::{load_state, read_header};
use crate::images::image_id;
use crate::info::{Info, LockOwner};
use crate::invoke::{ask_lock, invoke};
use crate::locks;
use crate::names;
use crate::opened::{Held, OpenImage, Parts};
use crate::operations::{Maintenance, is_confirmed, protect, snap_rename, unprotect};
use crate::owner::{self, Ask};
use crate::progress::CallOptions;
use crate::state::{ImageState, Snapshot};
use crate::timestamps::Timestamps;
use crate::usage::{Usage, usage};

/// An open image. Clones share it. It is to be closed with [`Image::close`]; when the last handle goes without, it is closed
/// in the background.
#[derive(Clone, Debug)]
pub struct Image {
    handle: Arc<Handle>,
}

/// Closes the image when it goes.
#[derive(Debug)]
struct Handle {
    image: Arc<OpenImage>,
}

/// How an image is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Writes and operations are EROFS; the lock is never taken.
    pub read_only: bool,
    /// Reads see this snapshot; writes and operations are EROFS.
    pub snapshot: Option<String>,
}

impl Image {
    /// Opens an image by name: watches its header first, so that no change is missed, then reads it. ENOENT names the image or
    /// the snapshot that does not exist; ENOSYS if it uses features that this client does not know.
    pub async fn open(io: &IoCtx, name: &str, options: OpenOptions, config: Config) -> Result<Self> {
        let id = image_id(io, name).await?;
        let watching = io.watch(&names::header(&id), config.osd_client_watch_timeout).await;
        let watch = watching.map_err(Error::osd(format!("watch image {}/{name}", io.pool())))?;
        let header = read_header(io, &id).await?;
        let timestamps = Timestamps::new(io.rados().clock().now(), &header);
        let state = load_state(io, &id, header, None).await?;
        let snapshot = options.snapshot.map(|snapshot| snapshot_id(name, &state, &snapshot)).transpose()?;
        let (owner, mailbox) = mpsc::unbounded_channel();
        let image = Arc::new(OpenImage::new(Parts {
            io: io.clone(),
            name: name.to_owned(),
            config,
            read_only: options.read_only,
            snapshot,
            watch_handle: watch.handle(),
            state,
            timestamps,
            owner,
        }));
        owner::spawn(image.clone(), watch, mailbox);
        Ok(Self { handle: Arc::new(Handle { image }) })
    }

    /// Ends everything in order: calls that wait get ESHUTDOWN, running operations stop at a safe point, I/O under way ends,
    /// the lock is given away and the watch removed. Later calls on any clone of the handle are ESHUTDOWN.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.image().tell(owner::Event::Close { done });
        // An owner task that has ended has closed the image.
        let _ended = closed.await;
    }

    fn image(&self) -> &Arc<OpenImage> {
        &self.handle.image
    }

    /// Everything that is known about the image, refreshed.
    pub async fn info(&self) -> Result<Info> {
        self.refresh_if_stale().await?;
        Info::of(self.image()).await
    }

    /// Bytes of HEAD, or of the snapshot that it is open at.
    pub async fn size(&self) -> Result<u64> {
        self.refresh_if_stale().await?;
        let image = self.image();
        Ok(image.state().view(image.snapshot())?.size)
    }

    /// Reads the header anew.
    pub async fn refresh(&self) -> Result<()> {
        self.image().check_alive()?;
        self.image().refresh().await
    }

    async fn refresh_if_stale(&self) -> Result<()> {
        self.image().check_alive()?;
        self.image().refresh_if_stale().await
    }

    /// What happens from here on.
    pub fn events(&self) -> broadcast::Receiver<ImageEvent> {
        self.image().events.subscribe()
    }

    /// Reads bytes; shorter at the end of the image. EINVAL when `offset` lies beyond it, and for more than
    /// [`READ_BYTES_MAX`](crate::READ_BYTES_MAX).
    pub async fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        let image = self.image();
        image.check_alive()?;
        let snap = image.snapshot();
        let read = image
            .on_state(|state| async move { image.data.read(&state, snap, offset, length).await })
            .await?;
        image.was_read();
        Ok(read)
    }

    /// Like [`Image::read`], only the extents (offset, bytes) that hold data, ascending; the rest is zeros.
    pub async fn read_sparse(&self, offset: u64, length: u64) -> Result<Vec<(u64, Bytes)>> {
        let image = self.image();
        image.check_alive()?;
        let snap = image.snapshot();
        let read = image
            .on_state(|state| async move { image.data.read_sparse(&state, snap, offset, length).await })
            .await?;
        image.was_read();
        Ok(read)
    }

    /// Writes bytes; takes the exclusive lock first, and waits for it. Answered when the OSD has acknowledged all of it. EINVAL
    /// unless all of it lies within the image; EROFS when the image is not writable or the lock's owner keeps it.
    pub async fn write(&self, offset: u64, data: Bytes) -> Result<()> {
        let length = data.len() as u64;
        let applied = Arc::new(Applied::default());
        self.change(offset, length, move |image, state| {
            let (data, applied) = (data.clone(), applied.clone());
            async move { image.data.write(&state, offset, data, &applied).await }
        })
        .await
    }

    /// Makes a range read as zeros and gives space back. Errors as of [`Image::write`]. A long range is done in parts, so that
    /// the lock can be given away in between.
    pub async fn discard(&self, mut offset: u64, mut length: u64) -> Result<()> {
        loop {
            let applied = Arc::new(Applied::default());
            let part = move |image: Arc<OpenImage>, state| {
                let applied = applied.clone();
                async move { image.data.discard_first(&state, offset, length, &applied).await }
            };
            let done = self.change(offset, length, part).await?;
            (offset, length) = (offset + done, length - done);
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// The change is a task that holds its permit: a caller that goes away in the middle does not let the lock go before the
    /// change has ended.
    async fn change<T, F, Fut>(&self, offset: u64, length: u64, io: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Arc<OpenImage>, Arc<ImageState>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, IoError>> + Send,
    {
        let image = self.image().clone();
        image.check_writable()?;
        let permit = image.enter().await?;
        image.check_within(offset, length)?;
        let change = async move {
            let _permit = permit;
            let done = image.on_state(|state| io(image.clone(), state)).await?;
            image.was_written();
            Ok(done)
        };
        self.image().tasks.run(change).await.unwrap_or_else(|dropped| Err(task_dropped(dropped)))
    }

    /// Answered when every write that was acknowledged or under way before has ended.
    pub async fn flush(&self) -> Result<()> {
        self.image().check_alive()?;
        self.image().gate.passed().await;
        self.image().check_alive()
    }

    /// One of the operations that can be forwarded; each has its call beside its run, in `operations`.
    pub(crate) async fn invoke(&self, operation: Operation, options: CallOptions) -> Result<()> {
        invoke(self.image(), Maintenance::Forwardable(operation), &options).await
    }

    /// Makes HEAD as it was at a snapshot. Not forwarded: takes the lock, EROFS if its owner keeps it. ENOENT.
    pub async fn snap_rollback(&self, name: &str, options: CallOptions) -> Result<()> {
        invoke(self.image(), Maintenance::Rollback { snapshot: name.to_owned() }, &options).await
    }

    /// Gives a snapshot another name. ENOENT; EEXIST for a name that is taken; EINVAL for one that cannot be a name.
    pub async fn snap_rename(&self, name: &str, new_name: &str) -> Result<()> {
        names::check_snap_name(new_name)?;
        snap_rename(self.image(), name, new_name).await
    }

    /// Keeps a snapshot from being removed. ENOENT; EBUSY when it is protected already, or somebody else changes its protection;
    /// ENOSYS without layering.
    pub async fn snap_protect(&self, name: &str) -> Result<()> {
        protect(self.image(), name).await
    }

    /// Lets a snapshot be removed. ENOENT; EINVAL when it is not protected; EBUSY when it has children of clone format 1, or
    /// somebody else changes its protection.
    pub async fn snap_unprotect(&self, name: &str) -> Result<()> {
        unprotect(self.image(), name).await
    }

    /// The snapshots that the header has, newest first, without those in the trash: a HeaderUpdate that was lost takes none away.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.refresh().await?;
        Ok(self.image().state().named_snapshots().cloned().collect())
    }

    /// What every snapshot and HEAD, which comes last, take up beyond the snapshot before. `progress` gets objects done and all objects; an
    /// image without snapshots needs none, as it looks at no single object.
    pub async fn usage(&self, progress: impl FnMut(u64, u64)) -> Result<Vec<Usage>> {
        self.refresh_if_stale().await?;
        usage(self.image(), progress).await
    }

    /// Makes reads see a snapshot, or HEAD again. Gives the lock away: an image at a snapshot is not written. ENOENT.
    pub async fn set_snapshot(&self, name: Option<&str>) -> Result<()> {
        self.refresh_if_stale().await?;
        let image = self.image();
        let id = name.map(|name| snapshot_id(&image.name, &image.state(), name)).transpose()?;
        image.set_snapshot(id);
        if id.is_none() || image.read_only {
            return Ok(());
        }
        self.release().await
    }

    /// Takes the exclusive lock and keeps it until [`Image::release_lock`] (standard policy): peers that want to write get
    /// EROFS. EROFS if its owner keeps it, or a manual lock stands; EINVAL if the image has no exclusive lock.
    pub async fn acquire_lock(&self) -> Result<()> {
        let image = self.image();
        image.check_writable()?;
        if !image.uses_lock() {
            return Err(Error::invalid(format!("image {} has no feature exclusive-lock", image.name)));
        }
        let answer = ask_lock(image, Ask::Acquire(Purpose::Explicit)).await?;
        answer.result.map_err(|errno| {
            let text = format!("acquire the exclusive lock of image {}: {}", image.name, errno.text());
            Error::refused(errno, text)
        })
    }

    /// Gives the lock away, if this client has it, and goes back to the configured policy.
    pub async fn release_lock(&self) -> Result<()> {
        self.image().check_alive()?;
        self.release().await
    }

    async fn release(&self) -> Result<()> {
        let image = self.image();
        let answer = ask_lock(image, Ask::Release).await?;
        answer.result.map_err(|errno| {
            Error::refused(
                errno,
                format!("release the exclusive lock of image {}: {}", image.name, errno.text()),
            )
        })
    }

    /// Whether this client owns the exclusive lock, confirmed by the OSD. EBLOCKLISTED when it is fenced.
    pub async fn is_lock_owner(&self) -> Result<bool> {
        let image = self.image();
        match self.held().await {
            Held::Under(cookie) => is_confirmed(image, &cookie).await,
            Held::No | Held::Changing => image.check_alive().map(|()| false),
        }
    }

    /// The lock as this client holds it, once a change of its cookie has ended.
    async fn held(&self) -> Held {
        let mut held = self.image().held.subscribe();
        // The sender is part of the image.
        held.wait_for(|held| *held != Held::Changing).await.map_or(Held::No, |held| held.clone())
    }

    /// Who holds the lock, as the OSD knows it; `None` = nobody.
    pub async fn lock_owner(&self) -> Result<Option<LockOwner>> {
        let image = self.image();
        loop {
            image.check_alive()?;
            let held = self.held().await;
            let list = locks::info(&image.io, &image.id).await?;
            if *image.held.borrow() != held {
                // What was read may be of before or after the change.
                continue;
            }
            return Ok(list.lockers.into_iter().next().map(|locker| LockOwner {
                is_self: locker.gid == image.gid() && held == Held::Under(locker.cookie.clone()),
                gid: locker.gid,
                cookie: locker.cookie,
                address: locker.address,
                tag: list.tag,
            }));
        }
    }

    /// Its id, which stays whatever it is named.
    pub fn id(&self) -> &str {
        &self.image().id
    }

    /// Name of the header object, which is watched.
    pub fn header_object(&self) -> &str {
        &self.image().header
    }

    /// This open's watch on the header; 0 when it is lost.
    pub fn watch_handle(&self) -> u64 {
        self.image().watch_handle.load(Ordering::Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let (done, _nobody_waits) = oneshot::channel();
        self.image.tell(owner::Event::Close { done });
    }
}

fn snapshot_id(image: &str, state: &ImageState, name: &str) -> Result<u64> {
    let found = state.snapshot_by_name(name).map(|snapshot| snapshot.id);
    found.ok_or_else(|| Error::refused(Errno::ENOENT, format!("image {image} has no snapshot {name}")))
}

/// A task of the image ended without a result.
pub(crate) fn task_dropped(Dropped: Dropped) -> Error {
    Error::refused(Errno::ESHUTDOWN, "the program is ending")
}
