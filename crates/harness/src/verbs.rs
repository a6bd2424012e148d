//! An OSD, wherever it runs, and whatever `rbd-client` is asked to do with it.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rpc::Address;

use crate::{
    osd::{Osd, spec},
    program::{self, Killer, Output},
};

/// How long one `rbd-client` verb may take.
const VERB_BOUND: Duration = Duration::from_secs(300);

/// An [`Osd`] that can be asked for verbs. Each is a run of the real program, which lies beside this one.
pub struct Verbs {
    osd: Osd,
    options: Vec<String>,
    directory: PathBuf,
}

impl Verbs {
    /// The verbs with these options of every verb; images come from `directory` and go there.
    pub fn at(osd: Osd, options: &[&str], directory: &Path) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self { osd, options, directory: directory.to_owned() }
    }

    /// Where images, and logs of processes, lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Arguments of a client that reaches the OSD at `osd`.
    pub(crate) fn options(&self, osd: &Address, further: &[&str]) -> Vec<String> {
        let mut options = vec!["--osd".to_owned(), osd.to_string()];
        options.extend(self.options.iter().cloned());
        options.extend(further.iter().map(|&option| option.to_owned()));
        options
    }

    /// Runs one verb of `rbd-client` to its end, whatever its exit status.
    pub async fn rbd(&self, arguments: &[&str]) -> Result<Output> {
        program::run(&program::find("rbd-client")?, &self.options(&self.address, arguments), VERB_BOUND).await
    }

    /// The same for a run under a name of its own that somebody may kill, by what `begun` is handed; `None`: somebody did.
    pub async fn rbd_killable(
        &self,
        name: &str,
        arguments: &[&str],
        begun: impl FnOnce(Killer),
    ) -> Result<Option<Output>> {
        let named = [&["--name", name], arguments].concat();
        let options = self.options(&self.address, &named);
        program::run_killable(&program::find("rbd-client")?, &options, VERB_BOUND, begun).await
    }

    /// Runs one verb that must succeed; its standard output.
    pub async fn rbd_ok(&self, arguments: &[&str]) -> Result<String> {
        self.rbd(arguments).await?.success(&format!("rbd-client {}", arguments.join(" ")))
    }

    /// Imports `content` as an image of pool "rbd" with objects of `object_bytes`.
    pub async fn import(&self, image: &str, content: &[u8], object_bytes: u64) -> Result<()> {
        let file = self.directory.join(format!("{image}.import"));
        fs::write(&file, content)?;
        self.import_file(image, &file, object_bytes).await?;
        fs::remove_file(&file)?;
        Ok(())
    }

    /// The same from a file.
    pub async fn import_file(&self, image: &str, file: &Path, object_bytes: u64) -> Result<()> {
        let size = object_bytes.to_string();
        self.rbd_ok(&["import", "--no-progress", "--object-size", &size, text(file)?, &spec(image)]).await?;
        Ok(())
    }

    /// Makes `child` a clone of a fresh, protected snapshot `parent@snapshot`.
    pub async fn clone_image(&self, parent: &str, snapshot: &str, child: &str) -> Result<()> {
        let snapshot = format!("{}@{snapshot}", spec(parent));
        self.rbd_ok(&["snap", "create", &snapshot]).await?;
        self.rbd_ok(&["snap", "protect", &snapshot]).await?;
        self.rbd_ok(&["clone", &snapshot, &spec(child)]).await?;
        Ok(())
    }

    /// Names of the children of `parent@snapshot`.
    pub async fn children(&self, parent: &str, snapshot: &str) -> Result<Vec<String>> {
        let snapshot = format!("{}@{snapshot}", spec(parent));
        let json = self.rbd_ok(&["children", "--format", "json", &snapshot]).await?;
        let children: Vec<serde_json::Value> =
            serde_json::from_str(&json).with_context(|| format!("children as JSON: {json}"))?;
        Ok(children.iter().filter_map(|child| Some(child.get("image")?.as_str()?.to_owned())).collect())
    }

    /// Exports an image into a file of the cluster's directory.
    pub async fn export(&self, image: &str) -> Result<PathBuf> {
        let file = self.directory.join(format!("{image}.export"));
        if file.exists() {
            fs::remove_file(&file)?;
        }
        self.rbd_ok(&["export", "--no-progress", &spec(image), text(&file)?]).await?;
        Ok(file)
    }
}

impl Deref for Verbs {
    type Target = Osd;

    fn deref(&self) -> &Osd {
        &self.osd
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
