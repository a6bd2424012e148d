//! What an image must do whoever asks: ownership, object sizes, chains of clones, snapshots under copy-up.

use std::fs;

use anyhow::{Context, Result};
use errno::Errno;
use harness::{
    cluster::Cluster,
    osd::{header_of, spec},
    remote::no_limits,
};
use proto::rbd::v1::{EventsRequest, client_event::Event};
use system_tests::{
    model::pattern,
    scenario::{BOUND, CHILD, OBJECT_BYTES, Scenario},
};
use tokio::time::timeout;

/// Catalogue rows 148 and 168: reads take no lock, the first write does.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_takes_the_lock_and_a_read_does_not() -> Result<()> {
    let mut scenario = Scenario::start(4, 1, &[]).await?;
    scenario.client(1).read(0, 4096).await?;
    assert_eq!(scenario.client(1).lock_owner().await?, None);
    scenario.make_owner(1).await?;
    let owner = scenario.client(1).lock_owner().await?.map(|owner| (owner.gid, owner.is_self, owner.tag));
    assert_eq!(owner, Some((scenario.client(1).gid, true, "internal".to_owned())));
    let lock = scenario.cluster.lock(&scenario.header).await?;
    let handle = scenario.client(1).info().await?.watch_handle;
    assert_eq!(lock.lockers.len(), 1);
    assert_eq!(lock.lockers[0].cookie, format!("auto {handle}"));
    Ok(())
}

/// Catalogue row 149: resize, snapshots and flatten take the lock.
#[tokio::test(flavor = "multi_thread")]
async fn every_maintenance_operation_takes_the_lock() -> Result<()> {
    for operation in ["resize", "snap create", "flatten"] {
        let scenario = Scenario::start(4, 1, &[]).await?;
        let client = scenario.client(1);
        let call = match operation {
            "resize" => client.resize(1 << 20, true, no_limits()),
            "snap create" => client.snap_create("s", no_limits()),
            _ => client.flatten(no_limits()),
        };
        assert_eq!(call.ended(BOUND).await?, Ok(1), "{operation}");
        assert_eq!(call.placements(), [false], "{operation} ran here");
        assert_eq!(scenario.story().await?.owners(), [client.gid], "{operation}");
    }
    Ok(())
}

/// Catalogue row 152: with a manual lock there, I/O waits and goes on after the unlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_a_manual_lock_to_go() -> Result<()> {
    let mut scenario = Scenario::start(4, 1, &[]).await?;
    let child = spec(CHILD);
    scenario.cluster.rbd_ok(&["lock", "add", &child, "mine"]).await?;
    let mut events = scenario.client(1).stub().events(EventsRequest {}).await?.into_inner();
    let mut stub = scenario.client(1).stub();
    let data = b"late".to_vec();
    let write = proto::rbd::v1::WriteRequest { offset: 5, data: data.clone().into() };
    let writing = tokio::spawn(async move { stub.write(write).await });
    // It tries for the lock, again and again, and still waits.
    let mut attempts = 0;
    while attempts < 3 {
        let event = timeout(BOUND, events.message()).await??.context("the client's events go on")?;
        if let Some(Event::LockState(lock)) = event.event {
            attempts += usize::from(lock.state == "acquiring");
        }
    }
    assert!(!writing.is_finished());
    let lockers = scenario.cluster.lock(&scenario.header).await?.lockers;
    let holder = format!("client.{}", lockers[0].gid);
    scenario.cluster.rbd_ok(&["lock", "rm", &child, "mine", &holder]).await?;
    timeout(BOUND, writing).await???;
    scenario.content[5..9].copy_from_slice(&data);
    scenario.check_content().await
}

/// Catalogue row 159: flatten of a sparse parent creates no empty objects.
#[tokio::test(flavor = "multi_thread")]
async fn flatten_of_a_sparse_parent_creates_no_empty_objects() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut content = vec![0; 16 * OBJECT_BYTES as usize];
    content[3 * OBJECT_BYTES as usize] = 1;
    cluster.import("sparse", &content, OBJECT_BYTES).await?;
    cluster.clone_image("sparse", "s", "thin").await?;
    let client = cluster.serve("client 1", "thin", &[]).await?;
    assert_eq!(client.flatten(no_limits()).ended(BOUND).await?, Ok(1));
    let prefix = format!("{}.", client.info().await?.object_prefix);
    let request = proto::osd::v1::ListObjectsRequest { pool: "rbd".to_owned(), prefix, ..Default::default() };
    let objects = cluster.stub().list_objects(request).await?.into_inner().names;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(fs::read(cluster.export("thin").await?)? == content);
    Ok(())
}

