//! What a seed draws: the world, what its clients do, and what befalls them. A plan is a value: it can be kept, made smaller and
//! played again.

use check::Operation;
use errno::Errno;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

mod draw;

use draw::Drawer;

/// Bytes of a block, the unit in which images are judged.
pub const BLOCK: u64 = 1024;
/// log2 of the size of objects.
pub const ORDER: u8 = 12;
const BLOCKS_PER_OBJECT: u64 = (1 << ORDER) / BLOCK;

/// The most of everything that a universe has.
#[derive(Clone, Copy)]
struct Extent {
    objects: u64,
    /// One of them.
    depths: &'static [usize],
    latency_ms: u64,
    has_striping: bool,
    clients: usize,
    steps: usize,
    faults: usize,
    /// In one of so many everything is removed at the end.
    is_cleared: u8,
}

impl Extent {
    /// Small ones find most per second.
    const SMALL: Self = Self {
        objects: 2,
        depths: &[1, 1, 2],
        latency_ms: 1,
        has_striping: false,
        clients: 2,
        steps: 3,
        faults: 2,
        is_cleared: 8,
    };
    const LARGE: Self = Self {
        objects: 4,
        depths: &[1, 2, 2, 2, 3],
        latency_ms: 20,
        has_striping: true,
        clients: 4,
        steps: 8,
        faults: 6,
        is_cleared: 1,
    };
}

/// One universe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides, with the plan, everything that happens.
    pub schedule: u64,
    /// Longest time that a message takes, in ms.
    pub latency_ms_max: u64,
    /// Longest time until what the OSD has done is durable, in ms: before that nothing of it leaves, and a crash loses it. 0 = at once.
    #[serde(default, skip_serializing_if = "is_none")]
    pub durable_ms_max: u64,
    /// Objects of the images.
    pub objects: u64,
    /// Objects of the lowest image that hold data, by number.
    pub filled: Vec<u64>,
    /// Images of the chain: the first is made empty and filled, each other one is a clone of the one before. Clients open the last.
    pub depth: usize,
    /// Whether the clones have the feature deep-flatten.
    pub deep_flatten: bool,
    /// Whether reads by the lock's owner copy up.
    pub copy_on_read: bool,
    /// Striping of the images: (blocks of a stripe unit, objects in a set); absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub striping: Option<(u64, u64)>,
    /// Whether at the end everything is removed, and nothing remains.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub is_cleared: bool,
    /// What each client does, one after the other.
    pub clients: Vec<Vec<Step>>,
    /// What befalls them.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_none(ms: &u64) -> bool {
    *ms == 0
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_yes(is: &bool) -> bool {
    *is
}

/// What a client does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Calls, and waits for the answer.
    Call(Operation),
    /// Calls, and goes on.
    Begin(Operation),
    /// Waits for the answer so long, in ms, and then goes away.
    Patience(Operation, u64),
    /// Calls through another open of the image in the same session, and waits for the answer.
    Beside(Operation),
    /// Waits, in ms.
    Pause(u64),
    /// Does it with an image that it makes, removes, or opens for this call: another one than the client's own, or a snapshot.
    Errand {
        /// Name of the image.
        image: String,
        /// What.
        operation: Operation,
        /// Waits for the answer so long, in ms, and then goes away; absent = until it comes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience_ms: Option<u64>,
    },
}

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Number of the client, from 0. A crash of the OSD has one only for its moment.
    pub client: usize,
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When something breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// So many ms after the clients began.
    At(u64),
    /// When the OSD gets the client's op vector of this number, from 1, before it is carried out.
    Before(u64),
    /// The same, when it has been carried out and its reply not been sent.
    After(u64),
    /// As `Before`; counted are the client's vectors with an op of this name, or those that read a snapshot (`at_snapshot`).
    BeforeOp(String, u64),
    /// As `After`, counted likewise.
    AfterOp(String, u64),
}

/// What a vector that reads a snapshot is counted as, beside its ops.
pub(crate) const AT_SNAPSHOT: &str = "at_snapshot";

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// The client dies; another takes its place so many ms later.
    Kill(u64),
    /// It stands still for so many ms.
    Freeze(u64),
    /// Nothing reaches it or leaves it for so many ms.
    Hold(u64),
    /// Its connections break, and it notices.
    Reset,
    /// Its connections break, and it does not notice.
    Drop,
    /// An operator fences it.
    Fence,
    /// The vector waits at the OSD for so many ms, and those of the same stream on the same object behind it. Not after a vector.
    Delay(u64),
    /// The OSD dies, with what is not durable and all connections; another one opens its store so many ms later.
    Crash(u64),
    /// The next notify to the client is lost.
    Miss,
    /// The vector is answered with an error. Not after a vector.
    Refuse(#[serde(with = "by_name")] Errno),
}

