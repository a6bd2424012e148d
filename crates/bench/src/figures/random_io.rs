//! Reads and writes of 4 KiB at random places of a full image, by the client that owns the lock.

use anyhow::{Result, ensure};
use librbd::Image;

use crate::{
    figures::{BLOCK, Scale},
    limits,
    rate::{Rate, rate, scattered},
    row::{Row, Unit},
    session,
};

/// Size of the image.
const IMAGE_MIB: u64 = 256;

/// What is done at each place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Write,
    Read,
}

/// Calls in flight, and Ceph's calls in a second.
fn cases(direction: Direction) -> [(usize, f64); 2] {
    match direction {
        Direction::Write => [(1, 3_855.0), (16, 10_825.0)],
        Direction::Read => [(1, 5_378.0), (16, 24_038.0)],
    }
}

pub(super) async fn measure(direction: Direction, scale: &Scale) -> Result<Vec<Row>> {
    let cluster = session::start().await?;
    session::create_full(&cluster, "vm", IMAGE_MIB).await?;
    let io = session::connect(&cluster).await?;
    let image = session::open(&io, "vm").await?;
    let bare = limits::bare_channel(&cluster).await?;
    let mut rows = Vec::new();
    for (in_flight, ceph) in cases(direction) {
        let limit = rate(in_flight, scale.seconds / 2, |_| {
            let mut bare = bare.clone();
            async move { limits::bare_call(&mut bare).await }
        });
        let limit = limit.await?.per_second;
        let Rate { per_second, spread } =
            rate(in_flight, scale.seconds, |number| one(&image, direction, number)).await?;
        let verb = if direction == Direction::Write { "write" } else { "read" };
        let row = Row::of(format!("4 KiB random {verb}, {in_flight} in flight"), Unit::PerSecond, per_second);
        let row = row.ceph(ceph).limit("bare gRPC calls, as many in flight", limit);
        rows.push(Row { spread: Some(spread), ..row });
    }
    image.close().await;
    Ok(rows)
}

async fn one(image: &Image, direction: Direction, number: u64) -> Result<()> {
    let block = BLOCK.len() as u64;
    let offset = scattered(number) % ((IMAGE_MIB << 20) / block) * block;
    match direction {
        Direction::Write => image.write(offset, BLOCK).await?,
        Direction::Read => {
            let data = image.read(offset, block).await?;
            ensure!(data == BLOCK, "the block at {offset} is not what was written");
        }
    }
    Ok(())
}
