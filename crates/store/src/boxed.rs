//! Any store, as one type; and a store that is shared until it is changed.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    At, Entry, Extents, HashPlace, Name, ObjectClone, ObjectId, PoolId, Seq, Stat, Store, Stored, Totals,
    Transaction, Wake,
};

/// Passes every call on that only reads.
macro_rules! pass_on {
    () => {
        pass_on! {
                stat(id: &ObjectId, at: At) -> Stored<Option<Stat>>;
                read(id: &ObjectId, at: At, offset: u64, length: u64) -> Stored<Extents>;
                xattr(id: &ObjectId, at: At, name: &[u8]) -> Stored<Option<Bytes>>;
                xattrs(id: &ObjectId, at: At) -> Stored<Vec<Entry>>;
                omap_value(id: &ObjectId, at: At, key: &[u8]) -> Stored<Option<Bytes>>;
                omap_range(id: &ObjectId, at: At, prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Entry>>;
                omap_header(id: &ObjectId, at: At) -> Stored<Bytes>;
                snap_seq(id: &ObjectId) -> Stored<u64>;
                clone_of(id: &ObjectId, snap: u64) -> Stored<Option<u64>>;
                clones(id: &ObjectId) -> Stored<Vec<ObjectClone>>;
                list(pool: PoolId, namespace: &[u8], prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Name>>;
                list_by_hash(pool: PoolId, from: &HashPlace, max: usize) -> Stored<Vec<HashPlace>>;
                preserving(pool: PoolId, snap: u64, max: usize) -> Stored<Vec<ObjectId>>;
                records(prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Entry>>;
                totals(pool: PoolId) -> Totals;
                user_version(pool: PoolId) -> u64;
                newest() -> Seq;
                durable() -> Seq;
        }
    };
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        $(fn $name(&self, $($argument: $type),*) -> $answer {
            self.as_ref().$name($($argument),*)
        })+
    };
}

impl<S: Store + ?Sized> Store for Box<S> {
    pass_on!();

    fn submit(&mut self, transaction: Transaction) -> Stored<Seq> {
        self.as_mut().submit(transaction)
    }

    fn wake_when_durable(&mut self, wake: Wake) {
        self.as_mut().wake_when_durable(wake);
    }
}

/// Cloning shares everything; whoever changes something copies the store first, unless nobody shares it.
impl<S: Store + Clone> Store for Arc<S> {
    pass_on!();

    fn submit(&mut self, transaction: Transaction) -> Stored<Seq> {
        Self::make_mut(self).submit(transaction)
    }

    fn wake_when_durable(&mut self, wake: Wake) {
        Self::make_mut(self).wake_when_durable(wake);
    }
}
