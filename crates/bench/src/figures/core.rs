//! What single steps of the OSD cost, without transport: the core within this process, on one thread.

use std::fs;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use osd::{
    Config, Limits, Millis, Osd, Request,
    op::{Op, SnapContext, Terms, Vector},
};
use store::{MemoryStore, Name};

use crate::{
    figures::{BLOCK, Scale},
    rate::scattered,
    row::{Row, Unit},
};

/// Steps for each round.
const STEPS_PER_ROUND: usize = 250;

/// Clones that are trimmed for each round.
const CLONES_PER_ROUND: usize = 2_500;

/// Bytes of an object that is not empty.
const SMALL_BYTES: usize = 512;

/// Bytes of the object that is written at random places.
const LARGE_BYTES: u64 = 4 << 20;

pub(super) fn measure(scale: &Scale) -> Result<Vec<Row>> {
    // Memory first: later, room that was given back would be used again.
    let mut rows = vec![];
    rows.extend(objects(scale)?);
    rows.push(random_write(scale)?);
    rows.push(omap_set(scale)?);
    Ok(rows)
}

/// Objects by the thousand: what each needs, and how long their clones take to go.
fn objects(scale: &Scale) -> Result<[Row; 3]> {
    let count = scale.rounds * CLONES_PER_ROUND;
    let mut core = Core::new()?;
    let empty = core.bytes_each(count, |core, number| {
        core.apply(format!("rbd_data.1234567890ab.{number:016x}"), &[], Op::Create { exclusive: true })
    })?;
    let small = count / 10;
    let filled = core.bytes_each(small, |core, number| {
        let data = Bytes::from(vec![7; SMALL_BYTES]);
        core.apply(format!("rbd_data.ba0987654321.{number:016x}"), &[], Op::WriteFull { data })
    })?;
    let snap_id = core.osd.allocate_snap_id(NOW, POOL, 0, 0).0?;
    for number in 0..count {
        core.apply(format!("rbd_data.1234567890ab.{number:016x}"), &[snap_id], Op::Truncate { size: 1 })?;
    }
    let mut longest = core.time(|core| Ok(core.osd.remove_snap_id(NOW, POOL, snap_id, 0).0?))?;
    while core.osd.has_work() {
        let step = core.time(|core| {
            core.osd.work(NOW);
            Ok(())
        })?;
        longest = longest.max(step);
    }
    Ok([
        Row::of("an empty object", Unit::Bytes, empty).limit("the bound", 300.0),
        Row::of("an object of 512 bytes", Unit::Bytes, filled).limit("the bound", 1_000.0),
        Row::of(format!("longest step, {count} clones trimmed"), Unit::Milliseconds, longest / 1e6)
            .limit("the bound", 10.0),
    ])
}

/// Writes of 4 KiB at random places of a full object.
fn random_write(scale: &Scale) -> Result<Row> {
    let mut core = Core::new()?;
    core.apply("object", &[], Op::WriteFull { data: vec![1; LARGE_BYTES as usize].into() })?;
    let each = core.time_each(scale.rounds * STEPS_PER_ROUND, |core, number| {
        let block = BLOCK.len() as u64;
        let offset = scattered(number) % (LARGE_BYTES / block) * block;
        core.apply("object", &[], Op::Write { offset, data: BLOCK })
    })?;
    Ok(Row::of("CPU, 4 KiB random write in the core", Unit::Microseconds, each / 1e3).limit("the bound", 5.0))
}

/// Sets of one key of an object with so many.
fn omap_set(scale: &Scale) -> Result<Row> {
    let keys = scale.rounds * STEPS_PER_ROUND;
    let mut core = Core::new()?;
    let set = |number: u64, value: &'static str| Op::OmapSet {
        entries: [(Name::from(format!("key_{number:016x}")), Bytes::from_static(value.as_bytes()))].into(),
    };
    for number in 0..keys {
        core.apply("object", &[], set(number as u64, "old"))?;
    }
    let each = core.time_each(keys, |core, number| {
        core.apply("object", &[], set(scattered(number) % keys as u64, "new"))
    })?;
    Ok(Row::of(format!("CPU, omap set at {keys} keys"), Unit::Microseconds, each / 1e3)
        .limit("the bound", 5.0))
}

const POOL: &str = "rbd";

/// Nothing here waits.
const NOW: Millis = Millis(0);

/// An OSD with one session, whose every op is answered before the next.
struct Core {
    osd: Osd<MemoryStore>,
    gid: u64,
    tid: u64,
}

impl Core {
    fn new() -> Result<Self> {
        // Events that are kept would be counted as memory of objects.
        let config = Config { events_kept_max: 0, limits: Limits::default(), ..Config::default() };
        let mut osd = Osd::open(MemoryStore::new(), config, 0, NOW)?;
        osd.create_pool(NOW, POOL).0?;
        let (gid, _) = osd.connect(NOW, "bench", "bench").0?;
        Ok(Self { osd, gid, tid: 0 })
    }

    fn apply(&mut self, object: impl Into<Name>, snaps: &[u64], op: Op) -> Result<()> {
        self.tid += 1;
        let snap_context = SnapContext { seq: snaps.first().copied().unwrap_or(0), snaps: snaps.to_vec() };
        let (pool, namespace, object) = (POOL.to_owned(), Name::default(), object.into());
        let terms = Terms::default();
        let vector = Vector { pool, namespace, object, snap_id: None, snap_context, terms, ops: vec![op] };
        let request = Request { gid: self.gid, tid: self.tid, watermark: self.tid, vector };
        match self.osd.operate(NOW, &request).0.as_ref() {
            Ok(_) => Ok(()),
            Err(refusal) => Err(anyhow!("{refusal}")),
        }
    }

    /// Nanoseconds of CPU.
    fn time(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Result<f64> {
        let begun = cpu_ns()?;
        step(self)?;
        Ok(cpu_ns()? - begun)
    }

    /// Nanoseconds of CPU for each of `count` steps, which are told their number.
    fn time_each(&mut self, count: usize, step: impl Fn(&mut Self, u64) -> Result<()>) -> Result<f64> {
        let all = self.time(|core| (0..count as u64).try_for_each(|number| step(core, number)))?;
        Ok(all / count as f64)
    }

    /// Bytes by which the resident memory grows for each of `count` steps.
    fn bytes_each(&mut self, count: usize, step: impl Fn(&mut Self, u64) -> Result<()>) -> Result<f64> {
        let begun = super::resident_bytes("self")?;
        (0..count as u64).try_for_each(|number| step(self, number))?;
        Ok((super::resident_bytes("self")? - begun) / count as f64)
    }
}

/// Of this thread, from `/proc/thread-self/schedstat`.
fn cpu_ns() -> Result<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = stat.split_whitespace().next().context("schedstat begins with the time on the CPU")?;
    Ok(nanoseconds.parse()?)
}
