//! Class "lock": advisory locks, each kept in one attribute of the object. The rules and their order are cls_lock's.

mod methods;
mod state;

use super::{Class, Method};

pub(super) const CLASS: Class = Class {
    name: "lock",
    methods: &[
        Method::writes("lock", methods::lock),
        Method::writes("unlock", methods::unlock),
        Method::writes("break_lock", methods::break_lock),
        Method::writes("set_cookie", methods::set_cookie),
        Method::reads("get_info", methods::get_info),
        Method::reads("list_locks", methods::list_locks),
        Method::reads("assert_locked", methods::assert_locked),
    ],
};
