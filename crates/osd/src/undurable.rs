//! Which changes are not durable yet, by what they have changed: a read waits for those that it has seen.

use std::collections::BTreeMap;

use store::{ObjectId, Seq};

/// Objects that are looked through for those that are durable by now, at least.
const LOOKED_THROUGH_MIN: usize = 64;

/// What has happened on a store that is late. One that is durable at once leaves nothing here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undurable {
    /// The newest change of each object by a vector that has changed nothing else; some of them are durable by now.
    objects: BTreeMap<ObjectId, Seq>,
    /// How many there may be before those that are durable are taken out.
    objects_max: usize,
    /// The newest transaction of any other kind: pools, snapshots, sessions, fences, watches. Everything may depend on it.
    others: Seq,
}

impl Undurable {
    /// Something else than one object has changed.
    pub(crate) fn changed(&mut self, seq: Seq) {
        self.others = seq;
    }

    /// One object has changed, and nothing else.
    pub(crate) fn object_changed(&mut self, id: &ObjectId, seq: Seq, durable: Seq) {
        if seq <= durable {
            return;
        }
        if self.objects.len() >= self.objects_max {
            self.objects.retain(|_, seq| *seq > durable);
            self.objects_max = LOOKED_THROUGH_MIN.max(2 * self.objects.len());
        }
        self.objects.insert(id.clone(), seq);
    }

    /// What a read of an object may have seen. Which one it is is not asked where all objects are durable.
    pub(crate) fn seen_of(&self, id: impl FnOnce() -> ObjectId) -> Seq {
        let of_object = if self.objects.is_empty() { None } else { self.objects.get(&id()) };
        of_object.map_or(self.others, |&seq| seq.max(self.others))
    }
}

#[cfg(test)]
mod tests {
    use store::{Name, PoolId};

    use super::*;

    #[test]
    fn it_keeps_about_as_many_objects_as_are_not_durable() {
        let mut undurable = Undurable::default();
        for seq in 1..=10_000 {
            let name = format!("object {seq}");
            let id = ObjectId { pool: PoolId(1), namespace: Name::default(), name: name.as_str().into() };
            undurable.object_changed(&id, Seq(seq), Seq(seq.saturating_sub(100)));
            assert_eq!(undurable.seen_of(|| id), Seq(seq));
        }
        assert!(undurable.objects.len() <= 200, "{}", undurable.objects.len());
    }
}
