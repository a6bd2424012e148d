use std::time::Duration;

use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Watch};
use rbd_protocol::Millis;
use rbd_protocol::retry::Backoff;
use tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::answering::answering;
use super::directory::{id_in_directory, watch_directory};
use super::unfinished::{self, Standing, Unfinished, settle};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::image::task_dropped;
use crate::names;
use crate::state::ParentSpec;
use crate::striping::{Layout, ORDER_DEFAULT};

/// Looks at a name that is taken: each further one is needed when what had it is removed and somebody else is faster.
const LOOKS_MAX: usize = 8;
/// Pauses between tries to take an image back that could not be made.
const PAUSE_MIN: Millis = Millis(100);
const PAUSE_MAX: Millis = Millis(2000);

/// What a new image is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Bytes.
    pub size: u64,
    /// log2 of the object size, 12 to 25.
    pub order: u32,
    /// What it can do. A stripe unit brings the striping feature with it.
    pub features: Features,
    /// Bytes; 0 = no striping.
    pub stripe_unit: u64,
    /// Objects; 0 = no striping.
    pub stripe_count: u64,
}

impl Default for CreateOptions {
    /// Empty, 4 MiB objects, default features, no striping.
    fn default() -> Self {
        Self { size: 0, order: ORDER_DEFAULT, features: Features::default(), stripe_unit: 0, stripe_count: 0 }
    }
}

/// Makes an empty image. EEXIST if the name is taken; EINVAL names the rule that an option breaks. A caller that goes away in
/// the middle takes the image back.
pub async fn create(io: &IoCtx, name: &str, options: &CreateOptions) -> Result<()> {
    NewImage { io: io.clone(), name: name.to_owned(), options: *options, parent: None }.make().await
}

/// An image that is being made.
pub(super) struct NewImage {
    pub(super) io: IoCtx,
    pub(super) name: String,
    pub(super) options: CreateOptions,
    pub(super) parent: Option<NewParent>,
}

/// What a clone is made from.
pub(super) struct NewParent {
    pub(super) io: IoCtx,
    pub(super) spec: ParentSpec,
    /// Bytes of the snapshot.
    pub(super) size: u64,
}

impl NewImage {
    /// Enters the image into the directory, gives it its id object, registers a clone at its parent, and makes the header, by
    /// which the image is complete. What was made is taken back when a step fails or the caller goes away: the making is a task
    /// of its own, which watches the directory as long as it goes on.
    pub(super) async fn make(self) -> Result<()> {
        names::check_image_name(&self.name)?;
        let header = self.header()?;
        let abandoned = CancellationToken::new();
        let _caller = abandoned.clone().drop_guard();
        let tasks = Tasks::new(self.io.rados().executor().clone());
        let making = async move { self.make_watched(header, &abandoned).await };
        tasks.run(making).await.unwrap_or_else(|dropped| Err(task_dropped(dropped)))
    }

    fn header(&self) -> Result<wire::Create> {
        let CreateOptions { size, order, features, mut stripe_unit, mut stripe_count } = self.options;
        let layout = Layout::new(order, stripe_unit, stripe_count)?;
        layout.check_image_size(size)?;
        let features = if stripe_unit > 0 { features.union(Features::STRIPING) } else { features };
        if features.contains(Features::STRIPING) {
            (stripe_unit, stripe_count) = (layout.stripe_unit(), layout.stripe_count());
        }
        let object_prefix = String::new();
        Ok(wire::Create { size, order, features: features.bits(), object_prefix, stripe_unit, stripe_count })
    }

    async fn make_watched(self, mut header: wire::Create, abandoned: &CancellationToken) -> Result<()> {
        let mut watch = watch_directory(&self.io).await.map_err(self.failed("watch the directory"))?;
        let rados = self.io.rados();
        let id = names::image_id(rados.gid(), rados.next_open_number());
        header.object_prefix = names::object_prefix(&id);
        let parent = self.parent.as_ref().map(|parent| parent.spec.clone());
        let intent = Unfinished { maker: Some(rados.gid()), parent, ..Unfinished::default() };
        let making = self.steps(&id, &intent, &header, abandoned);
        let (made, is_left) = match answering(&mut watch, making).await {
            Ok(()) => (Ok(()), false),
            Err(error) => (Err(error), !self.take_back(&id, &intent).await),
        };
        if is_left {
            rados.executor().clone().spawn(self.take_back_later(id, intent, watch));
        } else {
            drop(watch.unwatch().await);
        }
        made
    }