/// `osd_client_watch_timeout` and `rbd_request_timed_out_seconds`, in ms.
const TIMEOUT_MS: u64 = 3_000;
/// `osd_client_watch_grace`, in ms.
const GRACE_MS: u64 = 300;

impl What {
    /// How long a call may take because of it, from its begin and again from its end, in ms.
    pub(crate) const fn costs_ms(self, calm_ms_max: u64) -> u64 {
        let timeouts = match self {
            // Nobody knows at once: a watch expires, then a request times out.
            Self::Freeze(_) | Self::Hold(_) | Self::Drop => 2 * TIMEOUT_MS,
            // The watches of those who die meanwhile have their whole time anew, and notifies are forgotten.
            Self::Crash(_) => 2 * TIMEOUT_MS,
            // It is known when a watch's grace is over.
            Self::Kill(_) | Self::Reset | Self::Fence => GRACE_MS + TIMEOUT_MS,
            Self::Delay(span) => span,
            // A request for the lock, or the end of an operation.
            Self::Miss => TIMEOUT_MS,
            // Whoever asked hears of it at once.
            Self::Refuse(_) => 0,
        };
        timeouts + calm_ms_max
    }
}

mod by_name {
    use errno::Errno;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(super) fn serialize<S: Serializer>(errno: &Errno, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(errno.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Errno, D::Error> {
        let name = String::deserialize(deserializer)?;
        Errno::from_name(&name).ok_or_else(|| D::Error::custom(format!("{name:?} is no errno's name")))
    }
}

impl Plan {
    /// Names of the clients, by number.
    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.clients.len()).map(|number| format!("client{number}")).collect()
    }

    /// The universe of a seed. Each seed draws which kinds of calls and of faults there are in it at all, and, before all else, whether it
    /// is small, as two of three are.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let extent = if rng.u8(0..3) > 0 { Extent::SMALL } else { Extent::LARGE };
        Self::draw_within(extent, &mut rng)
    }

    /// The small universe of a seed.
    pub fn draw_small(seed: u64) -> Self {
        Self::draw_within(Extent::SMALL, &mut Rng::with_seed(seed))
    }

    fn draw_within(extent: Extent, rng: &mut Rng) -> Self {
        let objects = rng.u64(1..=extent.objects);
        let depth = extent.depths[rng.usize(0..extent.depths.len())];
        let latency_ms_max = [0, 1, 3, 20][rng.usize(0..4)].min(extent.latency_ms);
        let is_striped = rng.u8(0..4) == 0 && extent.has_striping;
        let striping = is_striped.then(|| (rng.u64(1..=2), rng.u64(2..=3)));
        let durable_ms_max = if rng.u8(0..4) == 0 { latency_ms_max.max(1) } else { 0 };
        let mut drawer = Drawer::new(rng, extent, objects * BLOCKS_PER_OBJECT, depth);
        let clients = drawer.clients();
        let faults = drawer.faults(clients.len());
        Self {
            schedule: rng.u64(..),
            latency_ms_max,
            durable_ms_max,
            objects,
            filled: (0..objects).filter(|_| rng.u8(0..3) > 0).collect(),
            depth,
            deep_flatten: rng.bool(),
            copy_on_read: rng.u8(0..4) == 0,
            striping,
            is_cleared: rng.u8(0..extent.is_cleared) == 0,
            clients,
            faults,
        }
    }

    /// How long a call may take when nothing broke, in ms. Where latencies are small it is below every timeout: one who was to be woken
    /// and had to wait for a timeout is seen. Twice as many opens take turns with the lock.
    pub(crate) fn calm_ms_max(&self) -> u64 {
        let is_beside = |step: &Step| matches!(step, Step::Beside(_));
        let turns = if self.clients.iter().flatten().any(is_beside) { 2 } else { 1 };
        500 + 100 * turns * (self.latency_ms_max + self.durable_ms_max)
    }

    /// Bytes of the images.
    pub fn size(&self) -> u64 {
        self.objects << ORDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_was_kept_is_the_plan() {
        for seed in 0..50 {
            let plan = Plan::draw(seed);
            let kept = toml::to_string(&plan).expect("it can be written");
            assert_eq!(toml::from_str::<Plan>(&kept).expect("it can be read"), plan, "{kept}");
        }
    }
}
