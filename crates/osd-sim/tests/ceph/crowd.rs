//! Many clients that are none, and one that waits for nobody: others are served meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use ceph_wire::crc::crc32c;
use ceph_wire::{Utime, to_bytes};
use messenger::{BANNER, Decoder, Tag, banner};
use osd_sim::{CephConfig, CephLimits, Server};
use proto::osd::v1::{Read, Write, op::Op as W};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{connect, session, vector};
use crate::lab::{door, start};
use crate::peer;

/// Whoever is served waits no longer than that.
const SERVED_TIME_MAX: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
/// Files that a test needs besides its crowd.
const OTHER_FILES: u64 = 200;

/// A client that keeps to the protocol: what it has received and not looked at yet.
struct Client {
    socket: TcpStream,
    arrived: Decoder,
}

impl Client {
    /// Who has said who it is.
    async fn open(at: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(at).await.expect("it accepts");
        let handshake = [banner(), peer::hello(), peer::auth_request(1), peer::signature(), peer::ident(-1)];
        socket.write_all(&handshake.concat()).await.expect("it listens");
        let mut server_banner = [0; BANNER.len() + 2 + 16];
        socket.read_exact(&mut server_banner).await.expect("it says what it speaks");
        let mut client = Self { socket, arrived: Decoder::default() };
        client.hear(Tag::ServerIdent).await;
        client
    }

    /// Waits for a frame of that kind.
    async fn hear(&mut self, tag: Tag) {
        loop {
            while let Some(frame) =
                self.arrived.next_frame(1 << 20).expect("the server keeps to the protocol")
            {
                if frame.tag == tag.number() {
                    return;
                }
            }
            let mut bytes = [0; 4096];
            let count = self.socket.read(&mut bytes).await.expect("it goes on");
            assert_ne!(count, 0, "the server ended the connection before {tag:?}");
            self.arrived.push(&bytes[..count]);
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("it listens");
    }
}

fn asked() -> bytes::Bytes {
    peer::frame(Tag::Keepalive2, &Utime::from_millis(1))
}

/// A client of each door connects and is answered.
async fn both_doors_serve(server: &Server) {
    let serving = async {
        let ceph = server.ceph().expect("the door is open");
        for at in [ceph.monitor, ceph.osd] {
            let mut client = Client::open(at).await;
            client.say(&asked()).await;
            client.hear(Tag::Keepalive2Ack).await;
        }
        let mut osd = connect(server).await;
        let gid = session(&mut osd).await;
        let write = W::Write(Write { offset: 0, data: vec![7; 100].into() });
        osd.operate(vector(gid, 1, "object", vec![write])).await.expect("it is written");
        let read = W::Read(Read { offset: 0, length: 0 });
        osd.operate(vector(gid, 2, "object", vec![read])).await.expect("it is read");
    };
    timeout(SERVED_TIME_MAX, serving).await.expect("others are served in time");
}

/// As many as the machine's limit lets be: both ends are this process.
fn crowd_size() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    (files.saturating_sub(OTHER_FILES) / 2).min(2_000) as usize
}

/// So many connections, on which that was said.
async fn crowd(at: SocketAddr, said: &[u8]) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..crowd_size() {
        let connecting = timeout(SERVED_TIME_MAX, TcpStream::connect(at));
        let mut socket = connecting.await.expect("there is room in time").expect("it accepts");
        // One that was ended already is one that has been heard.
        let _ = socket.write_all(said).await;
        sockets.push(socket);
    }
    sockets
}

fn patient() -> CephConfig {
    CephConfig { limits: CephLimits { handshake_time_max: HOUR, ..CephLimits::default() }, ..door() }
}

async fn ends(socket: &mut TcpStream) {
    let ending = async {
        let mut bytes = [0; 4096];
        while socket.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    };
    timeout(SERVED_TIME_MAX, ending).await.expect("the connection ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_half_a_frame_and_waits_hurts_nobody() {
    let server = start(patient());
    let half = [&banner()[..], &peer::hello()[..20]].concat();
    let mut waiting = crowd(server.ceph().expect("the door is open").osd, &half).await;
    both_doors_serve(&server).await;
    let mut heard = [0; 26];
    let last = waiting.last_mut().expect("there is a crowd");
    timeout(SERVED_TIME_MAX, last.read_exact(&mut heard)).await.expect("in time").expect("it was let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_garbage_ends_and_hurts_nobody() {
    let server = start(patient());
    let garbage: Vec<u8> = (0..10_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut ended = crowd(server.ceph().expect("the door is open").monitor, &garbage).await;
    both_doors_serve(&server).await;
    for socket in &mut ended {
        ends(socket).await;
    }
}

/// A frame that says to have 4 segments of 4 GiB, before and after its sender has said who he is.
#[tokio::test(flavor = "multi_thread")]
async fn a_giant_length_ends_its_connection_only() {
    const COVERED_BYTES: usize = 28;
    let server = start(patient());
    let mut giant = asked()[..COVERED_BYTES].to_vec();
    giant[0] = Tag::Message.number();
    giant[1] = 4;
    (0..4).for_each(|segment| giant[2 + 6 * segment..][..4].fill(0xff));
    giant.extend(to_bytes(&crc32c(0, &giant)));
    let at = server.ceph().expect("the door is open").osd;
    let mut stranger = TcpStream::connect(at).await.expect("it accepts");
    stranger.write_all(&[&banner()[..], &giant].concat()).await.expect("it is sent");
    let mut known = Client::open(at).await;
    known.say(&giant).await;
    both_doors_serve(&server).await;
    ends(&mut stranger).await;
    ends(&mut known.socket).await;
}

/// It asks for answers, as fast as it can, and reads none.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_sent_away_and_hurts_nobody() {
    let limits = CephLimits { write_time_max: Duration::from_millis(500), ..CephLimits::default() };
    let server = start(CephConfig { limits, ..door() });
    let mut deaf = Client::open(server.ceph().expect("the door is open").osd).await;
    let flood = asked().repeat(1_000);
    let flooding = async { while deaf.socket.write_all(&flood).await.is_ok() {} };
    let (flooded, ()) = tokio::join!(timeout(SERVED_TIME_MAX, flooding), both_doors_serve(&server));
    flooded.expect("its connection ends");
}
