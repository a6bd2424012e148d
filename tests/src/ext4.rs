//! A real ext4 image: with files, with blocks that a test may overwrite, and with a judge of its own (`e2fsck`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::model::{BLOCK_BYTES, pattern};
use harness::program::{self, Output};

const TOOL_BOUND: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// An ext4 file system in a file.
#[derive(Clone, Debug)]
pub struct Ext4 {
    /// The image file.
    pub path: PathBuf,
    /// Blocks of the file `/reserved`, ascending: whatever they hold, the file system is sound.
    pub reserved: Vec<u64>,
}

/// Makes an image of `mib` MiB in `directory`; a quarter of it is `/reserved`.
pub async fn make(directory: &Path, mib: u64) -> Result<Ext4> {
    let content = directory.join("content");
    fill(&content, mib)?;
    let path = directory.join("base.img");
    let size = format!("{mib}M");
    let block = BLOCK_BYTES.to_string();
    let arguments = ["-q", "-F", "-t", "ext4", "-b", &block, "-d", text(&content)?, text(&path)?, &size];
    tool("mke2fs", &arguments).await?.success("mke2fs")?;
    fs::remove_dir_all(&content)?;
    let extents = tool("debugfs", &["-R", "ex -l /reserved", text(&path)?]).await?.success("debugfs")?;
    let reserved = physical_blocks(&extents).with_context(|| format!("extents of /reserved: {extents}"))?;
    let expected = mib * MIB / 4 / BLOCK_BYTES;
    ensure!(reserved.len() as u64 == expected, "/reserved has {} blocks, not {expected}", reserved.len());
    Ok(Ext4 { path, reserved })
}

/// Runs `e2fsck -fn`: its exit status and what it said. 0 = clean.
pub async fn check(image: &Path) -> Result<Output> {
    tool("e2fsck", &["-fn", text(image)?]).await
}

fn fill(content: &Path, mib: u64) -> Result<()> {
    fs::create_dir_all(content.join("notes"))?;
    for number in 0..24 {
        let name = format!("notes/page-{number:02}.txt");
        fs::write(
            content.join(name),
            format!("This is page {number} of the notes.\n").repeat(number * 40 + 1),
        )?;
    }
    fs::write(content.join("movie.bin"), pattern(42, (mib * MIB / 16) as usize))?;
    fs::write(content.join("reserved"), pattern(7, (mib * MIB / 4) as usize))?;
    Ok(())
}

/// Reads the table of `debugfs ex -l`: level, entries, logical first - last, physical first - last, length.
fn physical_blocks(table: &str) -> Result<Vec<u64>> {
    let mut blocks = Vec::new();
    for line in table.lines().filter(|line| line.contains(" - ")) {
        let numbers: Vec<u64> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        let [.., first, last, length] = numbers[..] else {
            anyhow::bail!("a line without physical blocks: {line}");
        };
        ensure!(
            last.checked_sub(first).map(|span| span + 1) == Some(length),
            "a line that does not add up: {line}"
        );
        blocks.extend(first..=last);
    }
    blocks.sort_unstable();
    Ok(blocks)
}

async fn tool(name: &str, arguments: &[&str]) -> Result<Output> {
    // Debian keeps them where an ordinary user's PATH does not look.
    let path = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"]
        .map(|directory| Path::new(directory).join(name));
    let path = path
        .iter()
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is missing: install e2fsprogs (apt-get install e2fsprogs)"))?;
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    program::run(path, &arguments, TOOL_BOUND).await
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::physical_blocks;

    #[test]
    fn an_extent_table_names_its_physical_blocks() {
        let table = "Level Entries       Logical      Physical Length Flags\n \
                     0/ 0   1/  2     0 -     2  1549 -  1551      3 \n 0/ 0   2/  2     3 -     3    20 -    20      1 Uninit\n";
        assert_eq!(physical_blocks(table).unwrap(), [20, 1549, 1550, 1551]);
    }

    #[test]
    fn a_table_that_does_not_add_up_is_refused() {
        assert!(physical_blocks(" 0/ 0   1/  1     0 -     2  1549 -  1551      4 \n").is_err());
    }
}
