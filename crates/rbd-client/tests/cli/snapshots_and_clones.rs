use serde_json::{Value, json};

use crate::harness::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_snapshot_is_removed_only_after_it_is_unprotected() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["snap", "protect", "vm@base"]).await;

    let snapshots = lab.json(&["snap", "ls", "vm"]).await;
    assert_eq!(snapshots[0]["name"], "base");
    assert_eq!(snapshots[0]["protected"], "true");
    let table = lab.ok(&["snap", "ls", "vm"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("SNAPID  NAME  SIZE") && lines[1].contains("yes"),
        "{table}"
    );

    lab.fails(&["snap", "rm", "vm@base"], 16).await;
    lab.ok(&["snap", "unprotect", "vm@base"]).await;
    lab.ok(&["snap", "rm", "vm@base"]).await;
    assert_eq!(lab.json(&["snap", "ls", "vm"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_brings_the_data_of_the_snapshot_back() {
    let lab = Lab::start().await;
    let (before, after) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    assert_eq!(lab.run_with_input(&["import", "-", "vm"], &before).await.status, 0);
    lab.ok(&["snap", "create", "vm@base"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    let write = proto::rbd::v1::WriteRequest { offset: 0, data: after.clone().into() };
    serving.client.write(write).await.expect("the image is written");
    assert_eq!(serving.terminate().await, 0);

    assert_eq!(lab.run(["export", "vm", "-"]).await.out, after);
    assert_eq!(lab.run(["export", "vm@base", "-"]).await.out, before);
    lab.ok(&["snap", "rollback", "vm@base"]).await;
    assert_eq!(lab.run(["export", "vm", "-"]).await.out, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_listed_with_its_parent_until_it_is_flattened() {
    let lab = Lab::start().await;
    let data: Vec<u8> = (0..1 << 20).map(|index: u32| (index % 251) as u8).collect();
    assert_eq!(lab.run_with_input(&["import", "-", "vm", "--object-size", "64K"], &data).await.status, 0);
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["clone", "vm@base", "child"]).await;

    assert_eq!(lab.ok(&["children", "vm@base"]).await, "rbd/child\n");
    let child = json!({"pool": "rbd", "pool_namespace": "", "image": "child"});
    assert_eq!(lab.json(&["children", "vm"]).await, json!([child]));
    let parent = lab.json(&["info", "child"]).await["parent"].clone();
    assert_eq!((&parent["image"], &parent["snapshot"]), (&json!("vm"), &json!("base")));
    assert_eq!(parent["overlap"], 1 << 20);
    let info = lab.ok(&["info", "child"]).await;
    assert!(info.contains("\tparent: rbd/vm@base\n\toverlap: 1 MiB"), "{info}");

    let flattened = lab.run(["flatten", "child"]).await;
    assert_eq!(flattened.status, 0, "{}", flattened.err);
    assert!(flattened.err.ends_with("Image flatten: 100% complete...done.\n"), "{}", flattened.err);
    assert_eq!(lab.json(&["info", "child"]).await["parent"], Value::Null);
    assert_eq!(lab.ok(&["children", "vm@base"]).await, "");
    assert_eq!(lab.run(["export", "child", "-"]).await.out, data);
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_removes_all_snapshots_but_those_that_are_protected() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    for name in ["vm@a", "vm@b", "vm@c"] {
        lab.ok(&["snap", "create", name]).await;
    }
    lab.ok(&["snap", "rename", "vm@b", "vm@kept"]).await;
    lab.fails(&["snap", "rename", "vm@kept", "vm@a"], 17).await;
    lab.fails(&["snap", "rename", "vm@kept", "other@a"], 22).await;
    lab.ok(&["snap", "protect", "vm@kept"]).await;
    lab.fails(&["snap", "purge", "vm"], 16).await;
    let snapshots = lab.json(&["snap", "ls", "vm"]).await;
    assert_eq!((snapshots.as_array().map(Vec::len), &snapshots[0]["name"]), (Some(1), &json!("kept")));
    lab.ok(&["snap", "unprotect", "vm@kept"]).await;
    lab.ok(&["snap", "purge", "vm"]).await;
    assert_eq!(lab.json(&["snap", "ls", "vm"]).await, json!([]));
}
