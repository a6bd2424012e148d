//! Class "rbd": the rules of an image's metadata objects, as cls_rbd has them.

mod child_index;
mod children;
mod copyup;
mod directory;
mod directory_state;
mod entries;
mod features;
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
mod pools;
mod record;
mod settings;
mod snapc_seq;
mod snapshots;
mod sparsify;
mod trash;

use super::Class;

pub(super) const CLASS: Class = Class {
    name: "rbd",
    topics: &[
        header::METHODS,
        features::METHODS,
        snapshots::METHODS,
        parent::METHODS,
        children::METHODS,
        image_id::METHODS,
        directory::METHODS,
        child_index::METHODS,
        copyup::METHODS,
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
        mirror::snapshots::METHODS,
        sparsify::METHODS,
        snapc_seq::METHODS,
        old_header::METHODS,
    ],
};
