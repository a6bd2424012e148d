//! Class "rbd": the rules of an image's metadata objects, as cls_rbd has them.

mod child_index;
mod children;
mod copyup;
mod directory;
mod header;
mod image_id;
mod parent;
mod record;
mod snapshots;

use super::{Class, Method};

pub(super) const CLASS: Class = Class {
    name: "rbd",
    methods: &[
        Method::writes("create", header::create),
        Method::reads("get_header", header::get_header),
        Method::reads("get_size", header::get_size),
        Method::writes("set_size", header::set_size),
        Method::reads("get_features", header::get_features),
        Method::reads("get_snapcontext", snapshots::get_snapcontext),
        Method::writes("snapshot_add", snapshots::add),
        Method::writes("snapshot_remove", snapshots::remove),
        Method::reads("snapshot_get", snapshots::get),
        Method::writes("snapshot_rename", snapshots::rename),
        Method::writes("set_protection_status", snapshots::set_protection_status),
        Method::reads("parent_get", parent::get),
        Method::reads("parent_overlap_get", parent::overlap_get),
        Method::writes("parent_attach", parent::attach),
        Method::writes("parent_detach", parent::detach),
        Method::writes("child_attach", children::attach),
        Method::writes("child_detach", children::detach),
        Method::reads("children_list", children::list),
        Method::writes("set_id", image_id::set),
        Method::reads("get_id", image_id::get),
        Method::writes("dir_add_image", directory::add),
        Method::writes("dir_remove_image", directory::remove),
        Method::writes("dir_rename_image", directory::rename),
        Method::reads("dir_get_id", directory::get_id),
        Method::reads("dir_get_name", directory::get_name),
        Method::reads("dir_list", directory::list),
        Method::writes("add_child", child_index::add),
        Method::writes("remove_child", child_index::remove),
        Method::reads("get_children", child_index::get),
        Method::writes("copyup", copyup::copyup),
        Method::writes("sparse_copyup", copyup::sparse_copyup),
    ],
};
