//! Resident memory of osd-sim over the bytes that it stores, after changes that leave parts of what was written.

use anyhow::{Context, Result};
use bytes::Bytes;
use harness::osd::POOL;
use rados::{IoCtx, ObjectOp};

use crate::{
    figures::{BLOCK, Scale, resident_bytes},
    rate::scattered,
    row::{Row, Unit},
    session,
};

/// Bytes of the objects.
const OBJECTS: [(u64, &str); 2] = [(64 << 10, "64 KiB"), (4 << 20, "4 MiB")];

/// Part of the flattened image's size that is stored.
const PART: u64 = 4;

/// What the bytes may need, and what the process may need besides.
const BOUND: (f64, f64) = (1.3, (64 << 20) as f64);

pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (size, called) in OBJECTS {
        let cluster = session::start().await?;
        let io = session::connect(&cluster).await?;
        fill_and_change(&io, size, (scale.flatten_mib << 20) / PART / size).await?;
        let pools = io.rados().pools().await?;
        let stored = pools.iter().find(|pool| pool.name == POOL).context("the pool is there")?.bytes as f64;
        let resident = resident_bytes(&cluster.process.pid().to_string())?;
        let bound = BOUND.0 + BOUND.1 / stored;
        let row = Row::of(format!("memory over bytes, objects of {called}"), Unit::Times, resident / stored);
        rows.push(row.limit("the bound: 1.3 times the bytes, and 64 MiB", bound));
    }
    Ok(rows)
}

/// Writes objects whole, overwrites 4 KiB at random places of them, one in four blocks, and makes holes of the same size at as
/// many others.
async fn fill_and_change(io: &IoCtx, size: u64, objects: u64) -> Result<()> {
    let data = Bytes::from(vec![0x5a; usize::try_from(size)?]);
    for number in 0..objects {
        io.operate(&name(number), ObjectOp::new().write_full(data.clone())).await?;
    }
    let block = BLOCK.len() as u64;
    let blocks = objects * size / block;
    for number in 0..blocks / 4 {
        let place =
            |number| (name(scattered(number) % objects), scattered(number + blocks) % (size / block) * block);
        let (object, offset) = place(number);
        io.operate(&object, ObjectOp::new().write(offset, BLOCK)).await?;
        let (object, offset) = place(number + blocks / 4);
        io.operate(&object, ObjectOp::new().zero(offset, block)).await?;
    }
    Ok(())
}

fn name(number: u64) -> String {
    format!("object {number}")
}
