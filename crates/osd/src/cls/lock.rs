//! Class "lock": advisory locks, each kept in one attribute of the object. The rules and their order are cls_lock's.

mod methods;
mod state;

use super::{Class, Method};

pub(super) const CLASS: Class = Class {
    name: "lock",
    topics: &[&[
        Method::protobuf_writes("lock", methods::lock),
        Method::protobuf_writes("unlock", methods::unlock),
        Method::protobuf_writes("break_lock", methods::break_lock),
        Method::protobuf_writes("set_cookie", methods::set_cookie),
        Method::protobuf_reads("get_info", methods::get_info),
        Method::protobuf_reads("list_locks", methods::list_locks),
        Method::protobuf_reads("assert_locked", methods::assert_locked),
    ]],
};
