use clap::Args;
use errno::Errno;
use librbd::{Image, OpenOptions, Usage};

use crate::{
    console::say,
    failure::Failure,
    named::Named,
    progress::Progress,
    report::{Column, Lines, Object, Report, Value, list, table},
    session::Session,
    size::Human,
    spec::{ImageOrSnapSpec, ImageSpec},
};

/// Show how much of images is used
#[derive(Args, Debug)]
#[command(
    visible_alias = "disk-usage",
    after_help = "What a snapshot uses is what it has beyond the one before it, and what an image uses is what it has beyond its last snapshot. Objects \
                  count whole. Of a pool, an image that cannot be looked at is left out, and its error is the exit status.

Examples:
  rbd-client du
  rbd-client du vm --format json
  rbd-client du vm@second --from-snap base"
)]
pub(crate) struct Du {
    #[command(flatten)]
    image: Named<Option<ImageOrSnapSpec>>,

    /// Leave out this snapshot of the image, and those before it
    #[arg(long, value_name = "SNAP")]
    from_snap: Option<String>,

    /// Show an image with its snapshots as one
    #[arg(long)]
    merge_snapshots: bool,
}

impl Du {
    /// What is attempted, for messages.
    pub(super) fn attempted(&self, pool: &str) -> String {
        match &*self.image {
            Some(image) => format!("du {}", image.in_pool(pool)),
            None => format!("du {pool}"),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        if self.image.is_none() && self.from_snap.is_some() {
            let text = "--from-snap is about one image, which was not specified";
            return Err(Failure::new(Errno::EINVAL, text));
        }
        let progress = Progress::new("Disk usage", session.console);
        let (images, first_failure) = match &*self.image {
            Some(spec) => (vec![self.of_image(session, spec, &progress).await?], None),
            None => of_pool(session, &progress).await?,
        };
        let report =
            DiskUsage { images, of_pool: self.image.is_none(), merge_snapshots: self.merge_snapshots };
        // As `rbd`, which says nothing of a snapshot since itself.
        let is_nothing = !report.of_pool && report.rows().next().is_none();
        if !is_nothing {
            session.console.report(&report)?;
        }
        first_failure.map_or(Ok(()), Err)
    }

    async fn of_image(
        &self,
        session: &Session,
        spec: &ImageOrSnapSpec,
        progress: &Progress,
    ) -> Result<ImageUsage, Failure> {
        let work = async |image: &Image| {
            let usage = ImageUsage::of(image, |done, total| progress.at(done, total)).await?;
            Ok(ImageUsage { rows: self.chosen(usage.rows, spec.snap.as_deref())?, ..usage })
        };
        session.with_image_in_progress(&spec.image, READ_ONLY, progress, work).await
    }

    /// The rows after --from-snap, up to `snap`. ENOENT for a snapshot that is not there, EINVAL when they are in the wrong order.
    fn chosen(&self, mut rows: Vec<Usage>, snap: Option<&str>) -> Result<Vec<Usage>, Failure> {
        let place = |name: &str| {
            let is_it = |row: &Usage| row.snapshot.as_ref().is_some_and(|snapshot| snapshot.name == name);
            let missing = || Failure::new(Errno::ENOENT, format!("snapshot '{name}' does not exist"));
            rows.iter().position(is_it).map(|index| index + 1).ok_or_else(missing)
        };
        let end = snap.map(place).transpose()?.unwrap_or(rows.len());
        let start = self.from_snap.as_deref().map(place).transpose()?.unwrap_or(0);
        if start > end {
            let text = "the snapshot of --from-snap is newer than the one that is looked at";
            return Err(Failure::new(Errno::EINVAL, text));
        }
        rows.truncate(end);
        Ok(rows.split_off(start))
    }
}

const READ_ONLY: OpenOptions = OpenOptions { read_only: true, snapshot: None };

/// An image that goes meanwhile is left out. So is one that cannot be looked at; the first of their failures is that of the verb, and the
/// others are told at once.
async fn of_pool(
    session: &Session,
    progress: &Progress,
) -> Result<(Vec<ImageUsage>, Option<Failure>), Failure> {
    let io = session.pool(None).await?;
    let names = session.until_interrupted(async { Ok(librbd::list(&io).await?) }).await?;
    let looked_at = of_images(session, names, progress).await;
    match &looked_at {
        Ok((_, None)) => progress.done(),
        Ok((_, Some(_))) | Err(_) => progress.failed(),
    }
    looked_at
}

async fn of_images(
    session: &Session,
    names: Vec<String>,
    progress: &Progress,
) -> Result<(Vec<ImageUsage>, Option<Failure>), Failure> {
    let count = names.len() as u64;
    let mut images = Vec::new();
    let mut first_failure = None;
    for (index, image) in (0_u64..).zip(names) {
        progress.at(index, count);
        let spec = ImageSpec { pool: None, image };
        let work = async |image: &Image| ImageUsage::of(image, |_, _| {}).await;
        match session.with_image(&spec, READ_ONLY, work).await {
            Ok(usage) => images.push(usage),
            Err(failure) if failure.errno() == Errno::ENOENT => {}
            Err(failure) if ends_the_run(failure.errno()) => return Err(failure),
            Err(failure) if first_failure.is_none() => {
                let text = format!("image {}: {failure}", spec.image);
                first_failure = Some(Failure::new(failure.errno(), text));
            }
            Err(failure) => say(format_args!("rbd-client: du: image {}: {failure}", spec.image)),
        }
    }
    Ok((images, first_failure))
}

/// A signal, or the end of the session: no other image can be looked at.
fn ends_the_run(errno: Errno) -> bool {
    matches!(errno, Errno::ECANCELED | Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ESHUTDOWN)
}

/// What is shown of one image.
struct ImageUsage {
    name: String,
    id: String,
    /// Oldest first; HEAD, where it is shown, is the last.
    rows: Vec<Usage>,
}

struct DiskUsage {
    images: Vec<ImageUsage>,
    of_pool: bool,
    merge_snapshots: bool,
}

/// What is printed of a snapshot or an image.
struct Row<'a> {
    image: &'a ImageUsage,
    usage: &'a Usage,
    used: u64,
}

