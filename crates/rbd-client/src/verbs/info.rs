use clap::Args;
use librbd::{Info as ImageInfo, OpenOptions, ParentInfo, Protection, Snapshot};

use crate::{
    failure::Failure,
    named::Named,
    report::{Lines, Object, Report, Value, list},
    session::Session,
    size::Human,
    spec::ImageOrSnapSpec,
    timestamp::timestamp,
};

/// Show what an image is made of
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rbd-client info vm
  rbd-client info rbd/vm@base --format json")]
pub(crate) struct Info {
    #[command(flatten)]
    pub(super) image: Named<ImageOrSnapSpec>,
}

impl Info {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("info {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let open = OpenOptions { read_only: true, snapshot: self.image.snap.clone() };
        let info = session.with_image(&self.image.image, open, async |image| Ok(image.info().await?)).await?;
        session.console.report(&ImageReport::new(info, self.image.snap.as_deref()))
    }
}

/// An image, seen at HEAD or at a snapshot.
struct ImageReport {
    info: ImageInfo,
    snapshot: Option<Snapshot>,
}

/// Names of Ceph's operation features, by bit.
const OP_FEATURES: [&str; 4] = ["clone-parent", "clone-child", "group", "snap-trash"];

impl ImageReport {
    fn new(info: ImageInfo, snap: Option<&str>) -> Self {
        let shown = |name| info.snapshots.iter().find(|snapshot| snapshot.name == name).cloned();
        Self { snapshot: snap.and_then(shown), info }
    }

    fn size(&self) -> u64 {
        self.snapshot.as_ref().map_or(self.info.size, |snapshot| snapshot.size)
    }

    fn objects(&self) -> u64 {
        self.info.layout.object_count(self.size())
    }

    /// Every clone here is of format 2, so that having a parent is what clone-child says.
    fn op_feature_bits(&self) -> u64 {
        self.info.op_features | u64::from(self.info.parent.is_some()) << 1
    }

    fn op_features(&self) -> Vec<&'static str> {
        let bits = self.op_feature_bits();
        let is_set = |&(bit, _): &(usize, _)| bits >> bit & 1 == 1;
        OP_FEATURES.into_iter().enumerate().filter(is_set).map(|(_, name)| name).collect()
    }

    /// With the internal one that says that there are operation features.
    fn features(&self) -> Vec<&'static str> {
        let operations = (self.op_feature_bits() != 0).then_some("operations");
        self.info.features.names().into_iter().chain(operations).collect()
    }

    fn times(&self) -> [(&'static str, String); 3] {
        let times = &self.info.times;
        [
            ("create_timestamp", timestamp(times.created_unix_ms)),
            ("access_timestamp", timestamp(times.accessed_unix_ms)),
            ("modify_timestamp", timestamp(times.modified_unix_ms)),
        ]
    }

    /// Unit and count, where a stripe goes over several objects.
    fn striping(&self) -> Option<(u64, u64)> {
        let layout = &self.info.layout;
        (layout.stripe_count() > 1).then(|| (layout.stripe_unit(), layout.stripe_count()))
    }

    fn is_protected(&self) -> Option<bool> {
        self.snapshot.as_ref().map(|snapshot| snapshot.protection != Protection::Unprotected)
    }
}

impl Report for ImageReport {
    const ELEMENT: &'static str = "image";

    fn value(&self) -> Value {
        let info = &self.info;
        let mut object = Object::default()
            .with("name", &info.image)
            .with("id", &info.id)
            .with("size", self.size())
            .with("objects", self.objects())
            .with("order", info.order)
            .with("object_size", info.layout.object_size())
            .with("snapshot_count", info.snapshots.len() as u64)
            .with("block_name_prefix", &info.object_prefix)
            .with("format", 2_u64)
            .with("features", list("feature", self.features()))
            .with("op_features", list("op_feature", self.op_features()))
            .with("flags", list("flag", [""; 0]));
        for (name, time) in self.times() {
            object = object.with(name, time);
        }
        object = object
            .with_some("protected", self.is_protected().map(|protected| protected.to_string()))
            .with_some("parent", info.parent.as_ref().map(parent));
        if let Some((unit, count)) = self.striping() {
            object = object.with("stripe_unit", unit).with("stripe_count", count);
        }
        object.into()
    }

    fn plain(&self) -> Lines {
        let info = &self.info;
        let mut lines = Lines::default()
            .line(format_args!("rbd image '{}':", info.image))
            .indented(format_args!("size {} in {} objects", Human(self.size()), self.objects()))
            .indented(format_args!("order {} ({} objects)", info.order, Human(info.layout.object_size())))
            .indented(format_args!("snapshot_count: {}", info.snapshots.len()))
            .indented(format_args!("id: {}", info.id))
            .indented(format_args!("block_name_prefix: {}", info.object_prefix))
            .indented("format: 2")
            .indented(format_args!("features: {}", self.features().join(", ")))
            .indented(format_args!("op_features: {}", self.op_features().join(", ")))
            .indented("flags: ");
        for (name, time) in self.times() {
            lines = lines.indented(format_args!("{name}: {time}"));
        }
        if let Some(protected) = self.is_protected() {
            lines = lines.indented(format_args!("protected: {}", if protected { "True" } else { "False" }));
        }
        if let Some(parent) = &info.parent {
            lines = lines
                .indented(format_args!("parent: {}/{}@{}", parent.pool, parent.image, parent.snapshot))
                .indented(match parent.overlap {
                    Some(overlap) => format!("overlap: {}", Human(overlap)),
                    None => "overlap: none (flattened; a snapshot still needs the parent)".to_owned(),
                });
        }
        if let Some((unit, count)) = self.striping() {
            lines = lines
                .indented(format_args!("stripe unit: {}", Human(unit)))
                .indented(format_args!("stripe count: {count}"));
        }
        lines
    }
}

/// Without `overlap` HEAD is flattened, and a snapshot still needs the parent: `rbd` shows no parent then.
fn parent(parent: &ParentInfo) -> Object {
    Object::default()
        .with("pool", &parent.pool)
        .with("pool_namespace", "")
        .with("image", &parent.image)
        .with("id", &parent.id)
        .with("snapshot", &parent.snapshot)
        .with("trash", false)
        .with_some("overlap", parent.overlap)
}
