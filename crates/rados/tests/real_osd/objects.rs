//! Op vectors and calls, over connections that break.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use errno::Errno;
use futures_util::future::try_join_all;
use rados::{ObjectOp, SnapContext};

use crate::{fixture::Fixture, support::soon};

#[tokio::test]
async fn an_object_of_4_mib_comes_back_as_it_went() {
    let fixture = Fixture::with_object().await;
    let data = Bytes::from_iter((0..4_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
    soon(fixture.near.operate("big", ObjectOp::new().write_full(data.clone()))).await.unwrap();
    let reply = soon(fixture.near.operate("big", ObjectOp::new().read(0, 0).stat())).await.unwrap();
    assert!(reply.bytes(0).unwrap() == data, "4 MiB differ");
    assert_eq!(reply.stat(1).unwrap().size, 4 << 20);
}

#[tokio::test]
async fn ops_happen_once_although_the_connection_breaks_again_and_again() {
    let fixture = Fixture::with_object().await;
    let mut creating = Vec::new();
    for round in 0..10 {
        // A second application would answer EEXIST.
        creating
            .extend((0..20).map(|i| {
                fixture.near.operate(&format!("once-{round}-{i:02}"), ObjectOp::new().create(true))
            }));
        fixture.proxy.reset().await.unwrap();
    }
    soon(try_join_all(creating)).await.unwrap();
    assert_eq!(soon(fixture.far.list_objects("once-")).await.unwrap().len(), 200);
}

#[tokio::test]
async fn writes_of_one_object_keep_their_order_over_reconnects() {
    let fixture = Fixture::with_object().await;
    let mut writing = Vec::new();
    for round in 0..10_u64 {
        for i in 0..20 {
            let number = (round * 20 + i).to_string();
            writing.push(fixture.near.operate("x", ObjectOp::new().write_full(number)));
        }
        fixture.proxy.reset().await.unwrap();
    }
    let replies = soon(try_join_all(writing)).await.unwrap();
    assert!(replies.is_sorted_by(|before, after| before.version < after.version));
    let reply = soon(fixture.far.operate("x", ObjectOp::new().read(0, 0))).await.unwrap();
    assert_eq!(reply.bytes(0).unwrap(), "199");
}

#[tokio::test]
async fn a_failing_op_is_named_by_its_index_and_undoes_the_vector() {
    let fixture = Fixture::with_object().await;
    let op = ObjectOp::new().write(0, "undone").create(true);
    let error = soon(fixture.near.operate("x", op)).await.unwrap_err();
    assert_eq!((error.errno(), error.failed_op()), (Errno::EEXIST, Some(1)));
    assert_eq!(error.attempted(), "write, create on rbd/x");
    let reply = soon(fixture.near.operate("x", ObjectOp::new().stat())).await.unwrap();
    assert_eq!(reply.stat(0).unwrap().size, 0);
}

#[tokio::test]
async fn omap_and_attributes_are_read_by_position() {
    let fixture = Fixture::with_object().await;
    let entries = BTreeMap::from_iter(["a", "b", "c"].map(|key| (key.to_owned(), Bytes::from(key))));
    let write = ObjectOp::new().omap_set(entries).set_xattr("name", "value");
    soon(fixture.near.operate("x", write)).await.unwrap();
    let read = ObjectOp::new().omap_list("a", "", 1).omap_get(["c", "d"]).get_xattr("name").list_xattrs();
    let reply = soon(fixture.near.operate("x", read)).await.unwrap();
    let page = reply.omap(0).unwrap();
    assert!(page.more && page.entries.keys().eq(["b"]));
    assert!(reply.omap(1).unwrap().entries.keys().eq(["c"]));
    assert_eq!(reply.xattr(2).unwrap(), "value");
    assert!(reply.xattrs(3).unwrap().keys().eq(["name"]));
}

#[tokio::test]
async fn a_snapshot_keeps_what_was_written_before_it() {
    let fixture = Fixture::with_object().await;
    let io = &fixture.near;
    soon(io.operate("x", ObjectOp::new().write(0, "before"))).await.unwrap();
    let snap = soon(io.allocate_snap_id()).await.unwrap();
    let snaps = SnapContext { seq: snap, snaps: vec![snap] };
    soon(io.operate("x", ObjectOp::new().snap_context(snaps).write(0, "behind"))).await.unwrap();
    let at_snap = soon(io.operate("x", ObjectOp::new().at_snap(snap).read(0, 0))).await.unwrap();
    assert_eq!(at_snap.bytes(0).unwrap(), "before");
    let listed = soon(io.operate("x", ObjectOp::new().list_snaps())).await.unwrap();
    assert_eq!(listed.snaps(0).unwrap().clones[0].snaps, [snap]);
    soon(io.remove_snap_id(snap)).await.unwrap();
    let gone = soon(io.operate("x", ObjectOp::new().at_snap(snap).read(0, 0))).await.unwrap_err();
    assert_eq!(gone.errno(), Errno::ESTALE);
}

#[tokio::test]
async fn snap_ids_and_ops_share_one_number_space() {
    let fixture = Fixture::with_object().await;
    let io = &fixture.near;
    let mut ids = Vec::new();
    for _ in 0..3 {
        soon(io.operate("x", ObjectOp::new().write(0, "x"))).await.unwrap();
        ids.push(soon(io.allocate_snap_id()).await.unwrap());
    }
    assert!(ids.is_sorted_by(|before, after| before < after), "{ids:?}");
}

#[tokio::test]
async fn listing_objects_gathers_every_page() {
    let fixture = Fixture::with_object().await;
    let creating =
        (0..1_050).map(|i| fixture.near.operate(&format!("page-{i:04}"), ObjectOp::new().create(true)));
    soon(try_join_all(creating.collect::<Vec<_>>())).await.unwrap();
    let names = soon(fixture.near.list_objects("page-")).await.unwrap();
    assert!(names.into_iter().eq((0..1_050).map(|i| format!("page-{i:04}"))));
}

#[tokio::test]
async fn a_pool_is_created_once() {
    let fixture = Fixture::with_object().await;
    let rados = fixture.near.rados();
    soon(rados.create_pool("other")).await.unwrap();
    assert_eq!(soon(rados.create_pool("other")).await.unwrap_err().errno(), Errno::EEXIST);
    let io = soon(rados.io_ctx("other")).await.unwrap();
    assert_eq!(io.pool(), "other");
    assert_eq!(soon(rados.io_ctx("nowhere")).await.unwrap_err().errno(), Errno::ENOENT);
}

#[tokio::test]
async fn the_blocklist_names_who_is_fenced_and_nobody_fences_himself() {
    let fixture = Fixture::with_object().await;
    let (near, far) = (fixture.near.rados(), fixture.far.rados());
    assert_eq!(soon(far.blocklist_add(far.gid(), None)).await.unwrap_err().errno(), Errno::EINVAL);
    soon(far.blocklist_add(near.gid(), Some(Duration::from_secs(60)))).await.unwrap();
    let entries = soon(far.blocklist()).await.unwrap();
    assert_eq!(Vec::from_iter(entries.iter().map(|entry| entry.gid)), [near.gid()]);
    assert!(entries[0].expires_in <= Duration::from_secs(60));
    soon(far.blocklist_remove(near.gid())).await.unwrap();
    assert!(soon(far.blocklist()).await.unwrap().is_empty());
    let refused = soon(fixture.near.operate("x", ObjectOp::new().stat())).await.unwrap_err();
    assert_eq!(refused.errno(), Errno::EBLOCKLISTED, "the instance stays fenced");
}

#[tokio::test]
async fn sessions_are_listed_with_their_names() {
    let fixture = Fixture::with_object().await;
    let sessions = soon(fixture.far.rados().sessions()).await.unwrap();
    let names = Vec::from_iter(sessions.iter().map(|session| session.name.as_str()));
    assert_eq!(names, ["near", "far"]);
    assert!(sessions.iter().any(|session| session.address == fixture.far.rados().address()));
}
