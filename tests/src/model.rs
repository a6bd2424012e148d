//! What an image must hold, to the byte.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Unit in which the model is kept and compared.
pub const BLOCK_BYTES: u64 = 4096;
/// How much is compared at once.
const CHUNK_BLOCKS: u64 = 256;

/// A base file and the blocks that were written since.
///
/// A block has one acceptable content, or several while the fate of a write to it is open.
#[derive(Clone, Debug)]
pub struct Model {
    base: PathBuf,
    blocks: u64,
    written: BTreeMap<u64, Vec<Vec<u8>>>,
}

/// The first difference between an image and its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, in bytes from the image's start.
    pub offset: u64,
    /// How many blocks differ.
    pub blocks: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks differ, the first at byte {}", self.blocks, self.offset)
    }
}

impl Model {
    /// The content of `base`, whose size is a multiple of [`BLOCK_BYTES`].
    pub fn of(base: &Path) -> Result<Self> {
        let bytes = base.metadata().with_context(|| base.display().to_string())?.len();
        ensure!(bytes.is_multiple_of(BLOCK_BYTES), "{} has {bytes} bytes: no whole blocks", base.display());
        Ok(Self { base: base.to_owned(), blocks: bytes / BLOCK_BYTES, written: BTreeMap::new() })
    }

    /// An acknowledged write of one block: nothing else may be there.
    pub fn acknowledged(&mut self, block: u64, content: Vec<u8>) {
        self.written.insert(block, vec![content]);
    }

    /// A write whose fate is open: the block may hold what it held, or this.
    pub fn maybe(&mut self, block: u64, content: Vec<u8>) -> Result<()> {
        if !self.written.contains_key(&block) {
            let held = self.base_block(block)?;
            self.written.insert(block, vec![held]);
        }
        self.written.entry(block).or_default().push(content);
        Ok(())
    }

    /// How many blocks were written since the base.
    pub fn blocks_written(&self) -> usize {
        self.written.len()
    }

    fn base_block(&self, block: u64) -> Result<Vec<u8>> {
        let mut file = File::open(&self.base)?;
        file.seek(SeekFrom::Start(block * BLOCK_BYTES))?;
        let mut content = vec![0; BLOCK_BYTES as usize];
        file.read_exact(&mut content)?;
        Ok(content)
    }

    /// Compares an exported image with the model. Sizes must agree.
    pub fn compare(&self, image: &Path) -> Result<Option<Difference>> {
        let bytes = image.metadata().with_context(|| image.display().to_string())?.len();
        ensure!(
            bytes == self.blocks * BLOCK_BYTES,
            "{} has {bytes} bytes, the model {}",
            image.display(),
            self.blocks * BLOCK_BYTES
        );
        let (mut base, mut image) = (File::open(&self.base)?, File::open(image)?);
        let mut difference: Option<Difference> = None;
        for first in (0..self.blocks).step_by(CHUNK_BLOCKS as usize) {
            let count = CHUNK_BLOCKS.min(self.blocks - first);
            let mut expected = vec![0; (count * BLOCK_BYTES) as usize];
            let mut found = expected.clone();
            base.read_exact(&mut expected)?;
            image.read_exact(&mut found)?;
            if expected == found && self.written.range(first..first + count).next().is_none() {
                continue;
            }
            let pairs = expected.chunks(BLOCK_BYTES as usize).zip(found.chunks(BLOCK_BYTES as usize));
            for (block, (expected, found)) in (first..).zip(pairs) {
                if !self.accepts(block, expected, found) {
                    let at = block * BLOCK_BYTES;
                    difference.get_or_insert(Difference { offset: at, blocks: 0 }).blocks += 1;
                }
            }
        }
        Ok(difference)
    }

    fn accepts(&self, block: u64, base: &[u8], found: &[u8]) -> bool {
        match self.written.get(&block) {
            Some(contents) => contents.iter().any(|content| content == found),
            None => base == found,
        }
    }
}

/// A block that says who wrote it and as which of his writes.
pub fn marked_block(writer: u64, number: u64) -> Vec<u8> {
    let mark = format!("client {writer} write {number:08} ");
    mark.bytes().cycle().take(BLOCK_BYTES as usize).collect()
}

/// Bytes that repeat nowhere within an object and depend on `seed` only.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// SHA-256 of a file in hex.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Inverts one byte of a file: what a check that works must notice.
pub fn spoil(path: &Path, offset: u64) -> Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&[!byte[0]])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn files() -> (TempDir, PathBuf, PathBuf) {
        let directory = TempDir::new().unwrap();
        let (base, image) = (directory.path().join("base"), directory.path().join("image"));
        fs::write(&base, pattern(1, 600 * BLOCK_BYTES as usize)).unwrap();
        fs::copy(&base, &image).unwrap();
        (directory, base, image)
    }

    #[test]
    fn one_inverted_byte_is_found() {
        let (_directory, base, image) = files();
        let model = Model::of(&base).unwrap();
        assert_eq!(model.compare(&image).unwrap(), None);
        spoil(&image, 300 * BLOCK_BYTES + 17).unwrap();
        assert_eq!(model.compare(&image).unwrap(), Some(Difference { offset: 300 * BLOCK_BYTES, blocks: 1 }));
    }

    #[test]
    fn a_missing_acknowledged_write_is_found() {
        let (_directory, base, image) = files();
        let mut model = Model::of(&base).unwrap();
        model.acknowledged(5, marked_block(1, 1));
        assert_eq!(model.compare(&image).unwrap(), Some(Difference { offset: 5 * BLOCK_BYTES, blocks: 1 }));
    }

    #[test]
    fn a_write_of_open_fate_may_be_there_or_not() {
        let (_directory, base, image) = files();
        let mut model = Model::of(&base).unwrap();
        model.maybe(5, marked_block(1, 1)).unwrap();
        assert_eq!(model.compare(&image).unwrap(), None);
        let mut content = fs::read(&image).unwrap();
        content[5 * BLOCK_BYTES as usize..6 * BLOCK_BYTES as usize].copy_from_slice(&marked_block(1, 1));
        fs::write(&image, &content).unwrap();
        assert_eq!(model.compare(&image).unwrap(), None);
        spoil(&image, 5 * BLOCK_BYTES).unwrap();
        assert!(model.compare(&image).unwrap().is_some());
    }
}
