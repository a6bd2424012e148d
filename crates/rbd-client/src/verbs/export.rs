use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clap::Args;
use errno::Errno;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use librbd::{Image, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    failure::Failure,
    named::{ExportNames, Named},
    progress::Progress,
    session::Session,
    sparse::data_runs,
};

/// Blocks of zeros of this size become holes of the file.
const HOLE_BYTES: usize = 4096;

/// Zeros are written to a pipe in pieces of this size.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Write an image, or a snapshot of it, to a file or to standard output
#[derive(Args, Debug)]
#[command(
    after_help = "A file that exists is not overwritten: EEXIST. What is zero becomes a hole of the file. When the export fails or is \
interrupted, the half-written file is removed. For an image that is written meanwhile, export a snapshot.

Examples:
  rbd-client export vm@base disk.raw
  rbd-client export rbd/vm - | sha256sum"
)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(super) names: Named<ExportNames>,
}

/// What is exported, and how.
struct Exported<'a> {
    image: &'a Image,
    /// Bytes of the image or snapshot.
    size: u64,
    /// Bytes read at once: an object's size.
    step: u64,
    /// Reads on their way at once.
    width: usize,
    progress: &'a Progress,
}

/// A part of an image: where it begins, how long it is, and the data in it by offset in the image.
struct Piece {
    start: u64,
    length: u64,
    extents: Vec<(u64, Bytes)>,
}

impl Export {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("export {}", self.names.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let ExportNames { image, path } = &*self.names;
        let open = OpenOptions { read_only: true, snapshot: image.snap.clone() };
        let progress = Progress::new("Exporting image", session.console);
        let path = path.clone().unwrap_or_else(|| PathBuf::from(&image.image.image));
        session
            .with_image_in_progress(&image.image, open, &progress, async |image| {
                let exported = Exported {
                    image,
                    size: image.size().await?,
                    step: 1 << image.info().await?.order,
                    width: session.config.rbd_concurrent_management_ops,
                    progress: &progress,
                };
                match path.as_os_str() == "-" {
                    true => to_stdout(&exported).await,
                    false => to_file(&exported, &path).await,
                }
            })
            .await
    }
}

async fn to_file(exported: &Exported<'_>, path: &PathBuf) -> Result<(), Failure> {
    let file = File::create_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            Errno::EEXIST,
            format!("file '{}' exists: export writes a new file and does not overwrite", path.display()),
        ),
        _ => Failure::file(path, &error),
    })?;
    let unfinished = Unfinished(Some(path));
    write_file(exported, file).await.map_err(|failure| match failure {
        Stopped::Reading(failure) => failure,
        Stopped::Writing(error) => Failure::file(path, &error),
    })?;
    unfinished.finish();
    Ok(())
}

/// Why an export stopped.
enum Stopped {
    Reading(Failure),
    Writing(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Writing(error)
    }
}

/// The file is written by `std`, in threads that may wait: what `tokio` writes behind its caller's back fails with a kind of
/// error, without its number.
async fn write_file(exported: &Exported<'_>, file: File) -> Result<(), Stopped> {
    file.set_len(exported.size)?;
    let file = Arc::new(file);
    let mut pieces = pieces(exported);
    while let Some(piece) = pieces.try_next().await.map_err(Stopped::Reading)? {
        let end = piece.start + piece.length;
        let file = file.clone();
        #[expect(clippy::disallowed_methods, reason = "the edge of the program: a file of this machine")]
        let writing = tokio::task::spawn_blocking(move || write_piece(&file, &piece));
        writing.await.map_err(io::Error::other)??;
        exported.progress.at(end, exported.size);
    }
    Ok(())
}

fn write_piece(file: &File, piece: &Piece) -> io::Result<()> {
    for (offset, bytes) in &piece.extents {
        for run in data_runs(bytes, HOLE_BYTES) {
            file.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
        }
    }
    Ok(())
}

async fn to_stdout(exported: &Exported<'_>) -> Result<(), Failure> {
    write_stream(exported, &mut tokio::io::stdout()).await.map_err(|stopped| match stopped {
        Stopped::Reading(failure) => failure,
        Stopped::Writing(error) => Failure::io("standard output", &error),
    })
}

async fn write_stream(exported: &Exported<'_>, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), Stopped> {
    let mut position = 0;
    let mut pieces = pieces(exported);
    while let Some(piece) = pieces.try_next().await.map_err(Stopped::Reading)? {
        for (offset, bytes) in &piece.extents {
            write_zeros(out, offset - position).await?;
            out.write_all(bytes).await?;
            position = offset + bytes.len() as u64;
        }
        write_zeros(out, piece.start + piece.length - position).await?;
        position = piece.start + piece.length;
        exported.progress.at(position, exported.size);
    }
    Ok(out.flush().await?)
}

async fn write_zeros(out: &mut (impl AsyncWrite + Unpin), mut length: u64) -> io::Result<()> {
    while length > 0 {
        let step = usize::try_from(length).unwrap_or(ZEROS.len()).min(ZEROS.len());
        out.write_all(&ZEROS[..step]).await?;
        length -= step as u64;
    }
    Ok(())
}

/// The image from its start to its end; some pieces are read ahead.
fn pieces(exported: &Exported<'_>) -> impl Stream<Item = Result<Piece, Failure>> + use<> {
    let (size, step, image) = (exported.size, exported.step, exported.image.clone());
    let starts = (0..size.div_ceil(step)).map(move |number| number * step);
    let reads = stream::iter(starts).map(move |start| {
        let image = image.clone();
        let length = step.min(size - start);
        let reading =
            AbortOnDropHandle::new(tokio::spawn(async move { image.read_sparse(start, length).await }));
        async move {
            match reading.await {
                Ok(extents) => Ok(Piece { start, length, extents: extents? }),
                Err(error) => Err(Failure::new(Errno::EIO, format!("a read did not end: {error}"))),
            }
        }
    });
    reads.buffered(exported.width)
}

/// Removes the file unless it was finished: on failure, and when an interrupt drops the export.
struct Unfinished<'a>(Option<&'a PathBuf>);

impl Unfinished<'_> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "the half-written file was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_enospc_whatever_the_piece() {
        let full = File::options().write(true).open("/dev/full").expect("the device is there");
        for length in [4096, 64 << 10, 32 << 20] {
            let extents = vec![(0, Bytes::from(vec![1; length]))];
            let error = write_piece(&full, &Piece { start: 0, length: length as u64, extents })
                .expect_err("nothing fits");
            assert_eq!(Failure::file(&PathBuf::from("out"), &error).errno(), Errno::ENOSPC, "{length}");
        }
    }
}
