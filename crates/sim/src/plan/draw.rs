//! What the clients of a seed do, and what befalls them.

use check::Operation;
use errno::Errno;
use fastrand::Rng;

use super::{AT_SNAPSHOT, BLOCK, BLOCKS_PER_OBJECT, Extent, Fault, Step, What, When};
use crate::begin::image_name;
use crate::client::spec;

/// Ops at which an operation can be cut in two.
const OPS: [&str; 24] = [
    AT_SNAPSHOT,
    "lock.lock",
    "lock.unlock",
    "lock.set_cookie",
    "lock.break_lock",
    "lock.get_info",
    "rbd.child_attach",
    "rbd.child_detach",
    "rbd.copyup",
    "rbd.sparse_copyup",
    "rbd.create",
    "rbd.dir_add_image",
    "rbd.dir_remove_image",
    "rbd.dir_rename_image",
    "rbd.parent_attach",
    "rbd.parent_detach",
    "rbd.set_id",
    "rbd.set_protection_status",
    "rbd.set_size",
    "rbd.snapshot_add",
    "rbd.snapshot_remove",
    "rbd.snapshot_rename",
    "sparse_read",
    "write",
];
/// Ops that may still be under way when the image has changed.
const SLOW_OPS: [&str; 6] =
    [AT_SNAPSHOT, "sparse_read", "rbd.copyup", "rbd.sparse_copyup", "write", "rbd.set_protection_status"];
/// Draws them.
pub(super) struct Drawer<'a> {
    rng: &'a mut Rng,
    extent: Extent,
    /// Whether clients open the image twice in one session.
    opens_twice: bool,
    blocks: u64,
    names: u64,
    tag: u64,
    /// Number of the client whose calls are drawn.
    client: usize,
    /// Clients that read a snapshot while it is removed.
    readers: Vec<usize>,
    /// Name of the clients' own image.
    own: String,
    /// Snapshots of the clients' own image.
    snaps: Vec<String>,
    /// (image, snapshot) of the images below the clients' own.
    below: Vec<(String, String)>,
    /// Images that errands make empty.
    made: Vec<String>,
    /// Clones that errands make, with their source.
    sides: Vec<(String, Operation)>,
    /// (clone, snapshot) that errands take.
    side_snaps: Vec<(String, String)>,
}

/// Kinds of calls, with the share of each.
const KINDS: [(Kind, usize); 24] = [
    (Kind::Write, 8),
    (Kind::Read, 6),
    (Kind::Discard, 4),
    (Kind::Flush, 1),
    (Kind::Flatten, 3),
    (Kind::Resize, 2),
    (Kind::SnapCreate, 2),
    (Kind::SnapRemove, 2),
    (Kind::SnapRead, 3),
    (Kind::SnapRename, 1),
    (Kind::SnapPurge, 1),
    (Kind::Rollback, 1),
    (Kind::Protect, 1),
    (Kind::Lock, 1),
    (Kind::Create, 2),
    (Kind::Rename, 1),
    (Kind::Clone, 3),
    (Kind::SideWrite, 2),
    (Kind::SideFlatten, 2),
    (Kind::SideSnap, 1),
    (Kind::SideResize, 1),
    (Kind::SideProtect, 1),
    (Kind::SourceRemove, 2),
    (Kind::Remove, 2),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
    Discard,
    Flush,
    Flatten,
    Resize,
    SnapCreate,
    SnapRemove,
    /// One of any image, opened for this call.
    SnapRead,
    SnapRename,
    SnapPurge,
    Rollback,
    Protect,
    Lock,
    Create,
    Rename,
    Clone,
    SideWrite,
    SideFlatten,
    SideSnap,
    SideResize,
    SideProtect,
    /// A snapshot that errands clone goes.
    SourceRemove,
    Remove,
}

