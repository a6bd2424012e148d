//! The end of a universe: what the clients leave, and that all of it can be read and taken away.

use std::collections::BTreeMap;
use std::time::Duration;

use check::{
    AtRest, Entry, FinalImage, FinalParent, FinalSnapshot, FinalState, HeaderRecord, ImageObjects, Lock,
    Operation, Watch,
};
use errno::Errno;
use librbd::{Header, Image, OpenOptions, Protection, Snapshot, names};
use proto::cls::rbd::v1::{ChildrenList, ChildrenListReply};
use proto::osd::v1 as wire;
use rados::ObjectOp;

use crate::client::spec;
use crate::host::POOL;
use crate::maker::Maker;
use crate::pool::lock;
use crate::world::FORGOTTEN_MS;

/// Objects that a pool keeps when its last image has gone.
const POOL_OBJECTS: [&str; 2] = ["rbd_directory", "rbd_children"];
/// More keys no header has.
const KEYS_MAX: u32 = 10_000;

/// What there is at the end.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) state: FinalState,
    pub(crate) objects: BTreeMap<String, ImageObjects>,
    pub(crate) rest: AtRest,
    /// The OSD's log up to here.
    pub(crate) events: Vec<wire::Event>,
    /// What could not be read, taken or removed.
    pub(crate) failed: Vec<String>,
}

/// Removes what nobody finished making, takes every lock once, which finishes what its last owners left, looks at everything and reads
/// everything. Then, if all is to go, it removes what nothing needs, reads everything again if there was something, and removes the rest: nothing remains.
pub(crate) async fn look(maker: Maker, is_cleared: bool) -> Result<Left, Errno> {
    let mut left = Left::default();
    // Until the OSD has forgotten those who did not say that they leave.
    maker.world.clock().sleep(Duration::from_millis(FORGOTTEN_MS)).await;
    maker.finish(&mut left).await?;
    let headers = maker.headers().await?;
    for (name, id, header) in &headers {
        let found = maker.image(name, id, header, &mut left).await?;
        left.state.images.insert(spec(name), found);
        let objects = ImageObjects {
            pool: POOL.to_owned(),
            header: names::header(id),
            object_prefix: header.object_prefix.clone(),
        };
        left.objects.insert(spec(name), objects);
        left.rest.directory.push(Entry { name: name.clone(), id: id.clone() });
        left.rest.snap_ids.extend(header.snapshots.iter().map(|snapshot| snapshot.id));
        maker.read_snapshots(name, header, &mut left).await;
    }
    maker.at_rest(&mut left).await?;
    left.events = lock(&maker.world.state).host.events();
    if is_cleared {
        if maker.clear(&headers, &mut left).await? {
            for (name, _, header) in maker.headers().await? {
                let open = maker.open(&name, OpenOptions { read_only: true, snapshot: None }).await;
                maker.read(open, &name, None, header.size, &mut left).await;
                maker.read_snapshots(&name, &header, &mut left).await;
            }
        }
        maker.remove_everything(&mut left).await?;
    }
    maker.leave().await;
    Ok(left)
}

impl Maker {
    async fn names(&self) -> Result<Vec<String>, Errno> {
        librbd::list(&self.io).await.map_err(|error| error.errno())
    }

    /// Name, id and header of every image.
    async fn headers(&self) -> Result<Vec<(String, String, Header)>, Errno> {
        let mut headers = Vec::new();
        for name in self.names().await? {
            let id = librbd::image_id(&self.io, &name).await.map_err(|error| error.errno())?;
            let header = librbd::read_header(&self.io, &id).await.map_err(|error| error.errno())?;
            headers.push((name, id, header));
        }
        Ok(headers)
    }

