use std::{
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
    process::Stdio,
};

use tokio::io::AsyncWriteExt;

use crate::harness::{Lab, ended, signal};

const OBJECT: usize = 64 << 10;

/// 4 MiB, data in three of its 64 objects, one of them at the end.
fn sparse_disk() -> Vec<u8> {
    let mut disk = vec![0; 64 * OBJECT];
    disk[5 * OBJECT + 4096..5 * OBJECT + 8192].fill(0xa5);
    disk[20 * OBJECT..21 * OBJECT].fill(0x5a);
    *disk.last_mut().expect("it is not empty") = 1;
    disk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_comes_back_with_equal_bytes_and_its_holes() {
    let lab = Lab::start().await;
    let disk = sparse_disk();
    std::fs::write(lab.path("disk.raw"), &disk).expect("the file is written");
    lab.ok(&["import", "disk.raw", "vm", "--object-size", "64K"]).await;
    assert_eq!(lab.json(&["info", "vm"]).await["size"], disk.len());
    assert_eq!(lab.data_objects().await.len(), 3, "zeros are not stored");

    lab.ok(&["export", "vm", "out.raw"]).await;
    let out = std::fs::File::open(lab.path("out.raw")).expect("the file is there");
    let stored = out.metadata().expect("it is a file").blocks() * 512;
    assert!(stored <= 4 * OBJECT as u64, "{stored} bytes are stored for three objects of data");
    assert!(std::fs::read(lab.path("out.raw")).expect("the file is there") == disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_takes_the_name_of_its_file_and_a_file_the_name_of_its_image() {
    let lab = Lab::start().await;
    std::fs::write(lab.path("disk"), b"data").expect("the file is written");
    lab.ok(&["import", "disk"]).await;
    assert_eq!(lab.ok(&["ls"]).await, "disk\n");
    std::fs::remove_file(lab.path("disk")).expect("the file is there");
    lab.ok(&["export", "disk"]).await;
    assert_eq!(std::fs::read(lab.path("disk")).expect("the file is there"), b"data");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_and_output_carry_every_byte() {
    let lab = Lab::start().await;
    // Ends within an object and within a block of zeros.
    let mut data = sparse_disk();
    data.truncate(41 * OBJECT + 777);
    data[33 * OBJECT + 1] = 9;
    let imported = lab.run_with_input(&["import", "-", "vm", "--object-size", "64K"], &data).await;
    assert_eq!(imported.status, 0, "{}", imported.err);
    assert_eq!(lab.json(&["info", "vm"]).await["size"], data.len());
    assert_eq!(lab.data_objects().await.len(), 3, "zeros are not stored");
    let exported = lab.run(["export", "vm", "-"]).await;
    assert_eq!(exported.status, 0, "{}", exported.err);
    assert!(exported.out == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_an_image_of_size_0() {
    let lab = Lab::start().await;
    let imported = lab.run_with_input(&["import", "-", "vm"], b"").await;
    assert_eq!(imported.status, 0, "{}", imported.err);
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 0);
    assert_eq!(lab.run(["export", "vm", "-"]).await.out, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_striped_image_comes_back_with_equal_bytes() {
    let lab = Lab::start().await;
    let data: Vec<u8> = (0..3 * OBJECT + 5).map(|index| (index % 241) as u8).collect();
    let layout = ["--object-size", "64K", "--stripe-unit", "8K", "--stripe-count", "3"];
    let features = ["--image-feature", "layering,striping,exclusive-lock"];
    let arguments = [&["import", "-", "vm"][..], &layout, &features].concat();
    let imported = lab.run_with_input(&arguments, &data).await;
    assert_eq!(imported.status, 0, "{}", imported.err);
    assert!(lab.run(["export", "vm", "-"]).await.out == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn export_does_not_overwrite_a_file() {
    let lab = Lab::start().await;
    lab.ok(&["create", "--size", "4M", "vm"]).await;
    std::fs::write(lab.path("precious"), b"mine").expect("the file is written");
    let err = lab.fails(&["export", "vm", "precious"], 17).await;
    assert!(err.contains("EEXIST") && err.contains("'precious'"), "{err}");
    assert_eq!(std::fs::read(lab.path("precious")).expect("the file is there"), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn import_leaves_an_image_of_the_same_name_alone() {
    let lab = Lab::start().await;
    assert_eq!(lab.run_with_input(&["import", "-", "vm"], b"first").await.status, 0);
    std::fs::write(lab.path("second"), b"second").expect("the file is written");
    lab.fails(&["import", "second", "vm"], 17).await;
    assert_eq!(lab.run(["export", "vm", "-"]).await.out, b"first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_leaves_no_image() {
    let lab = Lab::start().await;
    for name in ["INT", "TERM", "HUP"] {
        interrupt_import(&lab, name).await;
    }
}

async fn interrupt_import(lab: &Lab, name: &str) {
    let mut command = lab.command_ended_by_hangup(["import", "-", "vm", "--object-size", "64K"]);
    let mut import = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = import.stdin.take().expect("it is piped");
    stdin.write_all(&[1; 4 * OBJECT]).await.expect("the program reads its input");
    // Each look is a run of the program; the last one sees that the import is in the middle of its work.
    while lab.data_objects().await.is_empty() {}
    signal(&import, name).await;
    let ended = ended(import).await;
    assert_eq!(ended.status, 125, "{name}: {}", ended.err);
    assert!(ended.err.contains("rbd-client: import -: ECANCELED: "), "{}", ended.err);
    assert_eq!(lab.ok(&["ls"]).await, "");
    assert_eq!(lab.data_objects().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_exported_as_it_was_taken() {
    let lab = Lab::start().await;
    let mut file = std::fs::File::create(lab.path("disk")).expect("the file is made");
    file.set_len(1 << 20).expect("it gets its size");
    file.seek(SeekFrom::Start(1 << 19)).and_then(|_| file.write_all(b"middle")).expect("it is written");
    lab.ok(&["import", "disk", "vm"]).await;
    lab.ok(&["snap", "create", "vm@base"]).await;
    lab.ok(&["resize", "--size", "4K", "--allow-shrink", "vm"]).await;
    lab.ok(&["export", "vm@base", "out"]).await;
    let read = |name| std::fs::read(lab.path(name)).expect("the file is there");
    assert!(read("out") == read("disk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_leaves_no_file() {
    let lab = Lab::with(osd_sim::Config { enable_faults: true, ..osd_sim::Config::ci() });
    let disk = sparse_disk();
    std::fs::write(lab.path("disk.raw"), &disk).expect("the file is written");
    lab.ok(&["import", "disk.raw", "vm", "--object-size", "64K"]).await;
    // The first read never gets its answer, so that the export is in the middle of its work.
    lab.ok(&["fault", "add", "reply", "drop", "--op", "sparse_read"]).await;
    for name in ["INT", "TERM", "HUP"] {
        let mut command = lab.command_ended_by_hangup(["export", "vm", "out.raw"]);
        let export = command.spawn().expect("the program starts");
        while !lab.path("out.raw").exists() {
            tokio::task::yield_now().await;
        }
        signal(&export, name).await;
        let ended = ended(export).await;
        assert_eq!(ended.status, 125, "{name}: {}", ended.err);
        assert!(!lab.path("out.raw").exists(), "{name}");
    }
}

/// It waits for somebody who writes, and for nobody when it is told to end.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_a_pipe_that_nobody_writes_to_can_be_ended() {
    let lab = Lab::start().await;
    let made = tokio::process::Command::new("mkfifo").arg(lab.path("pipe")).status().await;
    assert!(made.expect("mkfifo is installed").success());
    let mut command = lab.command(["--name", "importer", "import", "pipe", "vm"]);
    let import = command.spawn().expect("the program starts");
    let rados = lab.rados().await;
    let has_session = async || {
        let sessions = rados.sessions().await.expect("the OSD answers");
        sessions.iter().any(|session| session.name == "importer")
    };
    // The next that it does is to open the file.
    while !has_session().await {}
    signal(&import, "TERM").await;
    let ended = ended(import).await;
    assert_eq!(ended.status, 125, "{}", ended.err);
    assert_eq!(lab.ok(&["ls"]).await, "");
}

/// As `nohup` starts a program.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_that_its_starter_ignores_does_not_end_an_import() {
    let lab = Lab::start().await;
    let script = format!(
        "trap '' HUP; exec {} import - vm --object-size 64K --osd {}",
        env!("CARGO_BIN_EXE_rbd-client"),
        lab.address()
    );
    let mut import = tokio::process::Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the shell starts");
    let mut stdin = import.stdin.take().expect("it is piped");
    stdin.write_all(&[1; 4 * OBJECT]).await.expect("the program reads its input");
    while lab.data_objects().await.is_empty() {}
    signal(&import, "HUP").await;
    drop(stdin);
    let ended = ended(import).await;
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert_eq!(lab.json(&["info", "vm"]).await["size"], 4 * OBJECT);
}

/// A file of 1 TiB whose data are 8 KiB: reading its holes would take longer than the test's patience.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_as_long_as_there_is_data() {
    let lab = Lab::start().await;
    let size: u64 = 1 << 40;
    let file = std::fs::File::create(lab.path("huge")).expect("the file is made");
    file.set_len(size).expect("it gets its size");
    for offset in [(300 << 30) + 4096, size - (5 << 20)] {
        file.write_all_at(&[7; 4096], offset).expect("it is written");
    }
    lab.ok(&["import", "huge", "vm"]).await;
    let info = lab.json(&["info", "vm"]).await;
    assert_eq!(info["size"], size);
    let prefix = info["block_name_prefix"].as_str().expect("a name").to_owned();
    let object = |offset: u64| format!("{prefix}.{:016x}", offset >> 22);
    assert_eq!(lab.data_objects().await, [object(300 << 30), object(size - (5 << 20))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_standard_input_shows_how_far_it_is() {
    let lab = Lab::start().await;
    let data = vec![0; 130 << 20];
    let told = lab.run_with_input(&["import", "-", "vm"], &data).await;
    let lines = ["64 MiB so far...", "128 MiB so far...", "100% complete...done."];
    assert_eq!(told.err, lines.map(|line| format!("Importing image: {line}\n")).concat());
    let arguments = ["import", "-", "half", "--estimated-size", "260M"];
    let told = lab.run_with_input(&arguments, &data).await;
    assert!(told.err.contains("Importing image: 10% complete...\n"), "{}", told.err);
    assert!(!told.err.contains("so far"), "{}", told.err);
    assert_eq!(lab.json(&["info", "half"]).await["size"], data.len());
}