impl<'a> Drawer<'a> {
    pub(super) fn new(rng: &'a mut Rng, extent: Extent, blocks: u64, depth: usize) -> Self {
        Self {
            opens_twice: rng.u8(0..4) == 0,
            rng,
            extent,
            blocks,
            names: 0,
            tag: 1_000,
            client: 0,
            readers: Vec::new(),
            own: image_name(depth - 1),
            snaps: Vec::new(),
            below: (1..depth).map(|number| (image_name(number - 1), image_name(number))).collect(),
            made: Vec::new(),
            sides: Vec::new(),
            side_snaps: Vec::new(),
        }
    }

    pub(super) fn clients(&mut self) -> Vec<Vec<Step>> {
        let mut kinds: Vec<Kind> = Vec::new();
        for (kind, share) in KINDS {
            let least = usize::from(matches!(kind, Kind::Write | Kind::Read));
            let weight = least.max([0, 0, 1, 1, 1, 6][self.rng.usize(0..6)]);
            kinds.extend(std::iter::repeat_n(kind, weight * share));
        }
        let count = self.rng.usize(1..=self.extent.clients);
        let steps_max = self.rng.usize(2..=self.extent.steps);
        let steps = |drawer: &mut Self| {
            let steps = drawer.rng.usize(1..=steps_max);
            (0..steps).flat_map(|_| drawer.steps(&kinds)).collect()
        };
        let mut clients = Vec::new();
        for number in 0..count {
            self.client = number;
            clients.push(steps(self));
        }
        clients
    }

    fn steps(&mut self, kinds: &[Kind]) -> Vec<Step> {
        let operation = match kinds[self.rng.usize(0..kinds.len())] {
            Kind::Write => {
                let (offset, length) = self.range();
                self.tag += 1;
                Operation::Write { offset, length, tag: self.tag }
            }
            Kind::Read => {
                let (offset, length) = self.range();
                Operation::Read { offset, length, snap: None }
            }
            Kind::Discard => {
                let (offset, length) = self.range();
                Operation::Discard { offset, length }
            }
            Kind::Flush => Operation::Flush,
            Kind::Flatten if self.rng.bool() => return self.flatten_under_io(),
            Kind::Flatten => Operation::Flatten,
            Kind::Resize => Operation::Resize { size: self.rng.u64(1..=self.blocks + 4) * BLOCK },
            Kind::SnapCreate => {
                let snap = self.fresh("s");
                self.snaps.push(snap.clone());
                Operation::SnapCreate { snap }
            }
            Kind::SnapRemove => match self.snap() {
                Some(snap) => Operation::SnapRemove { snap },
                None => return Vec::new(),
            },
            Kind::SnapRead if self.rng.bool() => return self.read_under_removal(),
            Kind::SnapRename => match self.snap() {
                Some(snap) => {
                    let to = self.fresh("s");
                    self.snaps.push(to.clone());
                    Operation::SnapRename { snap, to }
                }
                None => return Vec::new(),
            },
            Kind::SnapPurge => Operation::SnapPurge,
            Kind::Rollback => match self.snap() {
                Some(snap) => Operation::SnapRollback { snap },
                None => return Vec::new(),
            },
            Kind::Protect => match self.snap() {
                Some(snap) if self.rng.bool() => Operation::SnapProtect { snap },
                Some(snap) => Operation::SnapUnprotect { snap },
                None => return Vec::new(),
            },
            Kind::Lock => {
                let pause = Step::Pause(self.rng.u64(0..200));
                return vec![Step::Call(Operation::Acquire), pause, Step::Call(Operation::Release)];
            }
            errand => return self.errand(errand).into_iter().collect(),
        };
        match self.rng.u8(0..8) {
            0 | 1 => vec![Step::Begin(operation)],
            2 => vec![Step::Call(operation), Step::Pause(self.rng.u64(0..300))],
            3 if operation_may_be_left(&operation) => vec![Step::Patience(operation, self.rng.u64(1..2_000))],
            4 if self.opens_twice => vec![Step::Beside(operation)],
            _ => vec![Step::Call(operation)],
        }
    }

