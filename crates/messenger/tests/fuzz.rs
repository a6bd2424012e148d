//! Every decoder of the messenger, fuzzed: frames as they arrive, what they hold, and a connection in each of its states.

mod client;

use bytes::Bytes;
use ceph_wire::mon::GetVersion;
use ceph_wire::{AuthName, EntityAddr, Message, Reader, Utime, Wire, to_bytes};
use client::{accepted, auth_request, frame, hello, ident, joined, message, name, open, signature};
use fuzz::{Decoder, Room, reread};
use messenger::{
    AuthBadMethod, AuthClaim, AuthDone, AuthRequest, ClientIdent, Connection, Event, Hello, Output,
    ServerIdent, Tag, banner, encode,
};

/// Of all segments of a frame together.
const FRAME_BYTES_MAX: usize = 1 << 16;

fn is_read<T: Wire>(bytes: &[u8]) -> bool {
    let take = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        T::take(&mut reader).ok().map(|value| (value, reader.left().len()))
    };
    reread(bytes, take, |value| to_bytes(value).to_vec())
}

/// Every frame is the same, whether its bytes arrive at once or one by one.
fn are_frames(bytes: &[u8]) -> bool {
    let mut at_once = messenger::Decoder::default();
    at_once.push(bytes);
    let mut frames = 0;
    let whole = loop {
        match at_once.next_frame(FRAME_BYTES_MAX) {
            Ok(Some(_)) => frames += 1,
            end => break end,
        }
    };
    let (mut piecewise, mut found) = (messenger::Decoder::default(), 0);
    let pieces = bytes.chunks(7).try_for_each(|piece| {
        piecewise.push(piece);
        while piecewise.next_frame(FRAME_BYTES_MAX)?.is_some() {
            found += 1;
        }
        Ok(())
    });
    assert_eq!((found, pieces), (frames, whole.map(|_| ())));
    frames > 0
}

/// A frame with right checksums: a number for its tag, and two segments of which the first one's length is said by a byte.
fn checked(bytes: &[u8]) -> Option<Bytes> {
    const TAGS: u8 = 23;
    let [tag, first, rest @ ..] = bytes else { return None };
    let (first, second) = rest.split_at(usize::from(*first).min(rest.len()));
    let mut out = Output::default();
    encode(Tag::of(tag % TAGS)?, [first, second, &[]], &[], &mut out);
    Some(joined(out))
}

fn checked_example(tag: Tag, content: &impl Wire) -> Vec<u8> {
    let content = to_bytes(content);
    [&[tag.number(), content.len() as u8], &content[..]].concat()
}

/// What the connection makes of them; whether anything happened.
fn hears(connection: &mut Connection, bytes: &[u8]) -> bool {
    connection.receive(bytes);
    let mut has_happened = false;
    while let Ok(Some(event)) = connection.next_event() {
        has_happened = true;
        match event {
            Event::Claimed { name, gid } => connection.welcome(name, gid),
            Event::Asked(asked) => connection.alive(asked),
            Event::Unwelcome { .. } | Event::Open(_) | Event::Message(_) | Event::Lives => {}
        }
    }
    let sent = joined(connection.take_output()).len();
    assert!(sent <= 64 + 4 * bytes.len(), "{sent} bytes are answered to {}", bytes.len());
    has_happened
}

/// A connection that waits for the handshake's frame of this number.
fn after(frames: usize) -> Connection {
    let mut connection = accepted();
    let said = [banner(), hello(), auth_request(1), signature()];
    said.iter().take(frames).for_each(|bytes| {
        hears(&mut connection, bytes);
    });
    connection
}

fn examples() -> Vec<Vec<u8>> {
    let asked = Message::of(1, &GetVersion { handle: 3, what: "osdmap".to_owned() });
    let handshake = [banner(), hello(), auth_request(1), signature(), ident(4139)];
    let open = [message(1, &asked), frame(Tag::Keepalive2, &Utime::from_millis(9))];
    let all = [handshake.concat(), open.concat()];
    let each = handshake.iter().chain(&open).map(|bytes| bytes.to_vec());
    each.chain(all).collect()
}

