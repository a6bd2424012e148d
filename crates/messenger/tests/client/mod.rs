//! A client's end of a connection, as far as tests need one.
#![allow(dead_code, reason = "every test program uses its own part")]

use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use ceph_wire::{AddrKind, AddrVec, AuthName, EntityAddr, EntityType, FEATURES, Message, Wire, to_bytes};
use messenger::{
    AuthClaim, AuthRequest, ClientIdent, Connection, Hello, Limits, Local, Output, Tag, banner, encode,
};

pub(crate) const CLIENT: ([u8; 4], u16) = ([127, 0, 0, 1], 36890);

pub(crate) fn server() -> EntityAddr {
    EntityAddr::msgr2(SocketAddr::from(([127, 0, 0, 1], 13474)))
}

pub(crate) fn accepted() -> Connection {
    let local = Local { kind: EntityType::Osd, id: 0, addresses: AddrVec::from(server()) };
    Connection::new(local, CLIENT.into(), Limits::default())
}

pub(crate) fn name() -> AuthName {
    AuthName { kind: 8, id: "admin".to_owned() }
}

pub(crate) fn frame(tag: Tag, content: &impl Wire) -> Bytes {
    let mut out = Output::default();
    encode(tag, [&to_bytes(content), &[], &[]], &[], &mut out);
    joined(out)
}

pub(crate) fn hello() -> Bytes {
    frame(Tag::Hello, &Hello { kind: EntityType::Client, peer: server() })
}

pub(crate) fn auth_request(method: u32) -> Bytes {
    let claim = AuthClaim { form: 10, name: name(), gid: 0 };
    frame(Tag::AuthRequest, &AuthRequest { method, modes: vec![1], payload: to_bytes(&claim) })
}

pub(crate) fn signature() -> Bytes {
    frame(Tag::AuthSignature, &[0u8; 32])
}

pub(crate) fn own_address() -> EntityAddr {
    EntityAddr { kind: AddrKind::Any, nonce: 77, socket: Some(([127, 0, 0, 1], 0).into()) }
}

pub(crate) fn ident(gid: i64) -> Bytes {
    frame(
        Tag::ClientIdent,
        &ClientIdent {
            addresses: own_address().into(),
            target: server(),
            gid,
            global_seq: 2,
            features: FEATURES,
            features_required: 0,
            flags: 1,
            cookie: 0,
        },
    )
}

pub(crate) fn message(seq: u64, message: &Message) -> Bytes {
    let mut out = Output::default();
    let header = to_bytes(&message.header(seq));
    encode(Tag::Message, [&header, &message.front, &[]], std::slice::from_ref(&message.data), &mut out);
    joined(out)
}

/// What was to be sent, in one piece.
pub(crate) fn joined(mut out: Output) -> Bytes {
    out.copy_to_bytes(out.remaining())
}

/// A connection on which messages may come and go.
pub(crate) fn open() -> Connection {
    let mut connection = accepted();
    connection.receive(&[banner(), hello(), auth_request(1)].concat());
    connection.next_event().expect("a claim").expect("a claim");
    connection.welcome(name(), 4139);
    connection.receive(&[signature(), ident(4139)].concat());
    connection.next_event().expect("it opens").expect("it opens");
    connection.take_output();
    connection
}
