//! What clients ask the cluster as such.

use std::net::{Ipv4Addr, SocketAddr};

use osd_sim::{CephConfig, Config};
use tokio::process::Command;

use crate::lab::{Lab, door, start};

#[tokio::test(flavor = "multi_thread")]
async fn rados_lists_pools() {
    let lab = Lab::new();
    let Some(pools) = lab.output("rados lspools").await else { return };
    assert_eq!(pools, "rbd");
    lab.output("rados df").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ceph_sees_a_cluster() {
    let lab = Lab::new();
    let Some(fsid) = lab.output("ceph fsid").await else { return };
    assert_eq!(Some(fsid), lab.server.ceph().map(|ceph| ceph.fsid.clone()));
    for line in [
        "ceph status",
        "ceph -s -f json",
        "ceph df",
        "ceph df -f json",
        "ceph osd dump",
        "ceph osd dump -f json",
        "ceph mon dump",
        "ceph versions",
        "ceph osd pool ls -f json",
        "ceph health",
        "ceph osd stat",
        "ceph mon stat",
        "ceph quorum_status",
    ] {
        lab.output(line).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_created_and_removed() {
    let lab = Lab::new();
    if lab.output("ceph osd pool create images").await.is_none() {
        return;
    }
    assert_eq!(lab.output("rados lspools").await.as_deref(), Some("rbd\nimages"));
    lab.output("ceph osd pool application enable images rbd").await;
    let got = lab.output("ceph osd pool application get images rbd -f json").await;
    assert_eq!(got.as_deref(), Some("{}"));
    let (status, _, _) = lab.run("ceph osd pool rm images images").await.expect("it is installed");
    assert_eq!(status, 1, "it has to be promised");
    lab.output("ceph osd pool rm images images --yes-i-really-really-mean-it").await;
    assert_eq!(lab.output("ceph osd pool ls").await.as_deref(), Some("rbd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_fenced_and_set_free() {
    let lab = Lab::new();
    if lab.output("ceph osd blocklist add 1.2.3.4:0/77 100").await.is_none() {
        return;
    }
    let listed = lab.output("ceph osd blocklist ls").await.unwrap_or_default();
    assert_eq!(
        listed,
        "1.2.3.4:0/77 2026-11-27T20:01:40".to_owned() + listed.get(32..).unwrap_or("?"),
        "{listed}"
    );
    lab.output("ceph osd blocklist rm 1.2.3.4:0/77").await;
    assert_eq!(lab.output("ceph osd blocklist ls").await.as_deref(), Some(""));
}

/// Port 0 and nonce 0 stand for everybody at an IP.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_fenced_is_told_so() {
    let lab = Lab::new();
    if lab.output("ceph osd blocklist add 127.0.0.1:0/0").await.is_none() {
        return;
    }
    let put = "rados -p rbd put object /etc/hostname";
    let (status, _, errors) = lab.run(put).await.expect("it is installed");
    assert!(status != 0 && errors.contains("(108)"), "{errors}");
    lab.output("ceph osd blocklist clear").await;
    lab.output(put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_at_once() {
    let lab = Lab::new();
    for (line, status) in
        [("ceph osd tree", 22), ("ceph tell osd.0 version", 6), ("ceph tell mgr version", 22)]
    {
        let Some((got, _, errors)) = lab.run(line).await else { return };
        assert_eq!(got, status, "{line}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_cephx_is_told_what_to_do() {
    let lab = Lab::new();
    let line = "rados --auth-client-required cephx lspools";
    let Some((status, _, errors)) = lab.run(line).await else { return };
    assert_ne!(status, 0, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_asked_for_the_configuration() {
    let server = start(door());
    let addresses = server.ceph().expect("the door is open");
    let mut asking = Command::new(env!("CARGO_BIN_EXE_osd-sim"));
    asking.args(["ceph-conf", "--monitor", &addresses.monitor.to_string()]);
    let output = asking.output().await.expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), addresses.client_conf());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_needs_an_address_to_advertise() {
    let anywhere = CephConfig::on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let config = Config { ceph: Some(anywhere.clone()), ..Config::ci() };
    let nobody = tokio_stream::empty::<std::io::Result<tokio::net::TcpStream>>();
    let refused = osd_sim::serve(nobody, config, 1, std::future::pending()).await;
    let text = refused.expect_err("clients could be told nothing").to_string();
    assert!(text.contains("--ceph-advertise"), "{text}");
    let advertise = Some(Ipv4Addr::new(127, 0, 0, 9).into());
    let server = start(CephConfig { advertise, ..anywhere });
    assert_eq!(server.ceph().map(|ceph| ceph.monitor.ip()), advertise);
}
