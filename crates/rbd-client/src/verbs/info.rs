use std::fmt::Write as _;

use clap::Args;
use librbd::{OpenOptions, Protection};
use serde::Serialize;

use crate::{console::Report, failure::Failure, session::Session, size::Human, spec::ImageOrSnapSpec};

/// Show what an image is made of
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rbd-client info vm
  rbd-client info rbd/vm@base --format json")]
pub(crate) struct Info {
    /// [POOL/]IMAGE[@SNAP]
    pub(super) image: ImageOrSnapSpec,
}

impl Info {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let open = OpenOptions { read_only: true, snapshot: self.image.snap.clone() };
        let info = session.with_image(&self.image.image, open, async |image| Ok(image.info().await?)).await?;
        session.console.report(&ImageReport::new(info, self.image.snap.as_deref()))
    }
}

#[derive(Serialize)]
struct ImageReport {
    pool: String,
    name: String,
    id: String,
    size: u64,
    objects: u64,
    order: u32,
    object_size: u64,
    snapshot_count: usize,
    block_name_prefix: String,
    format: u32,
    features: Vec<&'static str>,
    stripe_unit: u64,
    stripe_count: u64,
    parent: Option<Parent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
}

#[derive(Serialize)]
struct Parent {
    pool: String,
    image: String,
    snapshot: String,
    /// Null: HEAD is flattened, snapshots still need the parent.
    overlap: Option<u64>,
}

impl ImageReport {
    fn new(info: librbd::Info, snap: Option<&str>) -> Self {
        let object_size = 1_u64 << info.order;
        let shown = snap.and_then(|name| info.snapshots.iter().find(|snapshot| snapshot.name == name));
        let size = shown.map_or(info.size, |snapshot| snapshot.size);
        Self {
            objects: info.layout.object_count(size),
            object_size,
            snapshot_count: info.snapshots.len(),
            format: 2,
            features: info.features.names(),
            parent: info.parent.map(|parent| Parent {
                pool: parent.pool,
                image: parent.image,
                snapshot: parent.snapshot,
                overlap: parent.overlap,
            }),
            snapshot: snap.map(str::to_owned),
            protected: shown.map(|snapshot| snapshot.protection != Protection::Unprotected),
            pool: info.pool,
            name: info.image,
            id: info.id,
            size,
            order: info.order,
            block_name_prefix: info.object_prefix,
            stripe_unit: info.layout.stripe_unit(),
            stripe_count: info.layout.stripe_count(),
        }
    }

    fn plain_parent(&self, parent: &Parent, text: &mut String) -> std::fmt::Result {
        write!(text, "\n\tparent: {}/{}@{}", parent.pool, parent.image, parent.snapshot)?;
        match parent.overlap {
            Some(overlap) => write!(text, "\n\toverlap: {}", Human(overlap)),
            None => write!(text, "\n\toverlap: none (flattened; a snapshot still needs the parent)"),
        }
    }

    fn write_plain(&self, text: &mut String) -> std::fmt::Result {
        let at = self.snapshot.as_ref().map(|snap| format!("@{snap}")).unwrap_or_default();
        write!(text, "rbd image '{}{at}':", self.name)?;
        write!(text, "\n\tsize {} in {} objects", Human(self.size), self.objects)?;
        write!(text, "\n\torder {} ({} objects)", self.order, Human(self.object_size))?;
        write!(text, "\n\tsnapshot_count: {}", self.snapshot_count)?;
        write!(text, "\n\tid: {}", self.id)?;
        write!(text, "\n\tblock_name_prefix: {}", self.block_name_prefix)?;
        write!(text, "\n\tformat: {}", self.format)?;
        write!(text, "\n\tfeatures: {}", self.features.join(", "))?;
        if let Some(protected) = self.protected {
            write!(text, "\n\tprotected: {}", if protected { "True" } else { "False" })?;
        }
        if let Some(parent) = &self.parent {
            self.plain_parent(parent, text)?;
        }
        if self.stripe_count > 1 {
            write!(text, "\n\tstripe unit: {}", Human(self.stripe_unit))?;
            write!(text, "\n\tstripe count: {}", self.stripe_count)?;
        }
        Ok(())
    }
}

impl Report for ImageReport {
    fn plain(&self) -> String {
        let mut text = String::new();
        self.write_plain(&mut text).expect("a String takes all text");
        text
    }
}
