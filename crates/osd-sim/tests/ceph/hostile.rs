//! Clients that are none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Buf;
use osd_sim::{CephConfig, CephLimits};

use crate::lab::{CLIENT_TIME_MAX, Lab, door, start};

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
    let mut frame = messenger::Output::default();
    messenger::encode(messenger::Tag::Hello, [&[0; 2000], &[], &[]], &[], &mut frame);
    let mut socket = TcpStream::connect(server.ceph().expect("the door is open").osd).expect("it accepts");
    socket.write_all(&messenger::banner()).expect("it is sent");
    socket.write_all(&frame.chunk()[..1600]).expect("it is sent");
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
