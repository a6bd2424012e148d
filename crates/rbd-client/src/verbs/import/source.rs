//! What an import reads: a file by its data, or a stream from its beginning to its end.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use errno::Errno;
use rustix::{fs::SeekFrom, io::Errno as OsErrno};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::Failure;

/// What is read, and its size where it is known.
pub(super) struct Source {
    kind: Kind,
    /// In messages.
    name: String,
    pub(super) size: Option<u64>,
}

enum Kind {
    /// Its holes are not read.
    File(Arc<File>),
    Stream(Box<dyn AsyncRead + Unpin>),
}

/// Where the next bytes begin, and what they are; without any, where the source ends.
pub(super) type Piece = (u64, Bytes);

impl Source {
    /// A file, a device, or standard input for `-`. EISDIR for a directory. A pipe is there when somebody writes to it: until then whoever
    /// opens it waits, on a thread that can be left behind.
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            let kind = Kind::Stream(Box::new(tokio::io::stdin()));
            return Ok(Self { kind, name: "standard input".to_owned(), size: None });
        }
        let failed = |error| Failure::file(path, &error);
        let file = tokio::fs::File::open(path).await.map_err(failed)?.into_std().await;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            let text = format!("'{}' is a directory: import reads a file or a device", path.display());
            return Err(Failure::new(Errno::EISDIR, text));
        }
        let name = format!("file '{}'", path.display());
        // The size of a device or a pipe is not in its metadata.
        if !metadata.is_file() {
            let kind = Kind::Stream(Box::new(tokio::fs::File::from_std(file)));
            return Ok(Self { kind, name, size: None });
        }
        Ok(Self { kind: Kind::File(Arc::new(file)), name, size: Some(metadata.len()) })
    }

    /// At most `length` bytes at or behind `position`, from a multiple of `length` on.
    pub(super) async fn next(&mut self, position: u64, length: usize) -> Result<Piece, Failure> {
        let piece = match &mut self.kind {
            Kind::Stream(reader) => read(reader, length).await.map(|bytes| (position, bytes)),
            Kind::File(file) => {
                let file = file.clone();
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the edge of the program: a file of this machine"
                )]
                let reading = tokio::task::spawn_blocking(move || read_data(&file, position, length));
                reading.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        piece.map_err(|error| Failure::io(&self.name, &error))
    }
}

/// The next `length` bytes, fewer at the end.
async fn read(reader: &mut (dyn AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut piece = BytesMut::with_capacity(length);
    while piece.len() < length {
        let left = (length - piece.len()) as u64;
        if (&mut *reader).take(left).read_buf(&mut piece).await? == 0 {
            break;
        }
    }
    Ok(piece.freeze())
}

fn read_data(file: &File, position: u64, length: usize) -> io::Result<Piece> {
    let Some(data) = next_data(file, position)? else {
        return Ok((file.metadata()?.len().max(position), Bytes::new()));
    };
    let start = (data / length as u64 * length as u64).max(position);
    let mut piece = BytesMut::zeroed(length);
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut piece[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok((start, piece.freeze()))
}

/// Where data begins, at or behind `position`; `None` = there is no more. A file system that knows no holes has data
/// everywhere.
fn next_data(file: &File, position: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) => Ok(Some(data)),
        Err(OsErrno::NXIO) => Ok(None),
        Err(OsErrno::INVAL | OsErrno::OPNOTSUPP) => Ok(Some(position)),
        Err(error) => Err(error.into()),
    }
}
