//! Where an object is: placement groups, locators, positions in a listing, and who asks under which snapshots.

use crate::error::{Problem, WireError};
use crate::{EntityName, Reader, Wire, Writer};

/// A placement group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pg {
    /// Its pool.
    pub pool: u64,
    /// Which one of the pool's.
    pub seed: u32,
}

impl Wire for Pg {
    fn put(&self, out: &mut Writer) {
        1u8.put(out);
        self.pool.put(out);
        self.seed.put(out);
        // What was the preferred OSD.
        (-1i32).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let form = u8::take(from)?;
        if form != 1 {
            return Err(WireError { field: "Pg", problem: Problem::Unknown(form.into()) });
        }
        let pg = Self { pool: Wire::take(from)?, seed: Wire::take(from)? };
        i32::take(from)?;
        Ok(pg)
    }
}

records! {
    /// A placement group's shard.
    #[derive(Copy, Eq)]
    Spg version 1, 1 {
        /// The group.
        pg: Pg,
        /// -1 in replicated pools.
        shard: i8,
    }

    /// Who sent an op, and which.
    #[derive(Copy, Eq)]
    ReqId version 2, 2 {
        /// Who; zeros from clients, whom their connection names.
        name: EntityName,
        /// Its number; 0 from clients: the message says it.
        tid: u64,
        /// Which incarnation of the client.
        incarnation: i32,
    }

    /// The snapshots that exist when a write is made.
    #[derive(Default, Eq)]
    SnapContext {
        /// The newest id ever; 0 = none.
        seq: u64,
        /// Existing ones, descending.
        snaps: Vec<u64>,
    }
}

/// Where an object is beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLocator {
    /// Its pool.
    pub pool: i64,
    /// What is hashed instead of its name; usually empty.
    pub key: bytes::Bytes,
    /// Its namespace.
    pub namespace: bytes::Bytes,
    /// What is used instead of a hash; -1 = none.
    pub hash: i64,
}

impl Wire for ObjectLocator {
    fn put(&self, out: &mut Writer) {
        out.versioned(6, 3, |out| {
            self.pool.put(out);
            (-1i32).put(out);
            self.key.put(out);
            self.namespace.put(out);
            self.hash.put(out);
        });
    }

    /// Kernel clients write version 5, which has no hash.
    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(6, |from, version| {
            let pool = Wire::take(from)?;
            i32::take(from)?;
            let (key, namespace) = (Wire::take(from)?, Wire::take(from)?);
            let hash = if version >= 6 { Wire::take(from)? } else { -1 };
            Ok(Self { pool, key, namespace, hash })
        });
        taken.map_err(|error| error.at("ObjectLocator"))
    }
}

records! {
    /// A place in the order of all objects.
    #[derive(Eq)]
    Hobject version 4, 3 {
        /// What is hashed instead of the name; empty = the name.
        key: bytes::Bytes,
        /// The object's name.
        oid: bytes::Bytes,
        /// Which of its states.
        snap: u64,
        /// Of the key.
        hash: u32,
        /// Behind every object.
        is_max: bool,
        /// The object's namespace.
        namespace: bytes::Bytes,
        /// Its pool.
        pool: i64,
    }
}

impl Hobject {
    /// Before every object.
    pub fn min() -> Self {
        let none = bytes::Bytes::new;
        Self { key: none(), oid: none(), snap: 0, hash: 0, is_max: false, namespace: none(), pool: i64::MIN }
    }

    /// Behind every object.
    pub fn max() -> Self {
        Self { is_max: true, ..Self::min() }
    }
}
