//! Generates the messages of every .proto file, without protoc.
use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTOS: [&str; 7] = [
    "clock/v1/clock.proto",
    "osd/v1/osd.proto",
    "osd/v1/faults.proto",
    "cls/lock/v1/lock.proto",
    "cls/rbd/v1/rbd.proto",
    "rbd/v1/watch_notify.proto",
    "rbd/v1/client.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(PROTOS, ["../../proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .bytes(".")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