    async fn steps(
        &self,
        id: &str,
        intent: &Unfinished,
        header: &wire::Create,
        abandoned: &CancellationToken,
    ) -> Result<()> {
        let directory_first = !planted::is(planted::Mistake::NameBeforeDirectory);
        if directory_first {
            self.enter(id, intent).await?;
        }
        self.fill(id, header, abandoned).await?;
        if !directory_first {
            self.enter(id, intent).await?;
        }
        // It is complete: an intent that stays says nothing more.
        if let Err(error) = unfinished::finished(&self.io, id, intent).await {
            tracing::debug!(image = self.name, id, %error, "the intent of an image that was made stays");
        }
        Ok(())
    }

    /// The name is free all the same if whoever had it died before the image was complete, or while removing it.
    async fn enter(&self, id: &str, intent: &Unfinished) -> Result<()> {
        let entry = wire::DirectoryEntry { name: self.name.clone(), id: id.to_owned() };
        for _ in 0..LOOKS_MAX {
            let op = intent.written(ObjectOp::new().exec("rbd", "dir_add_image", &entry), id);
            match self.io.operate(names::DIRECTORY, op).await {
                Err(error) if error.errno() == Errno::EEXIST => {}
                entered => {
                    return entered.map(drop).map_err(self.failed("enter it into the directory"));
                }
            }
            if let Some(taken) = id_in_directory(&self.io, &self.name).await?
                && !matches!(settle(&self.io, &taken, Some(&self.name)).await?, Standing::Gone)
            {
                break;
            }
        }
        Err(self.exists())
    }

    async fn fill(&self, id: &str, header: &wire::Create, abandoned: &CancellationToken) -> Result<()> {
        self.check_wanted(abandoned)?;
        self.claim_name(id).await?;
        self.check_wanted(abandoned)?;
        if let Some(parent) = &self.parent {
            let pool = self.io.pool().to_owned();
            let child = wire::Child { snap_id: parent.spec.snap_id, pool, image_id: id.to_owned() };
            let op = ObjectOp::new().assert_exists().exec("rbd", "child_attach", &child);
            let attached = parent.io.operate(&names::header(&parent.spec.image_id), op).await;
            attached.map_err(self.failed("register the clone at its parent"))?;
        }
        self.check_wanted(abandoned)?;
        let mut op = ObjectOp::new().create(true).exec("rbd", "create", header);
        if let Some(parent) = &self.parent {
            let spec = Some((&parent.spec).into());
            op = op.exec("rbd", "parent_attach", &wire::ParentAttach { spec, parent_size: parent.size });
        }
        self.io.operate(&names::header(id), op).await.map(drop).map_err(self.failed("make the header"))
    }

    /// An id object without an entry in the directory is left of a renaming that was cut, or of another kind of client.
    async fn claim_name(&self, id: &str) -> Result<()> {
        for _ in 0..LOOKS_MAX {
            if unfinished::claim_name(&self.io, &self.name, id).await? {
                return Ok(());
            }
            if let Some((other, _)) = unfinished::id_of_name(&self.io, &self.name).await?
                && let Standing::UnderWay { .. } = settle(&self.io, &other, Some(&self.name)).await?
            {
                break;
            }
        }
        Err(self.exists())
    }

    /// ECANCELED when nobody waits for the image any more.
    fn check_wanted(&self, abandoned: &CancellationToken) -> Result<()> {
        if abandoned.is_cancelled() {
            let text = format!("make image {}/{}: its caller has gone", self.io.pool(), self.name);
            return Err(Error::refused(Errno::ECANCELED, text));
        }
        Ok(())
    }

    /// There is no header. Whether that was possible.
    async fn take_back(&self, id: &str, intent: &Unfinished) -> bool {
        let Err(left) = unfinished::erase(&self.io, id, Some(&self.name), Some(intent)).await else {
            return true;
        };
        let image = &self.name;
        tracing::warn!(image, id, error = %left, "an image that was not made could not be taken back yet");
        false
    }

    /// Nobody else may take it back as long as this client watches the directory.
    async fn take_back_later(self, id: String, intent: Unfinished, mut watch: Watch) {
        let rados = self.io.rados();
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, rados.gid());
        let taking_back = async {
            while rados.ended().is_none() {
                rados.clock().sleep(Duration::from_millis(backoff.next_delay().0)).await;
                if self.take_back(&id, &intent).await {
                    return;
                }
            }
        };
        answering(&mut watch, taking_back).await;
        drop(watch.unwatch().await);
    }

    fn exists(&self) -> Error {
        let text = format!("image {}/{} exists already", self.io.pool(), self.name);
        Error::refused(Errno::EEXIST, text)
    }

    fn failed(&self, step: &str) -> impl FnOnce(rados::Error) -> Error + use<> {
        Error::osd(format!("make image {}/{}: {step}", self.io.pool(), self.name))
    }
}
