mod source;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use errno::Errno;
use librbd::{CallOptions, Image, OpenOptions};
use source::Source;
use tokio::{task::JoinSet, time::timeout};

use super::create::create_options;
use crate::{
    failure::Failure,
    named::{ImportNames, Named},
    progress::Progress,
    session::{Session, close_session},
    shape::Shape,
    size,
    sparse::data_runs,
    spec::ImageSpec,
};

/// Make an image from a file or from standard input
#[derive(Args, Debug)]
#[command(
    after_help = "The image is as large as what was read. From a source whose size is not known, such as standard input, the image grows \
by doubling while it is written, and is cut to its size at the end. Holes of a file are not read, blocks of zeros not written. When the import \
fails or is interrupted, the half-written image is removed again.

Examples:
  rbd-client import disk.raw vm
  zstd -dc disk.raw.zst | rbd-client import - rbd/vm --estimated-size 20G"
)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(super) names: Named<ImportNames>,

    /// About how much will be read where that is not known, as of standard input: the image has this size at first, and progress is in percent of it
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = size::image_size)]
    estimated_size: Option<u64>,

    /// Blocks of this size that are zero are not written
    #[arg(long, default_value = "4K", value_name = "SIZE", allow_hyphen_values = true, value_parser = sparse_size)]
    sparse_size: usize,

    #[command(flatten)]
    shape: Shape,
}

/// How long the removal of a half-written image may take. It is what an interrupt asks for, so no second one ends it.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);

impl Import {
    pub(super) fn attempted(&self, _pool: &str) -> String {
        format!("import {}", self.names.path.display())
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let spec = self.spec()?;
        let mut source = session.until_interrupted(Source::open(&self.names.path)).await?;
        let options = create_options(source.size.or(self.estimated_size).unwrap_or(0), &self.shape)?;
        let io = session.io(&spec).await?;
        session.until_interrupted(async { Ok(librbd::create(&io, &spec.image, &options).await?) }).await?;

        let progress = Progress::new("Importing image", session.console);
        let filled = session
            .with_image(&spec, OpenOptions::default(), async |image| {
                let mut filling = Filling::new(image, self.sparse_size, session).await?;
                filling.fill(&mut source, &progress).await
            })
            .await;
        let failure = match progress.ended(filled) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        Err(remove_unfinished(io.pool(), &spec, session, failure).await)
    }

    fn spec(&self) -> Result<ImageSpec, Failure> {
        if let Some(spec) = &self.names.image {
            return Ok(spec.clone());
        }
        let name = self.names.path.file_name().and_then(|name| name.to_str()).filter(|&name| name != "-");
        let name = name.ok_or_else(|| {
            let text = format!(
                "import from '{}': name the image, e.g. rbd-client import - vm",
                self.names.path.display()
            );
            Failure::new(Errno::EINVAL, text)
        })?;
        name.parse()
            .map_err(|error| Failure::new(Errno::EINVAL, format!("{error}; name the image after the file")))
    }
}

/// Removes the image after `failure`, and says so when that fails too.
async fn remove_unfinished(pool: &str, spec: &ImageSpec, session: &Session, failure: Failure) -> Failure {
    let left = match timeout(REMOVAL_TIMEOUT, remove(pool, spec, session)).await {
        Ok(Ok(())) => return failure,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took more than {REMOVAL_TIMEOUT:?}"),
    };
    let text = format!("{failure}; the half-written image {spec} is left, it could not be removed: {left}");
    Failure::new(failure.errno(), text)
}

/// In a session of its own: the other one may have writes on their way still, and could not close the image. It ends first, so that
/// none of them lands later.
async fn remove(pool: &str, spec: &ImageSpec, session: &Session) -> Result<(), Failure> {
    session.rados.disconnect().await;
    let rados = session.connector.connect().await?;
    let io = rados.io_ctx(pool).await?;
    let nobody = CallOptions::default().progress;
    let removed = librbd::remove(&io, &spec.image, &session.config, nobody).await;
    close_session(&rados).await;
    Ok(removed?)
}

/// The image while it is written.
struct Filling<'a> {
    image: &'a Image,
    /// Of the image.
    size: u64,
    /// Bytes read at once.
    piece: usize,
    sparse_size: usize,
    writes: JoinSet<Result<(), librbd::Error>>,
    writes_max: usize,
}

impl<'a> Filling<'a> {
    async fn new(image: &'a Image, sparse_size: usize, session: &Session) -> Result<Self, Failure> {
        let info = image.info().await?;
        Ok(Self {
            image,
            size: info.size,
            piece: 1 << info.order,
            sparse_size,
            writes: JoinSet::new(),
            writes_max: session.config.rbd_concurrent_management_ops,
        })
    }

    async fn fill(&mut self, source: &mut Source, progress: &Progress) -> Result<(), Failure> {
        let expected = source.size.or((self.size > 0).then_some(self.size));
        let mut position = 0;
        loop {
            let (start, bytes) = source.next(position, self.piece).await?;
            position = start + bytes.len() as u64;
            if position > self.size {
                let doubled = self.size.saturating_mul(2).max(position);
                self.resize(doubled).await?;
            }
            if bytes.is_empty() {
                break;
            }
            self.write(start, &bytes).await?;
            match expected {
                Some(expected) if position <= expected => progress.at(position, expected),
                _ => progress.so_far(position),
            }
        }
        while let Some(written) = self.writes.join_next().await {
            joined(written)?;
        }
        if position != self.size {
            self.resize(position).await?;
        }
        Ok(self.image.flush().await?)
    }

    async fn write(&mut self, position: u64, bytes: &Bytes) -> Result<(), Failure> {
        for run in data_runs(bytes, self.sparse_size) {
            while self.writes.len() >= self.writes_max {
                if let Some(written) = self.writes.join_next().await {
                    joined(written)?;
                }
            }
            let image = self.image.clone();
            let offset = position + run.start as u64;
            let data = bytes.slice(run);
            self.writes.spawn(async move { image.write(offset, data).await });
        }
        Ok(())
    }

    async fn resize(&mut self, size: u64) -> Result<(), Failure> {
        self.image.resize(size, true, CallOptions::default()).await?;
        self.size = size;
        Ok(())
    }
}

fn joined(written: Result<Result<(), librbd::Error>, tokio::task::JoinError>) -> Result<(), Failure> {
    match written {
        Ok(result) => Ok(result?),
        Err(error) => Err(Failure::new(Errno::EIO, format!("a write did not end: {error}"))),
    }
}

fn sparse_size(text: &str) -> Result<usize, String> {
    let size = size::bytes(text)?;
    let rule = || format!("sparse size '{text}': expected a power of two from 4K to 32M");
    if !size.is_power_of_two() || !(4 << 10..=32 << 20).contains(&size) {
        return Err(rule());
    }
    usize::try_from(size).map_err(|_| rule())
}