    async fn finish(&self, left: &mut Left) -> Result<(), Errno> {
        for name in self.names().await? {
            let Ok(open) = self.open(&name, OpenOptions::default()).await else {
                // Its maker, or whoever removed it, was killed; whoever opens it may remove what is left, too.
                match self.recorded(&name, Operation::Remove, self.remove(&name)).await {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => {
                        left.failed.push(format!("removing {name}, which cannot be opened: {errno}"));
                    }
                }
                continue;
            };
            for operation in [Operation::Acquire, Operation::Release] {
                if let Err(errno) = self.performed(&open, &name, operation.clone()).await {
                    left.failed.push(format!("{operation:?} of {name}: {errno}"));
                }
            }
            open.close().await;
        }
        Ok(())
    }

    async fn image(
        &self,
        name: &str,
        id: &str,
        header: &Header,
        left: &mut Left,
    ) -> Result<FinalImage, Errno> {
        let open = self.open(name, OpenOptions { read_only: true, snapshot: None }).await?;
        let info = open.info().await.map_err(|error| error.errno())?;
        self.read(Ok(open), name, None, header.size, left).await;
        let mut snapshots = Vec::new();
        for snapshot in &header.snapshots {
            snapshots.push(FinalSnapshot {
                name: snapshot.name.clone(),
                protected: snapshot.protection != Protection::Unprotected,
                in_trash: snapshot.in_trash,
                children: self.clones(id, snapshot.id).await?,
            });
        }
        self.records(&names::header(id), left).await?;
        let parent = info.parent.map(|parent| FinalParent {
            image: spec(&parent.image),
            snap: parent.snapshot,
            head: parent.overlap.is_some(),
        });
        Ok(FinalImage { size: header.size, snapshots, parent })
    }

    /// The clones that a header knows of a snapshot, in the trash or not.
    async fn clones(&self, id: &str, snap_id: u64) -> Result<Vec<String>, Errno> {
        let list = ObjectOp::new().exec("rbd", "children_list", &ChildrenList { snap_id });
        let reply = self.io.operate(&names::header(id), list).await;
        let known: ChildrenListReply =
            reply.and_then(|reply| reply.exec(0)).map_err(|error| error.errno())?;
        let mut clones = Vec::new();
        for child in known.children {
            let name = librbd::image_name(&self.io, &child.image_id).await.map_err(|error| error.errno())?;
            clones.push(spec(&name.unwrap_or(child.image_id)));
        }
        Ok(clones)
    }

    async fn read_snapshots(&self, name: &str, header: &Header, left: &mut Left) {
        for snapshot in header.snapshots.iter().filter(|snapshot| !snapshot.in_trash) {
            let snap = Some(snapshot.name.clone());
            let open = self.open(name, OpenOptions { read_only: true, snapshot: snap.clone() }).await;
            self.read(open, name, snap, snapshot.size, left).await;
        }
    }

    /// All of HEAD or of a snapshot, which is open for it and closed after it.
    async fn read(
        &self,
        open: Result<Image, Errno>,
        name: &str,
        snap: Option<String>,
        length: u64,
        left: &mut Left,
    ) {
        let read = Operation::Read { offset: 0, length, snap: snap.clone() };
        let outcome = match open {
            Ok(open) => {
                let outcome = match length {
                    0 => Ok(()),
                    _ => self.performed(&open, name, read).await,
                };
                open.close().await;
                outcome
            }
            Err(errno) => Err(errno),
        };
        if let Err(errno) = outcome {
            left.failed.push(format!("reading {name} at {snap:?}: {errno}"));
        }
    }

    /// What a header says beside the image.
    async fn records(&self, header: &str, left: &mut Left) -> Result<(), Errno> {
        let rest = &mut left.rest;
        let prefixes = ["done_", "low_", "reclaim_"];
        let list = prefixes.iter().fold(ObjectOp::new(), |op, &prefix| op.omap_list("", prefix, KEYS_MAX));
        let reply = self.io.operate(header, list).await.map_err(|error| error.errno())?;
        let places = [&mut rest.done_records, &mut rest.low_records, &mut rest.reclaim_records];
        for (place, records) in places.into_iter().enumerate() {
            let keys = reply.omap(place).map_err(|error| error.errno())?;
            records
                .extend(keys.entries.into_keys().map(|key| HeaderRecord { object: header.to_owned(), key }));
        }
        Ok(())
    }

