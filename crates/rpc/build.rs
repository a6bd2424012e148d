//! Generates client and server stubs for the services; the messages come from crate `proto`.
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let services = ["clock/v1/clock.proto", "osd/v1/osd.proto", "osd/v1/faults.proto", "rbd/v1/client.proto"];
    let descriptors = protox::compile(services, ["../../proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".clock.v1", "::proto::clock::v1")
        .extern_path(".osd.v1", "::proto::osd::v1")
        .extern_path(".rbd.v1", "::proto::rbd::v1")
        .compile_fds(descriptors)?;
    Ok(())
}
