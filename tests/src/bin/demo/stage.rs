use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::cluster::{Cluster, Preset};
use system_tests::ext4::{self, Ext4};
use tempfile::TempDir;

use crate::options::{Format, Options};

/// Objects are small, so that a flatten has thousands of steps to be interrupted at.
const OBJECT_BYTES: u64 = 64 << 10;
/// The image that every scene clones.
pub(crate) const BASE: &str = "base";

/// What all scenes share: one OSD and the imported file system.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) ext4: Ext4,
    mib: u64,
    is_quiet: bool,
    kept: Option<PathBuf>,
    directory: TempDir,
}

impl Stage {
    pub(crate) async fn build(options: &Options) -> Result<Self> {
        let mut directory = TempDir::with_prefix("rbd-sim-demo-")?;
        directory.disable_cleanup(options.keep);
        let ext4 = ext4::make(directory.path(), options.size).await?;
        let cluster = Cluster::start_in(directory.path(), Preset::Ci, &[], &[]).await?;
        cluster.import_file(BASE, &ext4.path, OBJECT_BYTES).await.context("importing the file system")?;
        Ok(Self {
            cluster,
            ext4,
            mib: options.size,
            is_quiet: options.format == Format::Json,
            kept: options.keep.then(|| directory.path().to_owned()),
            directory,
        })
    }

    pub(crate) fn description(&self) -> String {
        let objects = (self.mib << 20) / OBJECT_BYTES;
        format!("one osd-sim, three rbd-client, an ext4 image of {} MiB in {objects} objects", self.mib)
    }

    /// For people only.
    pub(crate) fn say(&self, text: &str) {
        if !self.is_quiet {
            print!("{text}");
        }
    }

    /// Ends the OSD in an orderly way.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.cluster.process.terminate()?;
        let status = self.cluster.process.ended(Duration::from_secs(20)).await?;
        ensure!(status.success(), "osd-sim ended with {status}: {}", self.cluster.process.said());
        if let Some(directory) = &self.kept {
            eprintln!("kept: {}", directory.display());
        } else {
            self.directory.close().context("removing the working directory")?;
        }
        Ok(())
    }
}
