//! Rename: the directory decides, and keeps the request with its intent until the header has the record of it. So the request is known
//! again wherever it comes, whoever died in between.

use errno::Errno;
use rbd_protocol::Operation;

use super::Run;
use crate::error::Result;
use crate::image::Image;
use crate::images::rename::{Renaming, finish_names, forget, last_request};
use crate::names;
use crate::progress::CallOptions;
use crate::throttle::interrupted;

impl Image {
    /// Gives the image another name in its pool; whoever has it open keeps it open. EEXIST for a name that is taken, and for the one
    /// that it has; EINVAL for one that cannot be a name.
    pub async fn rename(&self, new_name: &str, options: CallOptions) -> Result<()> {
        names::check_image_name(new_name)?;
        self.invoke(Operation::Rename { name: new_name.to_owned() }, options).await
    }
}

/// EEXIST for a name that is taken, and for the one that the image has.
pub(super) async fn run(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    run.check_writable()?;
    run.check_cancelled()?;
    run.look().await?;
    let renaming = Renaming { io: &image.io, id: &image.id, new_name: name, request: run.id };
    let last = last_request(&image.io, &image.id).await?;
    if last != Some(run.id) {
        if let Some(earlier) = last {
            run.record_success_of(earlier).await?;
        }
        renaming.decide().await?;
    }
    finish(run).await
}

/// The image has its name: nothing is an error of the renaming from here on. Without its record the request is to come again.
async fn finish(run: &Run) -> Result<()> {
    let image = &run.image;
    let named = finish_names(&image.io, &image.id).await;
    if let Err(error) = run.record_success().await {
        let is_lost = matches!(error.errno(), Errno::EBLOCKLISTED | Errno::ESHUTDOWN | Errno::ENOTCONN);
        tracing::warn!(image = image.name, %error, "a renaming leaves no record yet");
        return Err(if is_lost { error } else { interrupted() });
    }
    let done = match named {
        Ok(()) => forget(&image.io, &image.id, run.id).await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::info!(image = image.name, %error, "what a renaming left stays for whoever meets the image");
    }
    Ok(())
}