    /// What the OSD still knows, but for this session of its own.
    async fn at_rest(&self, left: &mut Left) -> Result<(), Errno> {
        let rados = self.io.rados();
        let io_errno = |error: rados::Error| error.errno();
        let rest = &mut left.rest;
        rest.blocklist = rados.blocklist().await.map_err(io_errno)?.iter().map(|entry| entry.gid).collect();
        rest.objects = self.io.list_objects("").await.map_err(io_errno)?;
        let sessions = lock(&self.world.state).host.osd.sessions();
        rest.sessions =
            sessions.iter().map(|session| session.gid).filter(|&gid| gid != rados.gid()).collect();
        for Entry { name, id } in &rest.directory {
            let object = names::header(id);
            for watcher in self.io.list_watchers(&object).await.map_err(io_errno)? {
                let (gid, cookie) = (watcher.gid, watcher.cookie);
                rest.watches.push(Watch { object: object.clone(), gid, cookie });
            }
            for locker in
                librbd::locks::lock_list(&self.io, name).await.map_err(|error| error.errno())?.lockers
            {
                let (gid, cookie) = (locker.gid, locker.cookie);
                rest.locks.push(Lock { object: object.clone(), gid, cookie });
            }
        }
        Ok(())
    }

    /// Removes every snapshot that no clone needs; whether there was one.
    async fn clear(&self, headers: &[(String, String, Header)], left: &mut Left) -> Result<bool, Errno> {
        let mut has_removed = false;
        for (name, _, header) in headers {
            let mut unneeded = Vec::new();
            for snapshot in header.snapshots.iter().filter(|snapshot| !snapshot.in_trash) {
                let children = librbd::children(&self.io, name, Some(&snapshot.name)).await;
                if children.map_err(|error| error.errno())?.is_empty() {
                    unneeded.push(snapshot);
                }
            }
            has_removed |= !unneeded.is_empty();
            self.remove_snapshots(name, unneeded, left).await?;
        }
        Ok(has_removed)
    }

    async fn remove_snapshots(
        &self,
        image: &str,
        snapshots: Vec<&Snapshot>,
        left: &mut Left,
    ) -> Result<(), Errno> {
        if snapshots.is_empty() {
            return Ok(());
        }
        let open = self.open(image, OpenOptions::default()).await?;
        for snapshot in snapshots {
            self.remove_snapshot(&open, image, snapshot, left).await;
        }
        open.close().await;
        Ok(())
    }

    async fn remove_snapshot(&self, open: &Image, image: &str, snapshot: &Snapshot, left: &mut Left) {
        let mut done = Ok(());
        if snapshot.protection != Protection::Unprotected {
            done = open.snap_unprotect(&snapshot.name).await;
        }
        if done.is_ok() {
            done = open.snap_remove(&snapshot.name, librbd::CallOptions::default()).await;
        }
        if let Err(error) = done {
            left.failed.push(format!("removing {image}@{}: {error}", snapshot.name));
        }
    }

    /// Clones before their parents.
    async fn remove_everything(&self, left: &mut Left) -> Result<(), Errno> {
        loop {
            let headers = self.headers().await?;
            let mut refusals = Vec::new();
            for (name, _, header) in &headers {
                let snapshots = header.snapshots.iter().filter(|snapshot| !snapshot.in_trash).collect();
                self.remove_snapshots(name, snapshots, left).await?;
                if let Err(error) = self.remove(name).await {
                    refusals.push(format!("removing {name}: {error}"));
                }
            }
            if refusals.len() == headers.len() {
                left.failed.append(&mut refusals);
                break;
            }
        }
        let objects = self.io.list_objects("").await.map_err(|error| error.errno())?;
        let stray = objects.into_iter().filter(|object| !POOL_OBJECTS.contains(&object.as_str()));
        left.failed.extend(stray.map(|object| format!("{object} is there when the last image has gone")));
        Ok(())
    }
}