    /// While one object is written in part and as a whole; then it is discarded.
    fn flatten_under_io(&mut self) -> Vec<Step> {
        let object = self.rng.u64(0..self.blocks / BLOCKS_PER_OBJECT) * BLOCKS_PER_OBJECT * BLOCK;
        let bytes = BLOCKS_PER_OBJECT * BLOCK;
        let mut write = |offset, length| {
            self.tag += 1;
            Step::Begin(Operation::Write { offset, length, tag: self.tag })
        };
        vec![
            write(object, BLOCK),
            write(object, bytes),
            Step::Call(Operation::Flatten),
            Step::Call(Operation::Discard { offset: object, length: bytes }),
        ]
    }

    /// A snapshot is taken, and read while it is removed.
    fn read_under_removal(&mut self) -> Vec<Step> {
        self.readers.push(self.client);
        let snap = self.fresh("s");
        let (offset, length) = self.range();
        let read = Operation::Read { offset, length, snap: Some(snap.clone()) };
        vec![
            Step::Call(Operation::SnapCreate { snap: snap.clone() }),
            Step::Begin(Operation::SnapRemove { snap }),
            Step::Errand { image: self.own.clone(), operation: read, patience_ms: None },
        ]
    }

    /// `None` when there is nothing that it could be about.
    fn errand(&mut self, kind: Kind) -> Option<Step> {
        let (image, operation) = match kind {
            Kind::Create => {
                let again = self.rng.u8(0..3) == 0;
                let image =
                    one_of(self.rng, &self.made).filter(|_| again).unwrap_or_else(|| self.fresh("made"));
                self.made.push(image.clone());
                (image, Operation::Create { size: BLOCKS_PER_OBJECT * BLOCK })
            }
            Kind::Rename => {
                let image = if self.rng.bool() { self.own.clone() } else { one_of(self.rng, &self.made)? };
                (image, Operation::Rename { to: spec(&self.fresh("named")) })
            }
            Kind::SnapRead => {
                let ((image, snap), (offset, length)) = (self.source()?, self.range());
                (image, Operation::Read { offset, length, snap: Some(snap) })
            }
            Kind::Clone => {
                let again = one_of(self.rng, &self.sides).filter(|_| self.rng.u8(0..4) == 0);
                let side = match again {
                    Some(side) => side,
                    None => {
                        let (parent, snap) = self.source()?;
                        (self.fresh("side"), Operation::Clone { parent: spec(&parent), snap })
                    }
                };
                self.sides.push(side.clone());
                side
            }
            Kind::SideWrite => {
                let (image, _) = one_of(self.rng, &self.sides)?;
                let (offset, length) = self.range();
                self.tag += 1;
                (image, Operation::Write { offset, length, tag: self.tag })
            }
            Kind::SideFlatten => (one_of(self.rng, &self.sides)?.0, Operation::Flatten),
            Kind::SideSnap => {
                let ((image, _), snap) = (one_of(self.rng, &self.sides)?, self.fresh("t"));
                self.side_snaps.push((image.clone(), snap.clone()));
                (image, Operation::SnapCreate { snap })
            }
            Kind::SideResize => {
                let size = self.rng.u64(1..=self.blocks + 4) * BLOCK;
                (one_of(self.rng, &self.sides)?.0, Operation::Resize { size })
            }
            Kind::SideProtect => {
                let (image, snap) = one_of(self.rng, &self.side_snaps)?;
                match self.rng.bool() {
                    true => (image, Operation::SnapProtect { snap }),
                    false => (image, Operation::SnapUnprotect { snap }),
                }
            }
            Kind::SourceRemove => {
                let (image, snap) = self.source()?;
                (image, Operation::SnapRemove { snap })
            }
            _ => {
                let sides = self.sides.iter().map(|(image, _)| image);
                let images: Vec<String> = self.made.iter().chain(sides).cloned().collect();
                (one_of(self.rng, &images)?, Operation::Remove)
            }
        };
        let patience_ms = (self.rng.u8(0..5) == 0).then(|| self.rng.u64(1..400));
        Some(Step::Errand { image, operation, patience_ms })
    }

