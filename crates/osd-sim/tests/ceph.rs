//! Ceph's own clients, as Debian ships them (ceph-common 16.2.15), and clients that are none, at the door.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use osd_sim::{CephConfig, CephLimits, Config, Server};
use tokio::process::Command;

/// A client that takes longer hangs.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(60);

fn door() -> CephConfig {
    CephConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn start(ceph: CephConfig) -> Server {
    Server::start(Config { ceph: Some(ceph), started_unix_ms: 1_795_809_600_000, ..Config::ci() })
}

/// A server, and the configuration that its clients need.
struct Lab {
    server: Server,
    conf: tempfile::NamedTempFile,
}

impl Lab {
    fn new() -> Self {
        let server = start(door());
        let mut conf = tempfile::NamedTempFile::new().expect("a file");
        let text = server.ceph().expect("the door is open").client_conf();
        conf.write_all(text.as_bytes()).expect("it is written");
        Self { server, conf }
    }

    /// Runs a client: its exit status, standard output and standard error. `None` where it is not installed.
    async fn run(&self, line: &str) -> Option<(i32, String, String)> {
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        let mut command = Command::new(program);
        command.args(words).env("CEPH_CONF", self.conf.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(CLIENT_TIME_MAX, command.output()).await {
            Err(_) => panic!("'{line}' hangs"),
            Ok(Err(error)) => {
                let is_required = std::env::var_os("RBD_SIM_CEPH_CLIENTS").is_some();
                assert!(!is_required, "{program}: {error}");
                eprintln!("NOT RUN: {program} is not installed (Debian: ceph-common)");
                return None;
            }
            Ok(Ok(output)) => output,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let status = output.status.code().unwrap_or(-1);
        Some((status, text(&output.stdout), text(&output.stderr)))
    }

    /// Runs a client that must succeed; its output.
    async fn output(&self, line: &str) -> Option<String> {
        let (status, output, errors) = self.run(line).await?;
        assert_eq!(status, 0, "{line}: {errors}");
        Some(output)
    }
}

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
    let (status, _, errors) = lab.run(put).await.expect("it is installed");
    assert!(status != 0 && errors.contains("(95)"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_at_once() {
    let lab = Lab::new();
    for (line, status) in [
        ("rados -p rbd put object /etc/hostname", 1),
        ("ceph osd tree", 22),
        ("ceph tell osd.0 version", 22),
        ("ceph tell mgr version", 22),
    ] {
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

/// What comes on a raw connection until it ends.
fn heard(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket.set_read_timeout(Some(CLIENT_TIME_MAX)).expect("a time above 0");
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection goes on"),
        // One that ends by a reset has ended too.
        Ok(_) | Err(_) => bytes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_own_connection_only() {
    let lab = Lab::new();
    let monitor = lab.server.ceph().expect("the door is open").monitor;
    let mut other = TcpStream::connect(monitor).expect("it accepts");
    let mut socket = TcpStream::connect(monitor).expect("it accepts");
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is sent");
    assert_eq!(heard(&mut socket), messenger::banner(), "a banner, and the end");
    let mut banner = [0; 26];
    other.read_exact(&mut banner).expect("it lives");
    other.write_all(&messenger::banner()).expect("it lives");
    let mut hello = [0; 1];
    other.read_exact(&mut hello).expect("it lives");
    assert_eq!(hello[0], messenger::Tag::Hello.number());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_sent_away() {
    let limits = CephLimits { handshake_time_max: Duration::from_millis(100), ..CephLimits::default() };
    let server = start(CephConfig { limits, ..door() });
    let mut socket = TcpStream::connect(server.ceph().expect("the door is open").osd).expect("it accepts");
    assert_eq!(heard(&mut socket), messenger::banner());
}

/// Half a frame is kept until the rest comes: all of them together have a limit.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_beyond_the_limit_ends_its_connection() {
    let hour = Duration::from_secs(3600);
    let limits = CephLimits { arriving_bytes_max: 1000, handshake_time_max: hour, ..CephLimits::default() };
    let server = start(CephConfig { limits, ..door() });
    let mut frame = ceph_wire::Writer::new();
    messenger::encode(messenger::Tag::Hello, [&[0; 2000], &[], &[], &[]], &mut frame);
    let mut socket = TcpStream::connect(server.ceph().expect("the door is open").osd).expect("it accepts");
    socket.write_all(&messenger::banner()).expect("it is sent");
    socket.write_all(&frame.written()[..1600]).expect("it is sent");
    assert!(heard(&mut socket).starts_with(&messenger::banner()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_there_is_no_room_waits_until_there_is() {
    let limits = CephLimits { connections_max: 1, ..CephLimits::default() };
    let server = start(CephConfig { limits, ..door() });
    let monitor = server.ceph().expect("the door is open").monitor;
    let mut first = TcpStream::connect(monitor).expect("it accepts");
    let mut banner = [0; 26];
    first.read_exact(&mut banner).expect("there was room");
    let mut second = TcpStream::connect(monitor).expect("the system accepts");
    drop(first);
    second.read_exact(&mut banner).expect("there is room");
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
