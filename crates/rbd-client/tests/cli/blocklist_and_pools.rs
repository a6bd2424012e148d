use serde_json::json;

use crate::harness::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_created_and_holds_images_of_its_own() {
    let lab = Lab::start().await;
    lab.ok(&["pool", "create", "scratch"]).await;
    assert_eq!(lab.json(&["pool", "ls"]).await, json!(["rbd", "scratch"]));
    lab.ok(&["create", "--size", "4M", "scratch/vm"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "");
    assert_eq!(lab.ok(&["ls", "scratch"]).await, "vm\n");
    assert_eq!(lab.ok(&["--pool", "scratch", "ls"]).await, "vm\n");
    assert_eq!(lab.ok(&["ls", "--pool", "scratch"]).await, "vm\n");
    assert_eq!(lab.ok(&["ls", "rbd", "--pool", "scratch"]).await, "");
    lab.fails(&["pool", "create", "scratch"], 17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_put_on_the_blocklist_and_taken_off() {
    let lab = Lab::start().await;
    lab.ok(&["blocklist", "add", "client.4000000", "--expire", "10m"]).await;
    let entries = lab.json(&["blocklist", "ls"]).await;
    assert_eq!(entries[0]["client"], 4_000_000);
    let left = entries[0]["expires_in_ms"].as_u64().expect("a number");
    assert!((1..=600_000).contains(&left), "{left}");
    assert!(lab.ok(&["blocklist", "ls"]).await.contains("client.4000000"));
    lab.ok(&["blocklist", "rm", "4000000"]).await;
    assert_eq!(lab.json(&["blocklist", "ls"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_by_name() {
    let lab = Lab::start().await;
    let refused: [(&[&str], i32, &str); 3] = [
        (&["blocklist", "add", "client.99", "--expire", "0"], 1, "'0'"),
        (&["pool", "create", "a/b"], 22, "'a/b'"),
        (&["pool", "create", "a@b"], 22, "'a@b'"),
    ];
    for (arguments, status, named) in refused {
        let message = lab.fails(arguments, status).await;
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_new_pool_and_that_of_the_client_are_two_things() {
    let lab = Lab::start().await;
    lab.ok(&["--name", "me", "pool", "create", "scratch"]).await;
    assert_eq!(lab.json(&["pool", "ls"]).await, json!(["rbd", "scratch"]));
    let long = "p".repeat(300);
    let message = lab.fails(&["pool", "create", &long], 36).await;
    assert!(
        message.contains("ENAMETOOLONG") && message.contains("a pool's name has at most 256"),
        "{message}"
    );
}