/// With contents whose checksums are made right after they were changed.
fn checked_examples() -> Vec<Vec<u8>> {
    let peer = client::server();
    let claim = to_bytes(&AuthClaim { form: 10, name: name(), gid: 0 });
    let asked = Message::of(1, &GetVersion { handle: 3, what: "osdmap".to_owned() });
    let ident = ClientIdent {
        addresses: client::own_address().into(),
        target: peer,
        gid: 4139,
        global_seq: 2,
        features: 0,
        features_required: 0,
        flags: 1,
        cookie: 0,
    };
    vec![
        checked_example(Tag::Hello, &Hello { kind: ceph_wire::EntityType::Client, peer }),
        checked_example(Tag::AuthRequest, &AuthRequest { method: 1, modes: vec![1], payload: claim }),
        checked_example(Tag::AuthSignature, &[0_u8; 32]),
        checked_example(Tag::ClientIdent, &ident),
        checked_example(Tag::SessionReconnect, &ident),
        checked_example(Tag::Message, &(asked.header(1), asked.front)),
        checked_example(Tag::Keepalive2, &Utime::from_millis(9)),
        checked_example(Tag::Keepalive2Ack, &Utime::from_millis(9)),
    ]
}

/// Their contents, without tags and lengths.
fn contents() -> Vec<Vec<u8>> {
    let server = ServerIdent {
        addresses: client::server().into(),
        id: 0,
        global_seq: 1,
        features: 2,
        features_required: 0,
        flags: 1,
        cookie: 0,
    };
    let bad = AuthBadMethod { method: 2, result: -95, methods: vec![1], modes: vec![1] };
    let done = AuthDone { gid: 7, mode: 1, payload: Bytes::new() };
    let claim = AuthClaim { form: 10, name: name(), gid: 0 };
    let told = [to_bytes(&server), to_bytes(&bad), to_bytes(&done), to_bytes(&claim)];
    checked_examples()
        .into_iter()
        .map(|bytes| bytes[2..].to_vec())
        .chain(told.map(|bytes| bytes.to_vec()))
        .collect()
}

#[test]
fn fuzz_decoders() {
    let state = |name: &str, frames| {
        let play = move |bytes: &[u8]| hears(&mut after(frames), bytes);
        Decoder::new(name, Room::DECODED, play).with_examples(examples())
    };
    let content = |name: &str, play: fn(&[u8]) -> bool| {
        Decoder::new(name, Room::DECODED, play).with_examples(contents())
    };
    let decoders = vec![
        Decoder::new("frames", Room::DECODED, are_frames).with_examples(examples()),
        state("new_connection", 0),
        state("before_authentication", 2),
        state("before_ident", 4),
        Decoder::new("open_connection", Room::DECODED, |bytes| hears(&mut open(), bytes))
            .with_examples(examples()),
        Decoder::new("contents_in_order", Room::DECODED, |bytes| {
            let Some(frame) = checked(bytes) else { return false };
            let heard =
                (1..=4).map(|frames| hears(&mut after(frames), &frame)).filter(|heard| *heard).count();
            hears(&mut open(), &frame) || heard > 0
        })
        .with_examples(checked_examples()),
        content("hello", is_read::<Hello>),
        content("auth_request", is_read::<AuthRequest>),
        content("auth_claim", is_read::<AuthClaim>),
        content("auth_done", is_read::<AuthDone>),
        content("auth_bad_method", is_read::<AuthBadMethod>),
        content("client_ident", is_read::<ClientIdent>),
        content("server_ident", is_read::<ServerIdent>),
        content("name_and_address", is_read::<(AuthName, EntityAddr)>).with_examples([to_bytes(&(
            name(),
            client::server(),
        ))
        .to_vec()]),
    ];
    fuzz::play("messenger", decoders, &[], include_str!("fuzz-regressions.txt"));
}
