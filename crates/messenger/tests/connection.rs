//! The server's end of a connection, played by bytes.

mod client;

use bytes::Bytes;
use ceph_wire::mon::{Command, MonGetMap};
use ceph_wire::{Message, Utime};
use client::{accepted, auth_request, frame, hello, ident, joined, name, own_address, signature};
use messenger::{
    AuthBadMethod, AuthDone, BANNER, Broken, Decoder, Event, Frame, Peer, ServerIdent, Tag, banner,
};

const FRAME_BYTES_MAX: usize = 1 << 20;

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let next = || decoder.next_frame(FRAME_BYTES_MAX).expect("our own frames are right");
    std::iter::from_fn(next).collect()
}

fn tags(frames: &[Frame]) -> Vec<Tag> {
    frames.iter().map(|frame| Tag::of(frame.tag).expect("a tag")).collect()
}

fn command() -> Message {
    let command = Command { fsid: [7; 16], command: vec![Bytes::from_static(b"{}")] };
    Message::with_data(5, &command, Bytes::from_static(b"input"))
}

#[test]
fn the_banner_is_that_of_a_real_daemon() {
    let bytes = joined(accepted().take_output());
    assert_eq!(bytes, banner());
    assert_eq!(&bytes[..8], BANNER);
    assert_eq!(&bytes[8..], [16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_client_is_let_in() {
    let mut connection = accepted();
    connection.receive(&[banner(), hello(), auth_request(1)].concat());
    assert_eq!(connection.next_event(), Ok(Some(Event::Claimed { name: name(), gid: 0 })));
    assert_eq!(connection.next_event(), Ok(None));
    connection.welcome(name(), 4139);
    connection.receive(&signature());
    connection.receive(&ident(4139));
    let peer = Peer { name: name(), gid: 4139, address: own_address(), features: ceph_wire::FEATURES };
    assert_eq!(connection.next_event(), Ok(Some(Event::Open(peer))));
    let sent = frames(&joined(connection.take_output())[banner().len()..]);
    assert_eq!(tags(&sent), [Tag::Hello, Tag::AuthDone, Tag::AuthSignature, Tag::ServerIdent]);
    assert_eq!(sent[1].read::<AuthDone>().map(|done| (done.gid, done.mode)), Ok((4139, 1)));
    assert_eq!(sent[3].read::<ServerIdent>().map(|ident| (ident.flags, ident.cookie)), Ok((1, 0)));
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let mut connection = accepted();
    let bytes = [banner(), hello(), auth_request(1)].concat();
    let mut events = Vec::new();
    for byte in bytes {
        connection.receive(&[byte]);
        events.extend(connection.next_event().expect("nothing is wrong"));
    }
    assert_eq!(events, [Event::Claimed { name: name(), gid: 0 }]);
}

#[test]
fn who_offers_cephx_is_told_what_is_taken() {
    let mut connection = accepted();
    connection.receive(&[banner(), hello(), auth_request(2)].concat());
    assert_eq!(connection.next_event(), Ok(Some(Event::Unwelcome { method: 2 })));
    let sent = frames(&joined(connection.take_output())[banner().len()..]);
    assert_eq!(tags(&sent), [Tag::Hello, Tag::AuthBadMethod]);
    let told = sent[1].read::<AuthBadMethod>().expect("it decodes");
    assert_eq!((told.method, told.result, told.methods, told.modes), (2, -95, vec![1], vec![1]));
    connection.receive(&auth_request(1));
    assert_eq!(connection.next_event(), Ok(Some(Event::Claimed { name: name(), gid: 0 })));
}

#[test]
fn a_session_of_an_earlier_connection_is_reset() {
    let mut connection = accepted();
    connection.receive(&[banner(), hello(), auth_request(1)].concat());
    connection.next_event().expect("a claim");
    connection.welcome(name(), 1);
    connection.take_output();
    connection.receive(&[signature(), frame(Tag::SessionReconnect, &7u64), ident(1)].concat());
    assert!(matches!(connection.next_event(), Ok(Some(Event::Open(_)))));
    assert_eq!(tags(&frames(&joined(connection.take_output()))), [Tag::SessionReset, Tag::ServerIdent]);
}

#[test]
fn messages_keep_their_order_and_their_parts() {
    let mut connection = client::open();
    let empty = Message::of(0, &MonGetMap {});
    connection.receive(&[client::message(1, &command()), client::message(2, &empty)].concat());
    assert_eq!(connection.next_event(), Ok(Some(Event::Message(command()))));
    assert_eq!(connection.next_event(), Ok(Some(Event::Message(empty))));
    assert_eq!(connection.next_event(), Ok(None));
}

#[test]
fn messages_are_numbered_from_one() {
    let mut connection = client::open();
    connection.send(&command());
    connection.send(&command());
    let sent = frames(&joined(connection.take_output()));
    let header = |frame: &Frame| frame.read::<ceph_wire::MessageHeader>().expect("a header");
    assert_eq!(
        sent.iter().map(|frame| (header(frame).seq, header(frame).tid)).collect::<Vec<_>>(),
        [(1, 5), (2, 5)]
    );
    assert_eq!(sent[0].segments[3], b"input"[..]);
}

#[test]
fn a_question_whether_anybody_lives_is_answered_by_its_own_time() {
    let mut connection = client::open();
    let asked = Utime { seconds: 9, nanoseconds: 8 };
    connection.receive(&frame(Tag::Keepalive2, &asked));
    assert_eq!(connection.next_event(), Ok(Some(Event::Asked(asked))));
    connection.alive(asked);
    assert_eq!(joined(connection.take_output()), frame(Tag::Keepalive2Ack, &asked));
}

#[test]
fn another_protocol_is_refused_at_its_first_bytes() {
    let mut connection = accepted();
    connection.receive(b"GET");
    assert_eq!(connection.next_event(), Err(Broken::Banner));
}

#[test]
fn a_giant_frame_is_refused_by_its_preamble() {
    let mut connection = accepted();
    connection.receive(&banner());
    let mut giant = messenger::Output::default();
    messenger::encode(Tag::Hello, [&[0; 8192], &[], &[]], &[], &mut giant);
    connection.receive(&joined(giant)[..32]);
    assert_eq!(connection.next_event(), Err(Broken::TooLarge { bytes: 8192, max: 4096 }));
}

#[test]
fn a_message_before_the_handshake_is_refused() {
    let mut connection = accepted();
    connection.receive(&[banner(), client::message(1, &command())].concat());
    assert_eq!(connection.next_event(), Err(Broken::Unexpected { tag: 17, state: "before HELLO" }));
}
