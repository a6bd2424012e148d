use clap::Args;
use errno::Errno;

use super::call::Call;
use crate::{
    failure::Failure,
    named::{Named, RenameNames},
    progress::Progress,
    session::Session,
};

/// Give an image another name in its pool
#[derive(Args, Debug)]
#[command(
    visible_alias = "mv",
    after_help = "It runs at the owner of the exclusive lock: here if the lock is free, else forwarded. Whoever has the image open keeps it \
open. A name that is taken is refused with EEXIST.

Examples:
  rbd-client rename vm web
  rbd-client mv rbd/vm rbd/web"
)]
pub(crate) struct Rename {
    #[command(flatten)]
    pub(super) names: Named<RenameNames>,

    #[command(flatten)]
    call: Call,
}

impl Rename {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("rename {} {}", self.names.source.in_pool(pool), self.names.dest)
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let RenameNames { source, dest } = &*self.names;
        let io = session.io(source).await?;
        if dest.pool.as_deref().is_some_and(|pool| pool != io.pool()) {
            let text = "an image is renamed within its pool: both names must be of the same one";
            return Err(Failure::new(Errno::EINVAL, text));
        }
        let progress = Progress::new("Renaming image", session.console);
        let rename = async |image: &librbd::Image, options| image.rename(&dest.image, options).await;
        self.call.call(session, source, &progress, rename).await
    }
}
