//! One pool: its records and what is looked up besides them.

use std::collections::{BTreeMap, BTreeSet};

use super::Preserving;
use super::record::Record;
use crate::{HashPlace, Name, ObjectChange, ObjectId, Totals, object_hash};

#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    /// By namespace and name.
    pub(super) namespaces: BTreeMap<Name, BTreeMap<Name, Box<Record>>>,
    /// Of every record.
    pub(super) by_hash: BTreeSet<HashPlace>,
    /// Of every clone.
    pub(super) preserving: Preserving,
    pub(super) totals: Totals,
    pub(super) user_version: u64,
}

impl Pool {
    pub(super) fn record(&self, namespace: &[u8], name: &[u8]) -> Option<&Record> {
        self.namespaces.get(namespace)?.get(name).map(Box::as_ref)
    }

    pub(super) fn apply(&mut self, id: &ObjectId, changes: Vec<ObjectChange>) {
        let ObjectId { namespace, name, .. } = id;
        if self.record(namespace, name).is_none() {
            self.add(namespace, name);
        }
        let records = self.namespaces.get_mut(namespace).expect("it is there, or was made above");
        let record = records.get_mut(name).expect("it is there, or was made above");
        for change in changes {
            let before = (record.head.is_some(), record.allocated());
            match &change {
                ObjectChange::Clone { snaps, .. } => {
                    self.totals.bytes += record.allocated();
                    for &snap in snaps {
                        self.preserving.entry(snap).or_default().insert((namespace.clone(), name.clone()));
                    }
                }
                ObjectChange::DropSnap { snap } => {
                    forget(&mut self.preserving, *snap, id);
                    self.totals.bytes -= record.bytes_only_for(*snap);
                }
                ObjectChange::Stamp { version, .. } => self.user_version = self.user_version.max(*version),
                _ => {}
            }
            record.apply(change);
            self.totals.objects += u64::from(record.head.is_some());
            self.totals.objects -= u64::from(before.0);
            self.totals.bytes += record.allocated();
            self.totals.bytes -= before.1;
        }
        if record.is_empty() {
            self.remove(namespace, name);
        }
    }

    fn add(&mut self, namespace: &Name, name: &Name) {
        let records = self.namespaces.entry(namespace.clone()).or_default();
        records.insert(name.clone(), Box::default());
        self.by_hash.insert(place(namespace, name));
    }

    fn remove(&mut self, namespace: &Name, name: &Name) {
        if let Some(records) = self.namespaces.get_mut(namespace) {
            records.remove(name);
            if records.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
        self.by_hash.remove(&place(namespace, name));
    }
}

fn place(namespace: &Name, name: &Name) -> HashPlace {
    let hash = object_hash(namespace, name).reverse_bits();
    HashPlace { hash, namespace: namespace.clone(), name: name.clone() }
}

fn forget(preserving: &mut Preserving, snap: u64, id: &ObjectId) {
    if let Some(places) = preserving.get_mut(&snap) {
        places.remove(&(id.namespace.clone(), id.name.clone()));
        if places.is_empty() {
            preserving.remove(&snap);
        }
    }
}
