use crate::harness::{Lab, ended};

/// Runs each line and checks its exit status, and that the message says what was attempted, the errno and the input.
async fn refused(lab: &Lab, arguments: &[&str], status: i32, message: &[&str]) {
    let err = lab.fails(arguments, status).await;
    for part in message {
        assert!(err.contains(part), "{arguments:?}: no {part:?} in: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_is_enoent() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    refused(&lab, &["info", "vmm"], 2, &["rbd-client: info rbd/vmm: ENOENT: ", "vmm", "rbd-client ls"]).await;
    refused(&lab, &["flatten", "vmm"], 2, &["rbd-client: flatten rbd/vmm: ENOENT: "]).await;
    refused(&lab, &["rm", "vmm"], 2, &["rbd-client: rm rbd/vmm: ENOENT: "]).await;
    refused(&lab, &["export", "vmm", "-"], 2, &["ENOENT"]).await;
    refused(&lab, &["serve", "vmm"], 2, &["rbd-client: serve rbd/vmm: ENOENT: "]).await;
    refused(&lab, &["snap", "rm", "vm@none"], 2, &["snap rm rbd/vm@none: ENOENT: "]).await;
    refused(&lab, &["info", "vm@none"], 2, &["ENOENT", "none"]).await;
    refused(&lab, &["clone", "vm@none", "child"], 2, &["ENOENT", "none"]).await;
    refused(&lab, &["import", "/nowhere/disk.raw", "x"], 2, &["ENOENT", "'/nowhere/disk.raw'"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_does_not_exist_is_enoent() {
    let lab = Lab::start().await;
    refused(&lab, &["ls", "nopool"], 2, &["rbd-client: ls nopool: ENOENT: ", "'nopool'"]).await;
    refused(&lab, &["create", "--size", "4M", "nopool/vm"], 2, &["create nopool/vm: ENOENT: ", "'nopool'"])
        .await;
    refused(&lab, &["--pool", "nopool", "flatten", "vm"], 2, &["flatten nopool/vm: ENOENT: "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_image_of_the_same_name_is_eexist() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    refused(&lab, &["create", "--size", "8M", "vm"], 17, &["create rbd/vm: EEXIST: ", "vm"]).await;
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 4 << 20);
    lab.ok(&["snap", "create", "vm@base"]).await;
    refused(&lab, &["snap", "create", "vm@base"], 17, &["snap create rbd/vm@base: EEXIST: "]).await;
    refused(&lab, &["clone", "vm@base", "vm"], 17, &["EEXIST"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_names_the_input_and_the_rule() {
    let lab = Lab::start().await;
    refused(&lab, &["create", "--size", "1X", "vm"], 1, &["'1X'", "whole number"]).await;
    refused(&lab, &["create", "--size", "16384P", "vm"], 1, &["'16384P'", "largest size"]).await;
    refused(&lab, &["create", "--size", "4M", "a/b/c"], 22, &["image spec 'a/b/c'", "at most one '/'"]).await;
    refused(&lab, &["snap", "create", "vm"], 22, &["image spec 'vm'", "'@SNAP' is missing"]).await;
    refused(&lab, &["create", "--size", "4M", "--object-size", "3M", "vm"], 1, &["'3M'", "power of two"])
        .await;
    refused(&lab, &["create", "--size", "4M", "--image-feature", "magic", "vm"], 1, &["magic"]).await;
    refused(&lab, &["flatten", "--timeout", "soon", "vm"], 1, &["'soon'", "30s"]).await;
    refused(&lab, &["nonsense"], 1, &["nonsense"]).await;
    refused(&lab, &["import", "-"], 22, &["EINVAL", "name the image"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn flatten_of_an_image_without_parent_is_einval() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let err = lab.fails(&["flatten", "vm"], 22).await;
    let refusal = "rbd-client: flatten rbd/vm: EINVAL: flatten: image vm has no parent";
    assert_eq!(err.lines().collect::<Vec<_>>(), ["Image flatten: failed.", refusal]);
}

/// As with `rbd`: what is opened first was not begun.
#[tokio::test(flavor = "multi_thread")]
async fn work_on_an_image_that_does_not_exist_has_no_progress_that_failed() {
    let lab = Lab::start().await;
    for arguments in [
        &["flatten", "vm"][..],
        &["resize", "--size", "8M", "vm"],
        &["snap", "create", "vm@base"],
        &["snap", "rm", "vm@base"],
        &["snap", "rollback", "vm@base"],
        &["export", "vm", "-"],
    ] {
        let err = lab.fails(arguments, 2).await;
        assert!(err.starts_with("rbd-client: "), "{arguments:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_change_a_snapshot_or_a_read_only_image_is_erofs() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["clone", "vm@base", "child"]).await;
    lab.ok(&["snap", "create", "child@now"]).await;
    // As with `rbd`, which wants the image itself.
    refused(&lab, &["flatten", "child@now"], 22, &["'child@now'", "no '@SNAP'"]).await;
    refused(&lab, &["flatten", "--read-only", "child"], 30, &["flatten rbd/child: EROFS: "]).await;
    refused(&lab, &["resize", "--size", "8M", "child@now"], 22, &["'child@now'", "no '@SNAP'"]).await;
    refused(&lab, &["snap", "create", "--read-only", "child@later"], 30, &["EROFS"]).await;
    assert_ne!(lab.json(&["info", "child"]).await["parent"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_open_or_has_snapshots_is_not_removed() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    let mut serving = lab.serve(&["vm"]).await;
    refused(&lab, &["rm", "vm"], 16, &["rm rbd/vm: EBUSY: "]).await;
    assert_eq!(serving.terminate().await, 0);
    lab.ok(&["snap", "create", "vm@base"]).await;
    refused(&lab, &["rm", "vm"], 39, &["rm rbd/vm: ENOTEMPTY: ", "snapshots"]).await;
    lab.ok(&["snap", "rm", "vm@base"]).await;
    lab.ok(&["rm", "vm"]).await;
}

/// Lossily read, it would be another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_utf_8_is_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let lab = Lab::start().await;
    let bad = OsStr::from_bytes(b"bad\xff");
    let lines: [&[&OsStr]; 6] = [
        &["create".as_ref(), "--size".as_ref(), "4M".as_ref(), bad],
        &["create".as_ref(), "--size".as_ref(), "4M".as_ref(), "--image".as_ref(), bad],
        &["du".as_ref(), bad],
        &["import".as_ref(), "-".as_ref(), bad],
        &["rename".as_ref(), "vm".as_ref(), bad],
        &["lock".as_ref(), "add".as_ref(), "vm".as_ref(), bad],
    ];
    for arguments in lines {
        let ended = lab.run(arguments).await;
        assert_eq!(ended.status, 22, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("is not UTF-8"), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(lab.ok(&["ls"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_or_a_number_that_is_none_is_refused_with_the_rule() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    for listen in ["127.0.0.1:99999", "localhost:0", "127.0.0.1", "nonsense", ""] {
        let named = format!("'{listen}'");
        refused(&lab, &["serve", "vm", "--listen", listen], 1, &[&named, "IP:PORT", "65535"]).await;
    }
    for osd in ["127.0.0.1:99999", "127.0.0.1", "a b:1"] {
        refused(&lab, &["--osd", osd, "ls"], 1, &[&format!("'{osd}'"), "HOST:PORT", "65535"]).await;
    }
    for verb in ["rm", "release"] {
        refused(&lab, &["fault", verb, "abc"], 22, &["'abc'", "rbd-client fault ls"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_is_not_repeated_whole() {
    let lab = Lab::start().await;
    let long = "n".repeat(10_240);
    for arguments in [&["create", "--size", "4M", &long][..], &["info", &long], &["--osd", &long, "ls"]] {
        let ended = lab.run(arguments).await;
        assert!(ended.status != 0 && ended.err.len() < 1000, "{}", ended.err);
        assert!(ended.err.contains("characters)"), "{}", ended.err);
    }
}

/// As `rbd` does: the number of the operating system is the exit status, and its name is in the message.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_operating_system_keep_their_number_and_name() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    std::fs::write(lab.path("file"), b"").expect("the file is written");
    std::os::unix::fs::symlink("loop", lab.path("loop")).expect("the link is made");
    std::fs::create_dir(lab.path("directory")).expect("the directory is made");
    refused(&lab, &["export", "vm", "file/out"], 20, &["ENOTDIR: file 'file/out'"]).await;
    refused(&lab, &["export", "vm", "loop/out"], 40, &["ELOOP: file 'loop/out'"]).await;
    refused(&lab, &["export", "vm", "nowhere/out"], 2, &["ENOENT: file 'nowhere/out'"]).await;
    refused(&lab, &["import", "file/disk", "disk"], 20, &["ENOTDIR: file 'file/disk'"]).await;
    refused(&lab, &["import", "directory", "disk"], 21, &["EISDIR", "'directory'"]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    refused(&lab, &["serve", "vm", "--listen", &address], 98, &["EADDRINUSE", &address]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_nobody_reads_is_epipe_and_one_that_does_not_fit_enospc() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "32M", "vm"]).await;
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the device is there");
    let export = lab.command(["export", "vm", "-"]).stdout(full).spawn().expect("the program starts");
    let told = ended(export).await;
    assert!(told.status == 28 && told.err.contains("ENOSPC: standard output"), "{}", told.err);
    let mut export = lab.command(["export", "vm", "-"]).spawn().expect("the program starts");
    drop(export.stdout.take());
    let told = ended(export).await;
    assert!(told.status == 32 && told.err.contains("EPIPE: standard output"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_osd_it_says_how_to_name_one() {
    let lab = Lab::start().await;
    let unset = lab.command(["ls"]).env_remove("RBD_CLIENT_OSD").output().await.expect("the program runs");
    assert_eq!(unset.status.code(), Some(22));
    assert!(String::from_utf8_lossy(&unset.stderr).contains("--osd HOST:PORT"));

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    refused(&lab, &["--osd", &address, "ls"], 107, &["ls rbd: ENOTCONN: ", &address]).await;
}

/// As `rbd` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_verb_or_option_exits_with_1_and_a_wrong_name_with_22() {
    let lab = Lab::start().await;
    for (arguments, status) in [
        (&["nonsense"][..], 1),
        (&["snap"], 1),
        (&["snap", "nonsense"], 1),
        (&["info", "--nonsense", "vm"], 1),
        (&["info", "vm", "extra"], 1),
        (&["create", "--size", "1X", "vm"], 1),
        (&["create", "--size", "vm"], 1),
        (&["resize", "--size", "-1", "vm"], 1),
        (&["ls", "--format", "yaml"], 1),
        (&["create", "vm"], 22),
        (&["info"], 22),
        (&["info", ""], 22),
        (&["info", "vm@"], 22),
        (&["snap", "create", "vm"], 22),
        (&["snap", "ls", "vm@base"], 22),
        (&["rm", "vm@base"], 22),
        (&["lock", "add", "vm"], 22),
        (&["import"], 22),
        (&["clone", "vm", "child"], 22),
        (&["create", "--image-format", "1", "--size", "1M", "vm"], 22),
    ] {
        lab.fails(arguments, status).await;
    }
    assert!(lab.ok(&["--help"]).await.contains("Usage: rbd-client"));
    assert!(lab.ok(&["help", "snap", "create"]).await.contains("Take a snapshot"));
}

/// A number with a minus sign is a value, and the message says what is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_negative_number_is_refused_as_the_value_that_it_is() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    for arguments in [
        &["create", "--size", "-1", "new"][..],
        &["create", "--size", "-1M", "new"],
        &["create", "--size", "1M", "--object-size", "-4K", "new"],
        &["create", "--size", "1M", "--order", "-22", "new"],
        &["create", "--size", "1M", "--stripe-unit", "-1", "--stripe-count", "1", "new"],
        &["resize", "--size", "-5", "vm"],
        &["flatten", "--timeout", "-1s", "vm"],
        &["flatten", "--attempts", "-1", "vm"],
    ] {
        let ended = lab.run(arguments).await;
        let value = arguments.iter().find(|argument| {
            argument[1..].starts_with(|c: char| c.is_ascii_digit()) && argument.starts_with('-')
        });
        let value = value.expect("one is negative");
        assert_ne!(ended.status, 0, "{arguments:?}");
        assert!(ended.err.contains(&format!("invalid value '{value}'")), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.contains("unexpected argument"), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(lab.ok(&["ls"]).await, "vm\n");
}