/// Catalogue row 177: smaller and larger objects than the parent's.
#[tokio::test(flavor = "multi_thread")]
async fn flatten_keeps_the_data_whatever_the_object_size() -> Result<()> {
    let cluster = Cluster::start().await?;
    let content = pattern(3, 700_000);
    cluster.import("base", &content, OBJECT_BYTES).await?;
    cluster.rbd_ok(&["snap", "create", "rbd/base@s"]).await?;
    for size in ["4K", "16K", "1M"] {
        let child = format!("child-{size}");
        cluster.rbd_ok(&["clone", "--object-size", size, "rbd/base@s", &spec(&child)]).await?;
        cluster.rbd_ok(&["flatten", "--no-progress", &spec(&child)]).await?;
        assert!(fs::read(cluster.export(&child).await?)? == content, "objects of {size}");
    }
    assert!(cluster.children("base", "s").await?.is_empty());
    Ok(())
}

/// Catalogue row 179: the middle of a chain of clones is flattened.
#[tokio::test(flavor = "multi_thread")]
async fn the_middle_of_a_chain_is_flattened() -> Result<()> {
    let cluster = Cluster::start().await?;
    let content = pattern(4, 6 * OBJECT_BYTES as usize);
    cluster.import("first", &content, OBJECT_BYTES).await?;
    cluster.clone_image("first", "s", "second").await?;
    cluster.clone_image("second", "s", "third").await?;
    cluster.rbd_ok(&["flatten", "--no-progress", "rbd/second"]).await?;
    cluster.rbd_ok(&["flatten", "--no-progress", "rbd/third"]).await?;
    for image in ["second", "third"] {
        assert!(fs::read(cluster.export(image).await?)? == content, "{image}");
    }
    assert!(cluster.children("second", "s").await?.is_empty());
    Ok(())
}

/// Catalogue rows 162 and 181: what a shrink cut off stays zero, and an overlap of 0 is flattened all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_that_was_cut_does_not_come_back() -> Result<()> {
    for kept in [0, OBJECT_BYTES + 100] {
        let mut scenario = Scenario::start(4, 1, &[]).await?;
        let whole = scenario.content.len() as u64;
        for size in [kept, whole] {
            let resize = scenario.client(1).resize(size, true, no_limits());
            assert_eq!(resize.ended(BOUND).await?, Ok(1));
        }
        scenario.content[kept as usize..].fill(0);
        scenario.check_content().await?;
        assert_eq!(scenario.client(1).flatten(no_limits()).ended(BOUND).await?, Ok(1), "overlap {kept}");
        scenario.check_content().await?;
        scenario.check_detached().await?;
    }
    Ok(())
}

/// Catalogue row 156: a snapshot of a child sees the parent's data after copy-up and after flatten.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_clone_keeps_the_parents_data() -> Result<()> {
    let mut scenario = Scenario::start(4, 1, &[]).await?;
    assert_eq!(scenario.client(1).snap_create("s", no_limits()).ended(BOUND).await?, Ok(1));
    let before = scenario.content.clone();
    scenario.write(1, OBJECT_BYTES, b"copied up").await?;
    let snapshot = format!("{CHILD}@s");
    assert!(fs::read(scenario.cluster.export(&snapshot).await?)? == before, "after copy-up");
    assert_eq!(scenario.client(1).flatten(no_limits()).ended(BOUND).await?, Ok(1));
    assert!(fs::read(scenario.cluster.export(&snapshot).await?)? == before, "after flatten");
    scenario.check_content().await
}

/// Catalogue row 154: queued resizes are all applied, the last one wins.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_resizes_the_last_one_wins() -> Result<()> {
    let scenario = Scenario::start(8, 1, &[]).await?;
    for objects in [3, 7, 1, 9, 2] {
        let resize = scenario.client(1).resize(objects * OBJECT_BYTES, true, no_limits());
        assert_eq!(resize.ended(BOUND).await?, Ok(1));
        assert_eq!(scenario.client(1).info().await?.size, objects * OBJECT_BYTES);
    }
    Ok(())
}

