//! The begin of a universe: what there is before the clients come.

use check::Operation;
use errno::Errno;
use librbd::{CloneOptions, CreateOptions, Features};
use proto::osd::v1 as wire;

use crate::client::spec;
use crate::maker::{MAKER, Maker};
use crate::plan::{BLOCK, ORDER, Plan};
use crate::pool::lock;
use crate::recorder::Taken;
use crate::run::alone;
use crate::shaky::Handle;
use crate::world::World;

/// Name of an image of the chain, from 0.
pub(crate) fn image_name(number: usize) -> String {
    format!("image{number}")
}

/// What decides how a universe begins: objects, those that are filled, depth, deep-flatten, striping.
pub(crate) type Shape = (u64, Vec<u64>, usize, bool, Option<(u64, u64)>);

/// What there is when the clients come. Nobody is there, and everything is durable.
pub(crate) struct Begun {
    /// Id of the last image of the chain.
    pub(crate) image_id: String,
    pub(crate) store: Handle,
    /// What happened.
    pub(crate) events: Vec<wire::Event>,
    /// What was asked and answered.
    pub(crate) taken: Taken,
    /// Number of the newest connection, stream or life.
    pub(crate) newest: u64,
    pub(crate) time_ms: u64,
}

pub(crate) fn shape(plan: &Plan) -> Shape {
    (plan.objects, plan.filled.clone(), plan.depth, plan.deep_flatten, plan.striping)
}

/// Makes it. It is the same for all plans of a shape, whatever else they say: one client, to which nothing happens, has nothing that
/// could be decided in two ways.
pub(crate) fn begin(plan: &Plan) -> Result<Begun, String> {
    let plan = Plan {
        schedule: 0,
        latency_ms_max: 0,
        durable_ms_max: 0,
        copy_on_read: false,
        clients: Vec::new(),
        faults: Vec::new(),
        ..plan.clone()
    };
    let world = World::empty(&plan);
    let life = world.begin_life(MAKER, None);
    let making = {
        let world = world.clone();
        async move { make(Maker::arrive(world, life, librbd::Config::ci()).await?, plan).await }
    };
    let made =
        alone(&world, life, making).ok_or("whoever makes the images never comes to the end".to_owned());
    let taken = world.recorder.take();
    let state = lock(&world.state);
    let (store, events) = (state.host.store(), state.host.events());
    let (newest, time_ms) = (state.newest, state.now());
    drop(state);
    world.pool.end_all();
    let image_id = made?.map_err(|why| format!("the images could not be made: {why}"))?;
    Ok(Begun { image_id, store, events, taken, newest, time_ms })
}

/// Makes the chain of images; the id of the last.
async fn make(maker: Maker, plan: Plan) -> Result<String, Errno> {
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
