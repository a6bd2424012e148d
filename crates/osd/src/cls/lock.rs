//! Class "lock": advisory locks, each kept in one attribute of the object. The rules and their order are cls_lock's.

mod doors;
mod methods;
mod state;

use super::Class;

pub(super) const CLASS: Class = Class { name: "lock", topics: &[doors::METHODS] };
