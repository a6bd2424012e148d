//! The begin and the end of a universe: what there is before the clients come, and what they leave.

use std::collections::BTreeMap;

use check::{FinalImage, FinalParent, FinalSnapshot, FinalState, ImageObjects, Operation};
use errno::Errno;
use librbd::{CloneOptions, CreateOptions, Features, Image, OpenOptions, names};
use rados::IoCtx;

use crate::client::{connect, outcome_of, perform, spec};
use crate::host::POOL;
use crate::plan::{BLOCK, ORDER, Plan};
use crate::pool::Life;
use crate::world::World;

/// Whoever makes the images, and looks at them at the end.
pub(crate) const MAKER: &str = "maker";

/// Name of an image of the chain, from 0.
pub(crate) fn image_name(number: usize) -> String {
    format!("image{number}")
}

/// Makes the chain of images.
pub(crate) async fn make(world: World, life: Life, plan: Plan, config: librbd::Config) -> Result<(), Errno> {
    let io = connect(&world, life, MAKER).await.map_err(|error| error.errno())?;
    let maker = Maker { world, io, config };
    let mut features = Features::default();
    if !plan.deep_flatten {
        features = features.without(Features::DEEP_FLATTEN);
    }
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
    maker.io.rados().shutdown().await;
    Ok(())
}

struct Maker {
    world: World,
    io: IoCtx,
    config: librbd::Config,
}

impl Maker {
    async fn recorded(
        &self,
        image: &str,
        operation: Operation,
        doing: impl Future<Output = librbd::Result<()>>,
    ) -> Result<(), Errno> {
        let world = &self.world;
        let id = world.recorder.invoke(world.now(), MAKER, &spec(image), operation, None);
        let done = doing.await.map(|()| Vec::new()).map_err(|error| error.errno());
        world.recorder.complete(world.now(), id, outcome_of(done.clone()));
        done.map(drop)
    }

    async fn change(&self, image: &str, operations: Vec<Operation>) -> Result<(), Errno> {
        let open = Image::open(&self.io, image, OpenOptions::default(), self.config.clone())
            .await
            .map_err(|error| error.errno())?;
        for operation in operations {
            self.performed(&open, image, operation).await?;
        }
        open.close().await;
        Ok(())
    }

    async fn performed(&self, open: &Image, image: &str, operation: Operation) -> Result<(), Errno> {
        let world = &self.world;
        let id = world.recorder.invoke(world.now(), MAKER, &spec(image), operation.clone(), None);
        let read_snap = matches!(&operation, Operation::Read { snap: Some(_), .. });
        let asked = match operation {
            // The image is open at the snapshot.
            Operation::Read { offset, length, .. } if read_snap => {
                Operation::Read { offset, length, snap: None }
            }
            other => other,
        };
        let done = perform(open, asked).await;
        world.recorder.complete(world.now(), id, outcome_of(done.clone()));
        done.map(drop)
    }
}

/// What there is at the end.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) state: FinalState,
    pub(crate) objects: BTreeMap<String, ImageObjects>,
    /// What could not be read or taken.
    pub(crate) failed: Vec<String>,
}

/// Takes every lock once, which finishes what its last owners left, then looks at everything and reads everything.
pub(crate) async fn look(world: World, life: Life, config: librbd::Config) -> Result<Left, Errno> {
    let errno = |error: librbd::Error| error.errno();
    let io = connect(&world, life, MAKER).await.map_err(|error| error.errno())?;
    let maker = Maker { world, io, config };
    let mut left = Left::default();
    let names = librbd::list(&maker.io).await.map_err(errno)?;
    for name in &names {
        let open = Image::open(&maker.io, name, OpenOptions::default(), maker.config.clone())
            .await
            .map_err(errno)?;
        for operation in [Operation::Acquire, Operation::Release] {
            if let Err(errno) = maker.performed(&open, name, operation.clone()).await {
                left.failed.push(format!("{operation:?} of {name}: {errno}"));
            }
        }
        open.close().await;
    }
    for name in &names {
        let id = librbd::image_id(&maker.io, name).await.map_err(errno)?;
        let header = librbd::read_header(&maker.io, &id).await.map_err(errno)?;
        let open = Image::open(&maker.io, name, OpenOptions::default(), maker.config.clone())
            .await
            .map_err(errno)?;
        let info = open.info().await.map_err(errno)?;
        maker.read(&open, name, None, header.size, &mut left).await;
        open.close().await;
        let mut snapshots = Vec::new();
        for snapshot in &header.snapshots {
            let children = if snapshot.in_trash {
                Vec::new()
            } else {
                librbd::children(&maker.io, name, Some(&snapshot.name)).await.map_err(errno)?
            };
            snapshots.push(FinalSnapshot {
                name: snapshot.name.clone(),
                protected: snapshot.protection != librbd::Protection::Unprotected,
                in_trash: snapshot.in_trash,
                children: children.into_iter().map(|child| spec(&child.name)).collect(),
            });
            if !snapshot.in_trash {
                let options = OpenOptions { read_only: true, snapshot: Some(snapshot.name.clone()) };
                let open =
                    Image::open(&maker.io, name, options, maker.config.clone()).await.map_err(errno)?;
                maker.read(&open, name, Some(&snapshot.name), snapshot.size, &mut left).await;
                open.close().await;
            }
        }
        let parent = info.parent.map(|parent| FinalParent {
            image: spec(&parent.image),
            snap: parent.snapshot,
            head: parent.overlap.is_some(),
        });
        left.state.images.insert(spec(name), FinalImage { size: header.size, snapshots, parent });
        let objects = ImageObjects {
            pool: POOL.to_owned(),
            header: names::header(&id),
            object_prefix: header.object_prefix.clone(),
        };
        left.objects.insert(spec(name), objects);
    }
    maker.io.rados().shutdown().await;
    Ok(left)
}

impl Maker {
    async fn read(&self, open: &Image, image: &str, snap: Option<&str>, length: u64, left: &mut Left) {
        if length == 0 {
            return;
        }
        let operation = Operation::Read { offset: 0, length, snap: snap.map(str::to_owned) };
        if let Err(errno) = self.performed(open, image, operation).await {
            left.failed.push(format!("reading {image} at {snap:?}: {errno}"));
        }
    }
}
