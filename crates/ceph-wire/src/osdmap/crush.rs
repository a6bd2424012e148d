use std::collections::BTreeMap;

use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// At the front of every map.
const MAGIC: u32 = 0x0001_0000;
/// The algorithm of a bucket whose items draw straws by weight.
const STRAW2: u8 = 5;
/// What stands for 1 in weights.
const WEIGHT_ONE: u32 = 0x0001_0000;

/// How objects are placed on devices.
#[derive(Clone, Debug, PartialEq)]
pub struct CrushMap {
    /// Devices have numbers below.
    pub max_devices: i32,
    /// By slot: bucket -1 - slot; `None` = free.
    pub buckets: Vec<Option<Bucket>>,
    /// By number; `None` = free.
    pub rules: Vec<Option<Rule>>,
    /// Names of kinds of buckets.
    pub type_names: BTreeMap<i32, String>,
    /// Names of buckets and devices.
    pub item_names: BTreeMap<i32, String>,
    /// Names of rules.
    pub rule_names: BTreeMap<i32, String>,
    /// How hard it is tried.
    pub tunables: Tunables,
    /// Classes of devices, by device.
    pub class_map: BTreeMap<i32, i32>,
    /// Names of classes.
    pub class_names: BTreeMap<i32, String>,
    /// Buckets of one class, by bucket and class.
    pub class_buckets: BTreeMap<i32, BTreeMap<i32, i32>>,
}

records! {
    /// A step of a rule.
    #[derive(Copy, Eq)]
    Step {
        /// 1 = take, 2 = choose the first, 4 = emit.
        op: u32,
        /// Of the op.
        first: i32,
        /// Of the op.
        second: i32,
    }

    /// A weight in 1/65536.
    #[derive(Copy, Eq)]
    StrawItem {
        /// How much it draws.
        weight: u32,
    }

    /// How hard it is tried.
    #[derive(Copy, Eq)]
    Tunables {
        /// Of no concern here.
        choose_local_tries: u32,
        /// Of no concern here.
        choose_local_fallback_tries: u32,
        /// Of no concern here.
        choose_total_tries: u32,
        /// Of no concern here.
        chooseleaf_descend_once: u32,
        /// Of no concern here.
        chooseleaf_vary_r: u8,
        /// Of no concern here.
        straw_calc_version: u8,
        /// One bit for each algorithm.
        allowed_bucket_algs: u32,
        /// Of no concern here.
        chooseleaf_stable: u8,
    }
}

/// What holds devices and buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its number, below 0.
    pub id: i32,
    /// Its kind.
    pub kind: u16,
    /// How its items are hashed.
    pub hash: u8,
    /// Of all items.
    pub weight: u32,
    /// What it holds.
    pub items: Vec<i32>,
    /// What each of them draws.
    pub straws: Vec<StrawItem>,
}

/// How a placement group is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub ruleset: u8,
    /// Of pools.
    pub kind: u8,
    /// Copies at least.
    pub min_size: u8,
    /// Copies at most.
    pub max_size: u8,
    /// What is done.
    pub steps: Vec<Step>,
}

impl CrushMap {
    /// One device, osd.0, below one root.
    pub fn single_device() -> Self {
        let straws = vec![StrawItem { weight: WEIGHT_ONE }];
        let root = Bucket { id: -1, kind: 11, hash: 0, weight: WEIGHT_ONE, items: vec![0], straws };
        let step = |op, first| Step { op, first, second: 0 };
        let steps = vec![step(1, -1), step(2, 0), step(4, 0)];
        let name = |(number, name): (i32, &str)| (number, name.to_owned());
        Self {
            max_devices: 1,
            buckets: vec![Some(root)],
            rules: vec![Some(Rule { ruleset: 0, kind: 1, min_size: 1, max_size: 10, steps })],
            type_names: [(0, "osd"), (1, "host"), (11, "root")].map(name).into(),
            item_names: [(-1, "default"), (0, "osd.0")].map(name).into(),
            rule_names: [(0, "replicated_rule")].map(name).into(),
            tunables: Tunables {
                choose_local_tries: 0,
                choose_local_fallback_tries: 0,
                choose_total_tries: 50,
                chooseleaf_descend_once: 1,
                chooseleaf_vary_r: 1,
                straw_calc_version: 1,
                allowed_bucket_algs: 54,
                chooseleaf_stable: 1,
            },
            class_map: BTreeMap::new(),
            class_names: BTreeMap::new(),
            class_buckets: BTreeMap::new(),
        }
    }
}