impl DiskUsage {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let of_image =
            |image| ImageUsage::rows(image).map(move |usage| Row { image, usage, used: usage.used });
        self.images.iter().flat_map(of_image)
    }

    /// Merged, snapshots show only in what their image uses.
    fn shown(&self) -> Vec<Row<'_>> {
        match self.merge_snapshots {
            false => self.rows().collect(),
            true => self.rows().filter(|row| row.usage.snapshot.is_none()).map(Row::merged).collect(),
        }
    }

    /// Snapshots have the size of their image, and count where it is not shown itself.
    fn provisioned(&self) -> u64 {
        let size = |image: &ImageUsage| match image.rows.last() {
            Some(Usage { snapshot: None, size, .. }) => *size,
            _ => image.rows().map(|usage| usage.size).sum(),
        };
        self.images.iter().map(size).sum()
    }

    fn used(&self) -> u64 {
        self.rows().map(|row| row.used).sum()
    }
}

impl ImageUsage {
    async fn of(image: &Image, progress: impl FnMut(u64, u64)) -> Result<Self, Failure> {
        let rows = image.usage(progress).await?;
        let info = image.info().await?;
        Ok(Self { name: info.image, id: info.id, rows })
    }

    fn rows(&self) -> impl Iterator<Item = &Usage> {
        self.rows.iter()
    }
}

impl Row<'_> {
    /// An image with its snapshots.
    fn merged(self) -> Self {
        Self { used: self.image.rows().map(|usage| usage.used).sum(), ..self }
    }

    fn cells(&self) -> [String; 3] {
        let name = match &self.usage.snapshot {
            Some(snapshot) => format!("{}@{}", self.image.name, snapshot.name),
            None => self.image.name.clone(),
        };
        [name, Human(self.usage.size).to_string(), Human(self.used).to_string()]
    }

    fn value(&self) -> Object {
        let snapshot = self.usage.snapshot.as_ref();
        Object::default()
            .with("name", &self.image.name)
            .with("id", &self.image.id)
            .with_some("snapshot", snapshot.map(|snapshot| &snapshot.name))
            .with_some("snapshot_id", snapshot.map(|snapshot| snapshot.id))
            .with("provisioned_size", self.usage.size)
            .with("used_size", self.used)
    }
}

impl Report for DiskUsage {
    const ELEMENT: &'static str = "stats";

    fn value(&self) -> Value {
        let totals = self.of_pool.then(|| (self.provisioned(), self.used()));
        Object::default()
            .with("images", list("image", self.shown().iter().map(Row::value)))
            .with_some("total_provisioned_size", totals.map(|(provisioned, _)| provisioned))
            .with_some("total_used_size", totals.map(|(_, used)| used))
            .into()
    }

    fn plain(&self) -> Lines {
        let total =
            || ["<TOTAL>".to_owned(), Human(self.provisioned()).to_string(), Human(self.used()).to_string()];
        // Merged or not.
        let has_total = self.rows().nth(1).is_some();
        let rows = self.shown().iter().map(Row::cells).chain(has_total.then(total)).collect::<Vec<_>>();
        table([Column::Left("NAME"), Column::Right("PROVISIONED"), Column::Right("USED")], rows)
    }
}
