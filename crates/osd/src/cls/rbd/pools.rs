//! Pools in references between images: stored by number, said by name in the messages of `proto/cls`.

use errno::Errno;

use crate::error::{Outcome, refuse};
use crate::vector::Caller;

/// ENOENT for a pool that is not there.
pub(super) fn number(caller: &Caller<'_>, name: &str) -> Outcome<i64> {
    match caller.pools.get(name) {
        Some(pool) => Ok(pool.id.0 as i64),
        None => refuse(Errno::ENOENT, format!("there is no pool {name:?}")),
    }
}

/// ENOENT for a pool that has gone, EOPNOTSUPP for a namespace other than the default one: a gRPC client could not go there.
pub(super) fn name<'a>(caller: &Caller<'a>, number: i64, namespace: &str) -> Outcome<&'a str> {
    if !namespace.is_empty() {
        let rule =
            format!("it refers to an image in namespace {namespace:?}, which gRPC clients cannot reach");
        return refuse(Errno::EOPNOTSUPP, rule);
    }
    match caller.pools.values().find(|pool| pool.id.0 as i64 == number) {
        Some(pool) => Ok(&pool.name),
        None => refuse(Errno::ENOENT, format!("it refers to an image in pool {number}, which has gone")),
    }
}
