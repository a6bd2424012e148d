use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp};

use super::directory::{entry_by_id, image_id};
use super::remove::erase;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::names;
use crate::state::ParentSpec;
use crate::striping::{Layout, ORDER_DEFAULT};

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

/// Makes an empty image. EEXIST if the name is taken; EINVAL names the rule that an option breaks.
pub async fn create(io: &IoCtx, name: &str, options: &CreateOptions) -> Result<()> {
    NewImage { io, name, options: *options, parent: None }.make().await
}

/// An image that is being made.
pub(super) struct NewImage<'a> {
    pub(super) io: &'a IoCtx,
    pub(super) name: &'a str,
    pub(super) options: CreateOptions,
    pub(super) parent: Option<NewParent<'a>>,
}

/// What a clone is made from.
pub(super) struct NewParent<'a> {
    pub(super) io: &'a IoCtx,
    pub(super) spec: ParentSpec,
    /// Bytes of the snapshot.
    pub(super) size: u64,
}

impl NewImage<'_> {
    /// Claims the name, makes the header (with its parent in one op), registers a clone at its parent, and enters the
    /// image into the directory. What was made is taken back when a later step fails.
    pub(super) async fn make(&self) -> Result<()> {
        names::check_image_name(self.name)?;
        let header = self.header()?;
        let id = self.claim_name().await?;
        let Err(error) = self.fill(&id, header).await else { return Ok(()) };
        if let Err(left) = erase(self.io, self.name, &id).await {
            tracing::warn!(image = self.name, id, error = %left, "an image that was not made could not be taken back");
        }
        Err(error)
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

    async fn claim_name(&self) -> Result<String> {
        let rados = self.io.rados();
        let id = names::image_id(rados.gid(), rados.next_open_number());
        if self.set_id(&id).await? {
            return Ok(id);
        }
        // The name is free all the same if the client that claimed it died before the image was complete.
        if self.is_abandoned().await? && self.set_id(&id).await? {
            return Ok(id);
        }
        let text = format!("image {}/{} exists already", self.io.pool(), self.name);
        Err(Error::refused(Errno::EEXIST, text))
    }

    async fn set_id(&self, id: &str) -> Result<bool> {
        let op = ObjectOp::new().exec("rbd", "set_id", &wire::ImageId { id: id.to_owned() });
        match self.io.operate(&names::id_object(self.name), op).await {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Errno::EEXIST => Ok(false),
            Err(error) => Err(self.failed("claim the name")(error)),
        }
    }

    /// Whether the name belonged to an image that its creator can no longer complete. Then its remains are removed.
    async fn is_abandoned(&self) -> Result<bool> {
        let id = match image_id(self.io, self.name).await {
            Err(error) if error.errno() == Errno::ENOENT => return Ok(true),
            id => id?,
        };
        let Some(creator) = names::creator_gid(&id) else { return Ok(false) };
        if entry_by_id(self.io, &id).await?.is_some() || creator == self.io.rados().gid() {
            return Ok(false);
        }
        let sessions = self.io.rados().sessions().await.map_err(self.failed("list the sessions"))?;
        if sessions.iter().any(|session| session.gid == creator) {
            return Ok(false);
        }
        erase(self.io, self.name, &id).await?;
        Ok(true)
    }

    async fn fill(&self, id: &str, mut header: wire::Create) -> Result<()> {
        header.object_prefix = names::object_prefix(id);
        let mut op = ObjectOp::new().exec("rbd", "create", &header);
        if let Some(parent) = &self.parent {
            let spec = Some((&parent.spec).into());
            op = op.exec("rbd", "parent_attach", &wire::ParentAttach { spec, parent_size: parent.size });
        }
        self.io.operate(&names::header(id), op).await.map_err(self.failed("make the header"))?;
        if let Some(parent) = &self.parent {
            let pool = self.io.pool().to_owned();
            let child = wire::Child { snap_id: parent.spec.snap_id, pool, image_id: id.to_owned() };
            let op = ObjectOp::new().exec("rbd", "child_attach", &child);
            let attached = parent.io.operate(&names::header(&parent.spec.image_id), op).await;
            attached.map_err(self.failed("register the clone at its parent"))?;
        }
        let entry = wire::DirectoryEntry { name: self.name.to_owned(), id: id.to_owned() };
        let op = ObjectOp::new().exec("rbd", "dir_add_image", &entry);
        self.io.operate(names::DIRECTORY, op).await.map_err(self.failed("enter it into the directory"))?;
        Ok(())
    }

    fn failed(&self, step: &str) -> impl FnOnce(rados::Error) -> Error + use<> {
        Error::osd(format!("make image {}/{}: {step}", self.io.pool(), self.name))
    }
}