    /// A snapshot that can be cloned, and its image.
    fn source(&mut self) -> Option<(String, String)> {
        let own = self.snaps.iter().map(|snap| (self.own.clone(), snap.clone()));
        let sources: Vec<_> = own.chain(self.below.iter().chain(&self.side_snaps).cloned()).collect();
        one_of(self.rng, &sources)
    }

    fn snap(&mut self) -> Option<String> {
        one_of(self.rng, &self.snaps)
    }

    fn fresh(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    /// Offset and length in bytes.
    fn range(&mut self) -> (u64, u64) {
        let first = self.rng.u64(0..self.blocks);
        let most = (self.blocks - first).min(2 * BLOCKS_PER_OBJECT);
        let blocks = match self.rng.u8(0..3) {
            0 => 1,
            1 => most.min(BLOCKS_PER_OBJECT),
            _ => self.rng.u64(1..=most),
        };
        (first * BLOCK, blocks * BLOCK)
    }

    pub(super) fn faults(&mut self, clients: usize) -> Vec<Fault> {
        let kinds: Vec<u8> = (0..10).filter(|_| self.rng.u8(0..3) == 0).collect();
        if kinds.is_empty() {
            return Vec::new();
        }
        let count = self.rng.usize(1..=self.extent.faults);
        let mut faults: Vec<Fault> = (0..count).map(|_| self.fault(clients, &kinds)).collect();
        // What is read while its snapshot is removed may wait until that has gone.
        for client in std::mem::take(&mut self.readers) {
            let when = When::BeforeOp(AT_SNAPSHOT.to_owned(), self.rng.u64(1..4));
            faults.push(Fault { client, when, what: What::Delay(self.rng.u64(1..=2_000)) });
        }
        faults
    }

    fn fault(&mut self, clients: usize, kinds: &[u8]) -> Fault {
        let client = self.rng.usize(0..clients);
        let vector = self.rng.u64(1..60);
        let (op, times) = (OPS[self.rng.usize(0..OPS.len())].to_owned(), self.rng.u64(1..4));
        let (before, after) = match self.rng.bool() {
            true => (When::Before(vector), When::After(vector)),
            false => (When::BeforeOp(op.clone(), times), When::AfterOp(op, times)),
        };
        let when = match self.rng.u8(0..3) {
            0 => When::At(self.rng.u64(0..2_000)),
            1 => before.clone(),
            _ => after,
        };
        let span = [50, 500, 2_000, 5_000][self.rng.usize(0..4)];
        let span = self.rng.u64(1..=span);
        let (when, what) = match kinds[self.rng.usize(0..kinds.len())] {
            0 => (when, What::Kill(span)),
            1 => (when, What::Freeze(span)),
            2 => (when, What::Hold(span)),
            3 => (when, What::Reset),
            4 => (when, What::Drop),
            5 => (when, What::Fence),
            6 if self.rng.bool() => {
                let op = SLOW_OPS[self.rng.usize(0..SLOW_OPS.len())].to_owned();
                (When::BeforeOp(op, self.rng.u64(1..4)), What::Delay(span))
            }
            6 => (before, What::Delay(span)),
            7 => (when, What::Miss),
            8 => (when, What::Crash(span)),
            _ => (before, What::Refuse(Errno::EIO)),
        };
        Fault { client, when, what }
    }
}

fn one_of<T: Clone>(rng: &mut Rng, all: &[T]) -> Option<T> {
    (!all.is_empty()).then(|| all[rng.usize(0..all.len())].clone())
}

/// Who waits no longer must know that the call may still happen.
fn operation_may_be_left(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Flatten
            | Operation::Resize { .. }
            | Operation::SnapCreate { .. }
            | Operation::SnapRemove { .. }
    )
}
