//! How much of images is used, as `rbd du` shows it.

use serde_json::json;

use crate::harness::Lab;

/// "vm": 6 MiB written, a snapshot "a", its first object changed, a snapshot "b", nothing since. "zero" is empty.
async fn filled() -> Lab {
    let lab = Lab::start().await;
    let data = vec![1; 6 << 20];
    assert_eq!(lab.run_with_input(&["import", "-", "vm"], &data).await.status, 0);
    lab.ok(&["create", "--size", "0", "zero"]).await;
    lab.ok(&["snap", "create", "vm@a"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    // The first of two objects.
    let write = proto::rbd::v1::WriteRequest { offset: 10, data: vec![2; 10].into() };
    serving.client.write(write).await.expect("the image is written");
    assert_eq!(serving.terminate().await, 0);
    lab.ok(&["snap", "create", "vm@b"]).await;
    lab
}

const WHOLE: &str = "\
NAME     PROVISIONED  USED
vm@a           6 MiB   6 MiB
vm@b           6 MiB   4 MiB
vm             6 MiB     0 B
zero             0 B     0 B
<TOTAL>        6 MiB  10 MiB
";

#[tokio::test(flavor = "multi_thread")]
async fn du_shows_snapshots_before_their_image_and_a_total() {
    let lab = filled().await;
    assert_eq!(lab.ok(&["du"]).await, WHOLE);
    assert_eq!(lab.ok(&["disk-usage", "zero"]).await, "NAME  PROVISIONED  USED\nzero          0 B   0 B\n");
    assert_eq!(
        lab.ok(&["du", "vm", "--snap", "b", "--from-snap", "a"]).await,
        "NAME  PROVISIONED  USED\nvm@b        6 MiB  4 MiB\n"
    );
    assert_eq!(
        lab.ok(&["du", "--merge-snapshots", "--image", "vm"]).await,
        "NAME     PROVISIONED  USED\nvm             6 MiB  10 MiB\n<TOTAL>        6 MiB  10 MiB\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn du_sums_up_a_pool_in_json_and_not_an_image() {
    let lab = filled().await;
    let id = lab.json(&["info", "vm"]).await["id"].clone();
    let snaps = lab.json(&["snap", "ls", "vm"]).await;
    let row = |index: usize, used: u64| {
        json!({
            "name": "vm", "id": id, "snapshot": snaps[index]["name"], "snapshot_id": snaps[index]["id"],
            "provisioned_size": 6 << 20, "used_size": used,
        })
    };
    let head = json!({"name": "vm", "id": id, "provisioned_size": 6 << 20, "used_size": 0});
    let rows = json!([row(0, 6 << 20), row(1, 4 << 20), head]);
    assert_eq!(lab.json(&["du", "vm"]).await, json!({"images": rows}));
    let pool = lab.json(&["du"]).await;
    assert_eq!(
        (&pool["total_provisioned_size"], &pool["total_used_size"]),
        (&json!(6 << 20), &json!(10 << 20))
    );
    assert_eq!(pool["images"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn du_refuses_what_is_not_there_and_what_says_nothing() {
    let lab = filled().await;
    let error = lab.fails(&["du", "nope"], 2).await;
    assert!(!error.contains("failed."), "nothing was begun: {error}");
    lab.fails(&["du", "--pool", "nopool"], 2).await;
    let missing = lab.fails(&["du", "vm@nope"], 2).await;
    assert!(missing.contains("'nope'"), "{missing}");
    lab.fails(&["du", "vm", "--from-snap", "nope"], 2).await;
    lab.fails(&["du", "vm@a", "--from-snap", "b"], 22).await;
    lab.fails(&["du", "--from-snap", "a"], 22).await;
    lab.fails(&["du", "--snap", "a"], 22).await;
    lab.fails(&["du", "vm@"], 22).await;
    lab.fails(&["du", "--exact", "vm"], 1).await;
    assert_eq!(lab.ok(&["du", "vm@a", "--from-snap", "a"]).await, "");
    assert_eq!(Lab::start().await.ok(&["du"]).await, "");
}
