//! Images that a serving process makes beside the one that it keeps open.

use std::time::Duration;

use bytes::Bytes;
use errno::Errno;
use futures_util::{Stream, StreamExt};
use librbd::{CallOptions, CloneOptions, CreateOptions, Features, Image, OpenOptions};
use proto::rbd::v1::{self as wire, import_image_request::Part};
use rados::IoCtx;
use tokio::time::timeout;
use tonic::Status;

use super::held_image::HeldImage;
use crate::{failure::Failure, sparse::data_runs};

/// Blocks of this size that are zero are not written.
const SPARSE_BYTES: usize = 4096;
/// How long the removal of a half-written image may take.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes an empty image.
pub(super) async fn create(held: &HeldImage, request: wire::CreateImageRequest) -> Result<(), Failure> {
    let wire::CreateImageRequest { image, size, shape } = request;
    let (io, name) = named(held, image, "image").await?;
    Ok(librbd::create(&io, &name, &create_options(size, &shape.unwrap_or_default())?).await?)
}

/// Makes a clone of a snapshot.
pub(super) async fn clone(held: &HeldImage, request: wire::CloneImageRequest) -> Result<(), Failure> {
    let wire::CloneImageRequest { parent, snapshot, image, shape } = request;
    let (parent_io, parent) = named(held, parent, "parent").await?;
    let (io, name) = named(held, image, "image").await?;
    let shape = shape.unwrap_or_default();
    let options = CloneOptions {
        order: shape.order,
        features: features(&shape)?,
        stripe_unit: (shape.stripe_unit != 0).then_some(shape.stripe_unit),
        stripe_count: (shape.stripe_count != 0).then_some(shape.stripe_count),
    };
    Ok(librbd::clone(&parent_io, &parent, &snapshot, &io, &name, &options).await?)
}

/// Makes an image out of what comes, and removes it again when that is not all of it. To be run to its end, also when the
/// caller has gone: then `parts` ends with an error.
pub(super) async fn import(
    held: &HeldImage,
    mut parts: impl Stream<Item = Result<wire::ImportImageRequest, Status>> + Unpin,
) -> Result<(), Failure> {
    let Some(Part::Image(request)) = next(&mut parts).await? else {
        return Err(invalid("import: the first message names the image"));
    };
    let (io, name) = named(held, request.image.clone(), "image").await?;
    let size = request.size;
    create(held, request).await?;
    let Err(failure) = fill(held, &io, &name, size, &mut parts).await else { return Ok(()) };
    let quiet = CallOptions::default().progress;
    match timeout(REMOVAL_TIMEOUT, librbd::remove(&io, &name, held.config(), quiet)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(image = name, %error, "the half-written image is left"),
        Err(_) => tracing::warn!(image = name, "the half-written image is left: it was not removed in time"),
    }
    Err(failure)
}

async fn fill(
    held: &HeldImage,
    io: &IoCtx,
    name: &str,
    size: u64,
    parts: &mut (impl Stream<Item = Result<wire::ImportImageRequest, Status>> + Unpin),
) -> Result<(), Failure> {
    let image = Image::open(io, name, OpenOptions::default(), held.config().clone()).await?;
    let written = write_all(&image, size, parts).await;
    image.close().await;
    written
}

async fn write_all(
    image: &Image,
    size: u64,
    parts: &mut (impl Stream<Item = Result<wire::ImportImageRequest, Status>> + Unpin),
) -> Result<(), Failure> {
    let mut position = 0;
    while let Some(part) = next(parts).await? {
        let Part::Data(data) = part else {
            return Err(invalid("import: the image is named once, by the first message"));
        };
        super::service::within_limit("import", data.len() as u64)?;
        let end = position + data.len() as u64;
        if end > size {
            return Err(invalid(format!("import: the image has {size} bytes, and there are more")));
        }
        write(image, position, &data).await?;
        position = end;
    }
    if position != size {
        return Err(invalid(format!("import: the image has {size} bytes, and {position} came")));
    }
    Ok(image.flush().await?)
}

async fn write(image: &Image, position: u64, data: &Bytes) -> Result<(), Failure> {
    for run in data_runs(data, SPARSE_BYTES) {
        image.write(position + run.start as u64, data.slice(run)).await?;
    }
    Ok(())
}

/// `None` at the end.
async fn next(
    parts: &mut (impl Stream<Item = Result<wire::ImportImageRequest, Status>> + Unpin),
) -> Result<Option<Part>, Failure> {
    match parts.next().await {
        None => Ok(None),
        Some(Ok(wire::ImportImageRequest { part: Some(part) })) => Ok(Some(part)),
        Some(Ok(wire::ImportImageRequest { part: None })) => Err(invalid("import: a message without a part")),
        Some(Err(status)) => {
            Err(Failure::new(Errno::ECANCELED, format!("import: the caller went away: {}", status.message())))
        }
    }
}

async fn named(
    held: &HeldImage,
    name: Option<wire::ImageName>,
    part: &str,
) -> Result<(IoCtx, String), Failure> {
    let wire::ImageName { pool, image } = name.unwrap_or_default();
    if image.is_empty() {
        return Err(invalid(format!("{part}: an image is named")));
    }
    let pool = if pool.is_empty() { held.pool() } else { &pool };
    Ok((held.current().rados.io_ctx(pool).await?, image))
}

fn create_options(size: u64, shape: &wire::ImageShape) -> Result<CreateOptions, Failure> {
    let default = CreateOptions::default();
    Ok(CreateOptions {
        size,
        order: shape.order.unwrap_or(default.order),
        features: features(shape)?.unwrap_or(default.features),
        stripe_unit: shape.stripe_unit,
        stripe_count: shape.stripe_count,
    })
}

fn features(shape: &wire::ImageShape) -> Result<Option<Features>, Failure> {
    if shape.features.is_empty() {
        return Ok(None);
    }
    let names = shape.features.join(",");
    names.parse().map(Some).map_err(|error| invalid(format!("features {names}: {error}")))
}

fn invalid(text: impl Into<String>) -> Failure {
    Failure::new(Errno::EINVAL, text)
}
