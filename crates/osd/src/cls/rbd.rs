//! Class "rbd": the rules of an image's metadata objects, as cls_rbd has them.

mod child_index;
mod children;
mod copyup;
mod directory;
mod directory_state;
mod entries;
mod group;
mod header;
mod image_id;
mod metadata;
mod migration;
mod mirror;
mod namespace;
mod object_map;
mod old_header;
mod parent;
mod record;
mod settings;
mod snapc_seq;
mod snapshots;
mod sparsify;
mod trash;

use super::{Class, Method};

pub(super) const CLASS: Class = Class {
    name: "rbd",
    topics: &[
        copyup::METHODS,
        header::METHODS,
        image_id::METHODS,
        metadata::METHODS,
        object_map::METHODS,
        trash::METHODS,
        namespace::METHODS,
        directory_state::METHODS,
        settings::METHODS,
        migration::METHODS,
        group::directory::METHODS,
        group::image::METHODS,
        group::members::METHODS,
        group::snapshots::METHODS,
        mirror::mode::METHODS,
        mirror::peers::METHODS,
        mirror::images::METHODS,
        mirror::status::METHODS,
        mirror::instances::METHODS,
        mirror::image_maps::METHODS,
        sparsify::METHODS,
        snapc_seq::METHODS,
        old_header::METHODS,
        &[
            Method::protobuf_writes("create", header::create),
            Method::protobuf_reads("get_header", header::get_header),
            Method::protobuf_reads("get_size", header::get_size),
            Method::protobuf_writes("set_size", header::set_size),
            Method::protobuf_reads("get_features", header::get_features),
            Method::protobuf_reads("get_snapcontext", snapshots::get_snapcontext),
            Method::protobuf_writes("snapshot_add", snapshots::add),
            Method::protobuf_writes("snapshot_remove", snapshots::remove),
            Method::protobuf_reads("snapshot_get", snapshots::get),
            Method::protobuf_writes("snapshot_rename", snapshots::rename),
            Method::protobuf_writes("set_protection_status", snapshots::set_protection_status),
            Method::protobuf_reads("parent_get", parent::get),
            Method::protobuf_reads("parent_overlap_get", parent::overlap_get),
            Method::protobuf_writes("parent_attach", parent::attach),
            Method::protobuf_writes("parent_detach", parent::detach),
            Method::protobuf_writes("child_attach", children::attach),
            Method::protobuf_writes("child_detach", children::detach),
            Method::protobuf_reads("children_list", children::list),
            Method::protobuf_writes("dir_add_image", directory::add),
            Method::protobuf_writes("dir_remove_image", directory::remove),
            Method::protobuf_writes("dir_rename_image", directory::rename),
            Method::protobuf_reads("dir_get_id", directory::get_id),
            Method::protobuf_reads("dir_get_name", directory::get_name),
            Method::protobuf_reads("dir_list", directory::list),
            Method::protobuf_writes("add_child", child_index::add),
            Method::protobuf_writes("remove_child", child_index::remove),
            Method::protobuf_reads("get_children", child_index::get),
        ],
    ],
};
