//! Ceph's own clients, as Debian ships them (ceph-common 16.2.15), and clients that are none, at the door.

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod data;
mod faults;
mod faults_at_monitor;
mod faults_of_ops;
mod hostile;
mod lab;
#[path = "../../../messenger/tests/client/mod.rs"]
mod peer;
mod watch;
mod wire;
