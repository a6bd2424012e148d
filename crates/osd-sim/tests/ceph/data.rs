//! Objects: bytes, xattrs, omap, listings.

use std::path::PathBuf;
use std::time::Duration;

use osd_sim::Config;
use proto::osd::v1::{Read, op::Op as W};
use tokio::time::timeout;

use crate::common::{connect, slow_to, until_there_is_no_room, vector};
use crate::lab::{CLIENT_TIME_MAX, Lab};

/// A file of so many bytes in which no two pieces are the same.
fn file(bytes: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let content: Vec<u8> =
        (0..bytes / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(file.path(), content).expect("it is written");
    file
}

fn read(path: impl Into<PathBuf>) -> Vec<u8> {
    std::fs::read(path.into()).expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_put_read_listed_and_removed() {
    let lab = Lab::new();
    let (small, large, got) = (file(10_000), file(9 << 20), file(0));
    let put = |name: &str, file: &tempfile::NamedTempFile| {
        format!("rados -p rbd put {name} {}", file.path().display())
    };
    if lab.output(&put("small", &small)).await.is_none() {
        return;
    }
    lab.output(&put("large", &large)).await;
    for (name, file) in [("small", &small), ("large", &large)] {
        lab.output(&format!("rados -p rbd get {name} {}", got.path().display())).await;
        assert!(read(got.path()) == read(file.path()), "{name}");
    }
    let stat = lab.output("rados -p rbd stat large").await.unwrap_or_default();
    assert!(stat.starts_with("rbd/large mtime 20") && stat.ends_with("size 9437184"), "{stat}");
    assert_eq!(lab.output("rados -p rbd ls").await.map(|names| names.len()), Some("small large".len()));
    lab.output("rados -p rbd truncate small 100").await;
    let stat = lab.output("rados -p rbd stat small").await.unwrap_or_default();
    assert!(stat.ends_with("size 100"), "{stat}");
    lab.output("rados -p rbd rm small").await;
    assert_eq!(lab.output("rados -p rbd ls").await.as_deref(), Some("large"));
    let (status, _, errors) = lab.run("rados -p rbd stat small").await.expect("it is installed");
    assert!(status == 1 && errors.contains("(2) No such file or directory"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn xattrs_and_omap_are_set_read_and_removed() {
    let lab = Lab::new();
    if lab.output("rados -p rbd create object").await.is_none() {
        return;
    }
    lab.output("rados -p rbd setxattr object color red").await;
    lab.output("rados -p rbd setxattr object shape round").await;
    assert_eq!(lab.output("rados -p rbd getxattr object color").await.as_deref(), Some("red"));
    assert_eq!(lab.output("rados -p rbd listxattr object").await.as_deref(), Some("color\nshape"));
    lab.output("rados -p rbd rmxattr object color").await;
    assert_eq!(lab.output("rados -p rbd listxattr object").await.as_deref(), Some("shape"));
    let (status, _, errors) = lab.run("rados -p rbd getxattr object color").await.expect("it is installed");
    assert!(status == 1 && errors.contains("(61) No data available"), "{errors}");
    lab.output("rados -p rbd setomapval object one 1").await;
    lab.output("rados -p rbd setomapval object two 2").await;
    assert_eq!(lab.output("rados -p rbd listomapkeys object").await.as_deref(), Some("one\ntwo"));
    let listed = lab.output("rados -p rbd listomapvals object").await.unwrap_or_default();
    assert!(listed.contains("one\nvalue (1 bytes) :\n00000000  31"), "{listed}");
    lab.output("rados -p rbd rmomapkey object one").await;
    assert_eq!(lab.output("rados -p rbd listomapkeys object").await.as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_objects_of_its_own() {
    let lab = Lab::new();
    for line in [
        "rados -p rbd create object",
        "rados -p rbd -N other create object",
        "rados -p rbd -N other create further",
    ] {
        if lab.output(line).await.is_none() {
            return;
        }
    }
    assert_eq!(lab.output("rados -p rbd ls").await.as_deref(), Some("object"));
    let lines = |text: Option<String>| {
        let mut lines: Vec<String> =
            text.unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(lab.output("rados -p rbd -N other ls").await), ["further", "object"]);
    let all = lines(lab.output("rados -p rbd --all ls").await);
    assert_eq!(all, ["object", "other\tfurther", "other\tobject"]);
}

/// More than a page of a listing.
#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_written_listed_and_cleaned_up() {
    let lab = Lab::new();
    if lab.output("rados -p rbd bench 1 write -b 4096 -t 16 --no-cleanup --max-objects 3000").await.is_none()
    {
        return;
    }
    let listed = lab.output("rados -p rbd ls").await.unwrap_or_default();
    let (objects, names) =
        (listed.lines().count(), listed.lines().collect::<std::collections::BTreeSet<_>>());
    assert!(objects > 100 && objects == names.len(), "{objects} objects, {} names", names.len());
    lab.output("rados -p rbd bench 1 seq -t 16").await;
    lab.output("rados -p rbd cleanup").await;
    assert_eq!(lab.output("rados -p rbd ls").await.as_deref(), Some(""));
}

/// Both doors lead to the same objects, and both kinds of sessions are shown alike.
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_is_in_the_event_log() {
    let lab = Lab::new();
    if lab.output("rados -p rbd create object").await.is_none() {
        return;
    }
    let events = lab.events().await;
    let applied = events.iter().find(|event| event.kind == "applied").expect("it was applied");
    assert_eq!((applied.object.as_str(), applied.detail.as_str()), ("object", "create"));
    let started = events.iter().find(|event| event.kind == "session_started").expect("a session");
    assert_eq!((started.gid, started.detail.as_str()), (applied.gid, "admin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_appended_to_and_copied() {
    let lab = Lab::new();
    let (piece, got) = (file(1000), file(0));
    let append = format!("rados -p rbd append object {}", piece.path().display());
    if lab.output(&append).await.is_none() {
        return;
    }
    lab.output(&append).await;
    lab.output("rados -p rbd setxattr object color red").await;
    lab.output("rados -p rbd setomapval object one 1").await;
    lab.output("rados -p rbd cp object copy").await;
    lab.output(&format!("rados -p rbd get copy {}", got.path().display())).await;
    assert!(read(got.path()) == read(piece.path()).repeat(2));
    assert_eq!(lab.output("rados -p rbd getxattr copy color").await.as_deref(), Some("red"));
    assert_eq!(lab.output("rados -p rbd listomapkeys copy").await.as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_pool_is_read_and_rolled_back_to() {
    let lab = Lab::new();
    let (old, new, got) = (file(5000), file(2000), file(0));
    let put = |file: &tempfile::NamedTempFile| format!("rados -p rbd put object {}", file.path().display());
    if lab.output(&put(&old)).await.is_none() {
        return;
    }
    lab.output("rados -p rbd mksnap before").await;
    lab.output(&put(&new)).await;
    let listed = lab.output("rados -p rbd lssnap").await.unwrap_or_default();
    assert!(listed.contains("before") && listed.ends_with("1 snaps"), "{listed}");
    let get = format!("rados -p rbd get object {}", got.path().display());
    lab.output(&get.replace("get", "-s before get")).await;
    assert!(read(got.path()) == read(old.path()), "what was before");
    lab.output(&get).await;
    assert!(read(got.path()) == read(new.path()), "what is");
    lab.output("rados -p rbd rollback object before").await;
    lab.output(&get).await;
    assert!(read(got.path()) == read(old.path()), "it is as it was");
    let snaps = lab.output("rados -p rbd listsnaps object").await.unwrap_or_default();
    assert!(snaps.starts_with("object:\ncloneid\tsnaps\tsize\toverlap\n1\t1\t5000\t"), "{snaps}");
    lab.output("rados -p rbd rmsnap before").await;
    let listed = lab.output("rados -p rbd lssnap").await.unwrap_or_default();
    assert!(listed.ends_with("0 snaps"), "{listed}");
}

/// The clients of both doors share one room for replies.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_read_waits_for_room_that_another_client_has() {
    const BYTES: u32 = 1 << 20;
    let reply_stall_time_max = Duration::from_secs(3600);
    let lab = Lab::of(Config {
        all_reply_bytes_in_flight_max: BYTES as usize,
        reply_stall_time_max,
        ..Config::ci()
    });
    let (large, got) = (file(BYTES), file(0));
    if lab.output(&format!("rados -p rbd put large {}", large.path().display())).await.is_none() {
        return;
    }
    let read_large = vector(0, 0, "large", vec![W::Read(Read::default())]);
    let mut slow = slow_to(&lab.server.address()).await;
    let requests = tokio_stream::iter(vec![read_large.clone(); 4]);
    let unread = slow.operate_stream(requests).await.expect("it opens");
    until_there_is_no_room(&mut connect(&lab.server).await, &read_large).await;
    let mut getting = lab.command(&format!("rados -p rbd get large {}", got.path().display()));
    let mut getting = getting.spawn().expect("it is installed");
    assert!(timeout(Duration::from_secs(2), getting.wait()).await.is_err(), "it waits");
    drop((unread, slow));
    let status = timeout(CLIENT_TIME_MAX, getting.wait()).await.expect("there is room").expect("it runs");
    assert!(status.success() && read(got.path()) == read(large.path()));
}
