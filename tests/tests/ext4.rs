//! The file system that the demo stores, and its judge.

use std::fs;

use anyhow::Result;
use system_tests::{
    ext4,
    model::{BLOCK_BYTES, marked_block, spoil},
};
use tempfile::TempDir;

#[tokio::test]
async fn reserved_blocks_may_hold_anything_and_no_other_block_may() -> Result<()> {
    let directory = TempDir::new()?;
    let image = ext4::make(directory.path(), 16).await?;
    assert_eq!(ext4::check(&image.path).await?.status, 0);

    let mut content = fs::read(&image.path)?;
    for (number, &block) in (0..).zip(&image.reserved) {
        let at = (block * BLOCK_BYTES) as usize;
        content[at..at + BLOCK_BYTES as usize].copy_from_slice(&marked_block(1, number));
    }
    fs::write(&image.path, content)?;
    assert_eq!(ext4::check(&image.path).await?.status, 0, "the file's content is no concern of the checker");

    // The magic number of the superblock.
    spoil(&image.path, 1024 + 56)?;
    assert_ne!(ext4::check(&image.path).await?.status, 0);
    Ok(())
}
