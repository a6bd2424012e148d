//! The begin of a universe: what there is before the clients come.

use check::Operation;
use errno::Errno;
use librbd::{CloneOptions, CreateOptions, Features};

use crate::client::spec;
use crate::maker::Maker;
use crate::plan::{BLOCK, ORDER, Plan};

/// Name of an image of the chain, from 0.
pub(crate) fn image_name(number: usize) -> String {
    format!("image{number}")
}

/// Makes the chain of images; the id of the last.
pub(crate) async fn make(maker: Maker, plan: Plan) -> Result<String, Errno> {
    let features = features(&plan);
    let (stripe_unit, stripe_count) = plan.striping.map_or((0, 0), |(blocks, count)| (blocks * BLOCK, count));
    let options =
        CreateOptions { size: plan.size(), order: u32::from(ORDER), features, stripe_unit, stripe_count };
    let base = image_name(0);
    let create = librbd::create(&maker.io, &base, &options);
    maker.recorded(&base, Operation::Create { size: plan.size() }, create).await?;
    let object = 1 << ORDER;
    let fill: Vec<_> = (1..)
        .zip(&plan.filled)
        .map(|(tag, number)| Operation::Write { offset: number * object, length: object, tag })
        .collect();
    maker.change(&base, fill).await?;
    for number in 1..plan.depth {
        let (parent, child) = (image_name(number - 1), image_name(number));
        maker.change(&parent, vec![Operation::SnapCreate { snap: child.clone() }]).await?;
        let clone = Operation::Clone { parent: spec(&parent), snap: child.clone() };
        let options = CloneOptions::default();
        let cloning = librbd::clone(&maker.io, &parent, &child, &maker.io, &child, &options);
        maker.recorded(&child, clone, cloning).await?;
        if number + 1 < plan.depth {
            let tag = 500 + number as u64;
            let length = object.min(plan.size());
            maker.change(&child, vec![Operation::Write { offset: 0, length, tag }]).await?;
        }
    }
    let last = librbd::image_id(&maker.io, &image_name(plan.depth - 1)).await;
    maker.leave().await;
    last.map_err(|error| error.errno())
}

/// Of all images.
pub(crate) fn features(plan: &Plan) -> Features {
    match plan.deep_flatten {
        true => Features::default(),
        false => Features::default().without(Features::DEEP_FLATTEN),
    }
}
