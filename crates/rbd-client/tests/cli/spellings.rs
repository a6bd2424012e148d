//! What `rbd` takes, in the spellings of `rbd`.

use crate::harness::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn options_name_what_positions_name() {
    let lab = Lab::start().await;
    lab.ok(&["pool", "create", "other"]).await;
    std::fs::write(lab.path("disk"), b"data").expect("the file is written");
    lab.ok(&["create", "--image", "vm", "-s", "4M", "--image-format", "2"]).await;
    lab.ok(&["snap", "add", "--image", "vm", "--snap", "base"]).await;
    lab.ok(&["snap", "create", "vm", "--snap", "late"]).await;
    lab.ok(&["snap", "protect", "--pool", "rbd", "--image", "vm", "--snap", "base"]).await;
    lab.ok(&["clone", "--image", "vm", "--snap", "base", "--dest-pool", "other", "--dest", "child"]).await;
    lab.ok(&["clone", "vm@base", "--dest", "second"]).await;
    assert_eq!(lab.ok(&["children", "vm", "--snap", "base"]).await, "other/child\nrbd/second\n");
    assert_eq!(lab.ok(&["ls", "-p", "other"]).await, "child\n");
    lab.ok(&["snap", "revert", "vm@late"]).await;
    lab.ok(&["import", "--path", "disk", "--dest", "imported"]).await;
    lab.ok(&["import", "disk", "--dest-pool", "other", "--dest", "imported"]).await;
    lab.ok(&["export", "--image", "imported", "positional"]).await;
    lab.ok(&["export", "imported", "--path", "option"]).await;
    for name in ["positional", "option"] {
        assert_eq!(std::fs::read(lab.path(name)).expect("the file is there"), b"data");
    }
    lab.ok(&["snap", "rename", "--image", "vm", "--snap", "late", "--dest", "vm", "--dest-snap", "last"])
        .await;
    lab.ok(&["rename", "--image", "imported", "--dest", "moved"]).await;
    lab.ok(&["mv", "moved", "--dest-pool", "rbd", "--dest", "again"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "again\nsecond\nvm\n");
    lab.ok(&["lock", "add", "--image", "vm", "maintenance"]).await;
    let locker = lab.json(&["lock", "list", "--image", "vm"]).await[0]["locker"].clone();
    lab.ok(&["lock", "remove", "--image", "vm", "maintenance", locker.as_str().expect("a name")]).await;
    assert_eq!(lab.ok(&["lock", "ls", "vm"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_twice_is_refused() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.fails(&["info", "vm@base", "--snap", "other"], 22).await;
    lab.fails(&["info", "--image", "vm", "vm"], 1).await;
    lab.fails(&["clone", "vm@base", "rbd/child", "--dest-pool", "rbd"], 22).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_find_a_cluster_are_taken_without_effect() {
    let lab = Lab::start().await;
    let options = "-c ceph.conf --id admin --cluster ceph -m 127.0.0.1 -k keyring -n client.admin";
    let arguments: Vec<_> = options.split(' ').collect();
    lab.ok(&[&arguments[..], &["create", "--size", "4M", "vm"]].concat()).await;
    lab.ok(&["ls", "--conf", "x", "--user", "admin", "--mon_host", "x", "--keyring", "x", "-K", "x"]).await;
    let help = lab.ok(&["ls", "--help"]).await;
    assert!(help.contains("Options of rbd that are taken without effect"), "{help}");
}
