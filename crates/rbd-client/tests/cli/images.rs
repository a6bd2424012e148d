use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::Lab;

/// What is printed as JSON is documented.
const DOCUMENTATION: &str = include_str!("../../../../docs/rbd-client.md");

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_created_listed_shown_and_removed() {
    let lab = Lab::start().await;
    assert_eq!(lab.ok(&["create", "--size", "8M", "--object-size", "64K", "vm"]).await, "");
    assert_eq!(lab.ok(&["ls"]).await, "vm\n");
    assert_eq!(lab.json(&["ls"]).await, json!(["vm"]));

    let info = lab.ok(&["info", "vm"]).await;
    assert!(
        info.starts_with("rbd image 'vm':\n\tsize 8 MiB in 128 objects\n\torder 16 (64 KiB objects)\n"),
        "{info}"
    );
    assert!(info.contains("\tfeatures: layering, exclusive-lock, deep-flatten\n"), "{info}");

    lab.ok(&["rm", "vm"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "");
    assert_eq!(lab.json(&["ls"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_size_is_in_mebibytes_and_layout_options_are_taken() {
    let lab = Lab::start().await;
    lab.ok(&[
        "create",
        "--size",
        "4",
        "--order",
        "20",
        "--stripe-unit",
        "64K",
        "--stripe-count",
        "4",
        "--image-feature",
        "layering,exclusive-lock",
        "--image-feature",
        "striping",
        "rbd/vm",
    ])
    .await;
    let info = lab.json(&["info", "vm"]).await;
    assert_eq!(info["size"], 4 << 20);
    assert_eq!(info["order"], 20);
    assert_eq!(info["stripe_unit"], 64 << 10);
    assert_eq!(info["stripe_count"], 4);
    assert_eq!(info["features"], json!(["layering", "striping", "exclusive-lock"]));
}

/// Neither a line nor a colour of its own in a table or a message; JSON has its own way.
#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_names_are_shown_as_escapes() {
    let lab = Lab::start().await;
    let name = "a\nb\u{1b}[2J\u{202e}";
    let shown = r"a\nb\u{1b}[2J\u{202e}";
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["lock", "add", "vm", name]).await;
    let _serving = lab.serve(&["vm", "--name", name]).await;
    for report in [&["lock", "ls", "vm"][..], &["status", "vm"]] {
        let text = lab.ok(report).await;
        assert!(text.contains(shown), "{report:?}: {text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{report:?}: {text}");
    }
    assert_eq!(lab.json(&["lock", "ls", "vm"]).await[0]["id"], name);
    for refused in [&["create", "--size", "4M", name][..], &["info", name], &["nonsense\u{202e}"]] {
        let told = lab.run(refused).await;
        assert!(told.status != 0 && told.err.contains(r"\u{202e}"), "{refused:?}: {}", told.err);
        assert!(!told.err.contains(['\u{1b}', '\u{202e}']), "{refused:?}: {}", told.err);
    }
}

/// A stripe unit of 64 KiB goes to each of the four objects before the first gets its second.
#[tokio::test(flavor = "multi_thread")]
async fn info_counts_the_objects_of_a_striped_image() {
    let lab = Lab::start().await;
    let striping = ["--image-feature", "layering,striping", "--stripe-unit", "64K", "--stripe-count", "4"];
    for (size, objects) in [("4M", 4), ("64K", 1), ("65K", 2), ("16M", 4), ("17M", 8)] {
        lab.ok(&[&["create", "--size", size, "vm"], &striping[..]].concat()).await;
        assert_eq!(lab.json(&["info", "vm"]).await["objects"], objects, "{size}");
        lab.ok(&["rm", "vm"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_grows_and_shrinks_only_when_that_is_allowed() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["resize", "--size", "16M", "vm"]).await;
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 16 << 20);

    lab.fails(&["resize", "--size", "8M", "vm"], 22).await;
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 16 << 20);
    lab.ok(&["resize", "--size", "8M", "--allow-shrink", "vm"]).await;
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 8 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_in_plain_lines_without_a_terminal_and_can_be_switched_off() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let loud = lab.run(["resize", "--size", "8M", "vm"]).await;
    assert_eq!(loud.err, "Resizing image: 100% complete...done.\n");
    let quiet = lab.run(["resize", "--size", "16M", "--no-progress", "vm"]).await;
    assert_eq!((quiet.status, quiet.err.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_documented_keys() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["clone", "vm@base", "child"]).await;
    lab.ok(&["lock", "add", "vm", "maintenance"]).await;
    lab.ok(&["blocklist", "add", "4000000"]).await;
    let _serving = lab.serve(&["child"]).await;

    for (verb, report, place) in [
        ("info", &["info", "child"][..], ""),
        ("info", &["info", "vm@base"], ""),
        ("info", &["info", "child"], "/parent"),
        ("snap ls", &["snap", "ls", "vm"], "/0"),
        ("children", &["children", "vm@base"], "/0"),
        ("lock ls", &["lock", "ls", "vm"], "/0"),
        ("status", &["status", "child"], ""),
        ("status", &["status", "child"], "/watchers/0"),
        ("status", &["status", "vm"], "/lockers/0"),
        ("blocklist ls", &["blocklist", "ls"], "/0"),
    ] {
        let value = lab.json(report).await;
        let fields = value.pointer(place).and_then(Value::as_object);
        let fields = fields.unwrap_or_else(|| panic!("{report:?} has no object at '{place}': {value}"));
        for key in fields.keys() {
            assert!(documented_keys(verb).contains(key.as_str()), "{report:?}: key {key} is not documented");
        }
    }
    let of_others = "parent stripe_unit stripe_count pool pool_namespace image snapshot trash overlap";
    let info = lab.json(&["info", "vm@base"]).await;
    for key in
        documented_keys("info").into_iter().filter(|key| !of_others.split(' ').any(|other| other == *key))
    {
        assert!(info.get(key).is_some(), "documented key {key} is missing in {info}");
    }
    assert_eq!(info.get("parent"), None, "there is no key where there is no parent");
}

/// What stands in backticks in the verb's row of the table of JSON values.
fn documented_keys(verb: &str) -> BTreeSet<&'static str> {
    let table = DOCUMENTATION.split("### JSON").nth(1).expect("the section is there");
    let row =
        table.lines().find(|line| line.starts_with(&format!("| `{verb}`"))).expect("the verb has a row");
    row.split('`').skip(3).step_by(2).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_renamed_within_its_pool() {
    let lab = Lab::start().await;
    lab.ok(&["pool", "create", "other"]).await;
    for name in ["vm", "taken", "other/vm"] {
        lab.ok(&["create", "--size", "4M", name]).await;
    }
    lab.ok(&["rename", "vm", "web"]).await;
    lab.ok(&["mv", "other/vm", "web"]).await;
    assert_eq!(
        (lab.ok(&["ls"]).await, lab.ok(&["ls", "other"]).await),
        ("taken\nweb\n".into(), "web\n".into())
    );
    lab.fails(&["rename", "web", "taken"], 17).await;
    lab.fails(&["rename", "web", "web"], 17).await;
    lab.fails(&["rename", "web", "other/vm"], 22).await;
    lab.fails(&["rename", "vm", "new"], 2).await;
}