/// Catalogue row 173: operations of one type from two clients serialise, and all of them end.
#[tokio::test(flavor = "multi_thread")]
async fn operations_of_one_type_from_two_clients_all_end() -> Result<()> {
    let mut scenario = Scenario::start(8, 2, &[]).await?;
    scenario.make_owner(1).await?;
    let calls: Vec<_> = (0..8)
        .map(|number| scenario.client(1 + number % 2).snap_create(&format!("s{number}"), no_limits()))
        .collect();
    for call in calls {
        let end = call.ended(BOUND).await?;
        assert!(end.is_ok(), "{end:?}");
    }
    let names = scenario.cluster.rbd_ok(&["snap", "ls", "--format", "json", &spec(CHILD)]).await?;
    let names: Vec<serde_json::Value> = serde_json::from_str(&names)?;
    assert_eq!(names.len(), 8, "{names:?}");
    Ok(())
}

/// Catalogue row 187: the explicit lock is kept, given back, and broken by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_lock_is_given_back_or_broken() -> Result<()> {
    let scenario = Scenario::start(4, 2, &[]).await?;
    scenario.client(1).acquire_lock().await?;
    assert_eq!(scenario.client(2).lock_owner().await?.map(|owner| owner.gid), Some(scenario.client(1).gid));
    scenario.client(1).release_lock().await?;
    assert_eq!(scenario.client(2).lock_owner().await?, None);
    scenario.client(1).acquire_lock().await?;
    scenario.cluster.rbd_ok(&["lock", "break", "--force", &spec(CHILD)]).await?;
    assert_eq!(scenario.cluster.blocklist().await?, [scenario.client(1).gid]);
    let failure = scenario.client(1).write(0, vec![1]).await.unwrap_err();
    assert!(failure.is(Errno::EBLOCKLISTED), "{failure}");
    scenario.client(2).write(0, vec![2]).await?;
    Ok(())
}

/// Catalogue row 188: an image that somebody has open cannot be removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_image_cannot_be_removed() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.rbd_ok(&["create", "--size", "1M", "rbd/open"]).await?;
    let mut client = cluster.serve("client 1", "open", &[]).await?;
    let header = header_of(&client.info().await?.id);
    let refused = cluster.rbd(&["rm", "--no-progress", "rbd/open"]).await?;
    assert_eq!(refused.status, Errno::EBUSY.number(), "{refused:?}");
    client.write(0, vec![1]).await?;
    let refused = cluster.rbd(&["rm", "--no-progress", "rbd/open"]).await?;
    assert_eq!(refused.status, Errno::EBUSY.number(), "{refused:?}");
    client.process.terminate()?;
    client.process.ended(BOUND).await?;
    cluster.rbd_ok(&["rm", "--no-progress", "rbd/open"]).await?;
    assert!(cluster.watchers(&header).await.is_err() || cluster.watchers(&header).await?.is_empty());
    Ok(())
}

/// Catalogue row 1: there is a lock only with the feature, on a writable image, and not on a snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn no_lock_is_taken_without_the_feature_or_on_a_snapshot() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.rbd_ok(&["create", "--size", "1M", "--image-feature", "layering", "rbd/plain"]).await?;
    let client = cluster.serve("client 1", "plain", &[]).await?;
    client.write(0, b"no lock".to_vec()).await?;
    assert_eq!(client.lock_owner().await?, None);
    assert_eq!(client.snap_create("s", no_limits()).ended(BOUND).await?, Ok(1));
    assert_eq!(client.lock_owner().await?, None);

    let scenario = Scenario::start(4, 1, &[]).await?;
    for options in [&["flatten", "--read-only"][..], &["snap", "create", "--read-only"]] {
        let name = if options[0] == "snap" { format!("{}@s", spec(CHILD)) } else { spec(CHILD) };
        let refused = scenario.cluster.rbd(&[options, &[name.as_str()]].concat()).await?;
        assert_eq!(refused.status, Errno::EROFS.number(), "{options:?}: {refused:?}");
    }
    assert_eq!(scenario.story().await?.owners(), [0; 0]);
    Ok(())
}