impl Wire for CrushMap {
    fn put(&self, out: &mut Writer) {
        MAGIC.put(out);
        (self.buckets.len() as i32).put(out);
        (self.rules.len() as u32).put(out);
        self.max_devices.put(out);
        for bucket in &self.buckets {
            match bucket {
                None => 0u32.put(out),
                Some(bucket) => bucket.put(out),
            }
        }
        for rule in &self.rules {
            u32::from(rule.is_some()).put(out);
            if let Some(rule) = rule {
                rule.put(out);
            }
        }
        self.type_names.put(out);
        self.item_names.put(out);
        self.rule_names.put(out);
        self.tunables.put(out);
        self.class_map.put(out);
        self.class_names.put(out);
        self.class_buckets.put(out);
        // Weights of a part of the cluster for some pools: none.
        0u32.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let magic = u32::take(from)?;
        if magic != MAGIC {
            return Err(WireError { field: "CrushMap", problem: Problem::Unknown(magic.into()) });
        }
        let (buckets, rules) = (i32::take(from)?, u32::take(from)?);
        let max_devices = Wire::take(from)?;
        let map = Self {
            max_devices,
            buckets: (0..buckets).map(|_| Bucket::take(from)).collect::<Result<_, _>>()?,
            rules: (0..rules).map(|_| Rule::take(from)).collect::<Result<_, _>>()?,
            type_names: Wire::take(from)?,
            item_names: Wire::take(from)?,
            rule_names: Wire::take(from)?,
            tunables: Wire::take(from)?,
            class_map: Wire::take(from)?,
            class_names: Wire::take(from)?,
            class_buckets: Wire::take(from)?,
        };
        u32::take(from)?;
        Ok(map)
    }
}

impl Bucket {
    fn put(&self, out: &mut Writer) {
        u32::from(STRAW2).put(out);
        self.id.put(out);
        self.kind.put(out);
        STRAW2.put(out);
        self.hash.put(out);
        self.weight.put(out);
        self.items.put(out);
        self.straws.iter().for_each(|straw| straw.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let algorithm = u32::take(from)?;
        if algorithm == 0 {
            return Ok(None);
        }
        if algorithm != u32::from(STRAW2) {
            return Err(WireError { field: "Bucket", problem: Problem::Unknown(algorithm.into()) });
        }
        let (id, kind) = (Wire::take(from)?, Wire::take(from)?);
        u8::take(from)?;
        let (hash, weight) = (Wire::take(from)?, Wire::take(from)?);
        let items: Vec<i32> = Wire::take(from)?;
        let straws = items.iter().map(|_| StrawItem::take(from)).collect::<Result<_, _>>()?;
        Ok(Some(Self { id, kind, hash, weight, items, straws }))
    }
}

impl Rule {
    fn put(&self, out: &mut Writer) {
        (self.steps.len() as u32).put(out);
        for number in [self.ruleset, self.kind, self.min_size, self.max_size] {
            number.put(out);
        }
        self.steps.iter().for_each(|step| step.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        if u32::take(from)? == 0 {
            return Ok(None);
        }
        let steps = u32::take(from)?;
        let [ruleset, kind, min_size, max_size] = from.array()?;
        let steps = (0..steps).map(|_| Step::take(from)).collect::<Result<_, _>>()?;
        Ok(Some(Self { ruleset, kind, min_size, max_size, steps }))
    }
}
