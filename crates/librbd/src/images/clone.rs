use errno::Errno;
use rados::IoCtx;

use super::create::{CreateOptions, NewImage, NewParent};
use super::directory::image_id;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::header::{Header, read_header};
use crate::state::ParentSpec;

/// Largest objects of a clone, as log2: a copy-up creates a whole object in one op vector.
const CLONE_ORDER_MAX: u32 = 23;

/// What a clone is like where it differs from its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneOptions {
    /// log2 of the object size, 12 to 23; `None` = the parent's.
    pub order: Option<u32>,
    /// What it can do; `None` = what the parent can. Layering is always in.
    pub features: Option<Features>,
    /// Bytes; `None` = the parent's, unless an order is given.
    pub stripe_unit: Option<u64>,
    /// Objects; `None` = the parent's, unless an order is given.
    pub stripe_count: Option<u64>,
}

/// Makes an image that shows a snapshot's data until it is written (clone format 2: the snapshot need not be protected).
/// ENOENT if the parent or its snapshot does not exist; EEXIST if the child's name is taken; EINVAL names the rule that an
/// option breaks. A caller that goes away in the middle takes the clone back.
pub async fn clone(
    parent_io: &IoCtx,
    parent: &str,
    snap: &str,
    child_io: &IoCtx,
    child: &str,
    options: &CloneOptions,
) -> Result<()> {
    let id = image_id(parent_io, parent).await?;
    let header = read_header(parent_io, &id).await?;
    let snapshot =
        header.snapshots.iter().find(|snapshot| snapshot.name == snap && !snapshot.in_trash).ok_or_else(
            || {
                let text = format!("image {}/{parent} has no snapshot {snap}", parent_io.pool());
                Error::refused(Errno::ENOENT, text)
            },
        )?;
    let options = like_the_parent(&header, snapshot.size, options)?;
    let spec = ParentSpec { pool: parent_io.pool().to_owned(), image_id: id, snap_id: snapshot.id };
    let parent = NewParent { io: parent_io.clone(), spec, size: snapshot.size };
    NewImage { io: child_io.clone(), name: child.to_owned(), options, parent: Some(parent) }.make().await
}

fn like_the_parent(parent: &Header, size: u64, options: &CloneOptions) -> Result<CreateOptions> {
    let order = options.order.unwrap_or(parent.order);
    if order > CLONE_ORDER_MAX {
        return Err(Error::invalid(format!("order {order} of a clone must not be above {CLONE_ORDER_MAX}")));
    }
    let features = options
        .features
        .map_or_else(|| Features::from_header(parent.features).map(Features::maintained), Ok)?;
    let is_striped_like_parent =
        options.order.is_none() && options.stripe_unit.is_none() && options.stripe_count.is_none();
    let (stripe_unit, stripe_count, features) = if is_striped_like_parent {
        (parent.stripe_unit, parent.stripe_count, features)
    } else {
        let striping = (options.stripe_unit.unwrap_or(0), options.stripe_count.unwrap_or(0));
        (striping.0, striping.1, features.without(Features::STRIPING))
    };
    let features = features.union(Features::LAYERING);
    Ok(CreateOptions { size, order, features, stripe_unit, stripe_count })
}
