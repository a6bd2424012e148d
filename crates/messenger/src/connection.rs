//! The server's end of one connection.

use bytes::{Buf, Bytes, BytesMut};
use ceph_wire::{
    AddrVec, AuthName, EntityAddr, EntityType, FEATURES, Message, MessageHeader, Reader, Utime, Wire,
};

use crate::frame::{Decoder, Frame, Tag, encode};
use crate::handshake::{
    AUTH_NONE, AuthBadMethod, AuthClaim, AuthDone, AuthRequest, BANNER, ClientIdent, Hello, MODE_CRC,
    REVISION_1, ServerIdent, banner,
};
use crate::output::Output;
use crate::{Broken, Limits};

/// Bytes of a banner before what it announces.
const BANNER_BYTES: usize = BANNER.len() + 2;
/// Bytes that a banner announces at most.
const BANNER_PAYLOAD_BYTES_MAX: usize = 1 << 10;
/// Bytes of a signature; without a key they are zeros, and nobody looks.
const SIGNATURE_BYTES: usize = 32;
/// Nothing is replayed after a lost connection.
const LOSSY: u64 = 1;
/// EOPNOTSUPP, as it travels.
const EOPNOTSUPP: i32 = -95;

/// Who the server is.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its kind.
    pub kind: EntityType,
    /// Its number.
    pub id: i64,
    /// Its addresses, as maps say them.
    pub addresses: AddrVec,
}

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name after `--id`.
    pub name: AuthName,
    /// Its global id.
    pub gid: u64,
    /// Its address, with its nonce.
    pub address: EntityAddr,
    /// What it can.
    pub features: u64,
}

/// What has happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client says who it is; [`Connection::welcome`] lets it in.
    Claimed {
        /// The name after `--id`.
        name: AuthName,
        /// Its global id from before; 0 = it has none.
        gid: u64,
    },
    /// The client offers no method that is taken here. It has been told which one is, and may try again.
    Unwelcome {
        /// The method that it offers, e.g. 2 = cephx.
        method: u32,
    },
    /// Messages may come and go.
    Open(Peer),
    /// A message.
    Message(Message),
    /// The client asked whether anybody lives; [`Connection::alive`] says so.
    Asked(Utime),
    /// The client lives: it has answered [`Connection::ask`].
    Lives,
}

/// The server's end of one connection.
///
/// | state   | what comes                    | next    | what goes, what is told                         |
/// |---------|-------------------------------|---------|-------------------------------------------------|
/// | (new)   |                               | Banner  | banner                                          |
/// | Banner  | a banner with revision 1      | Hello   | HELLO                                           |
/// | Hello   | HELLO                         | Auth    |                                                 |
/// | Auth    | AUTH_REQUEST, another method  | Auth    | AUTH_BAD_METHOD; Unwelcome                      |
/// | Auth    | AUTH_REQUEST, none            | Claimed | Claimed                                         |
/// | Claimed | (welcome)                     | Sign    | AUTH_DONE, AUTH_SIGNATURE                       |
/// | Sign    | AUTH_SIGNATURE                | Ident   |                                                 |
/// | Ident   | SESSION_RECONNECT             | Ident   | SESSION_RESET                                   |
/// | Ident   | CLIENT_IDENT                  | Open    | SERVER_IDENT; Open                              |
/// | Open    | MESSAGE                       | Open    | Message                                         |
/// | Open    | KEEPALIVE2                    | Open    | Asked                                           |
/// | Open    | KEEPALIVE2_ACK                | Open    | Lives                                           |
/// | Open    | ACK                           | Open    |                                                 |
/// | any     | anything else                 | broken  |                                                 |
///
/// Nothing is replayed after a lost connection: whoever comes again begins from the start.
#[derive(Debug)]
pub struct Connection {
    local: Local,
    limits: Limits,
    state: State,
    decoder: Decoder,
    out: Output,
    /// Of the last message that was sent.
    sent_seq: u64,
    claim: Option<(AuthName, u64)>,
    /// Where the client is, seen from here.
    from: EntityAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Banner,
    Hello,
    Auth,
    Claimed,
    Sign,
    Ident,
    Open,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Banner => "before the banner",
            Self::Hello => "before HELLO",
            Self::Auth => "before authentication",
            Self::Claimed => "before an answer to the authentication",
            Self::Sign => "before the signature",
            Self::Ident => "before CLIENT_IDENT",
            Self::Open => "in an open connection",
        }
    }
}

impl Connection {
    /// A connection that was just accepted. `from` is where the client is.
    pub fn new(local: Local, from: std::net::SocketAddr, limits: Limits) -> Self {
        let mut out = Output::default();
        out.bytes(&banner());
        let from = EntityAddr::msgr2(from);
        Self {
            local,
            limits,
            state: State::Banner,
            decoder: Decoder::default(),
            out,
            sent_seq: 0,
            claim: None,
            from,
        }
    }

    /// Whether messages may come and go.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Bytes that arrived and are no event yet.
    pub fn arrived_bytes(&self) -> usize {
        self.decoder.arrived_bytes()
    }

    /// Bytes have arrived; [`Connection::next_event`] says what they are.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// Bytes that a frame lacks of which a part has arrived.
    pub fn lacking_bytes(&self) -> usize {
        self.decoder.lacking_bytes()
    }

    /// Where bytes are to be read to, instead of handing them to [`Connection::receive`]: for those of a long frame.
    pub fn room(&mut self) -> &mut BytesMut {
        self.decoder.room()
    }

    /// What has happened; `None` until more bytes arrive, or the claim is answered. After an error nothing further does.
    pub fn next_event(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            let event = match self.state {
                State::Claimed => return Ok(None),
                State::Banner => {
                    if !self.take_banner()? {
                        return Ok(None);
                    }
                    None
                }
                _ => {
                    let Some(frame) = self.decoder.next_frame(self.frame_bytes_max())? else {
                        return Ok(None);
                    };
                    self.take_frame(&frame)?
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn frame_bytes_max(&self) -> usize {
        if self.is_open() { self.limits.frame_bytes_max } else { self.limits.handshake_frame_bytes_max }
    }

    /// Whether it was there.
    fn take_banner(&mut self) -> Result<bool, Broken> {
        let arrived = self.decoder.peek();
        let known = arrived.len().min(BANNER.len());
        if arrived[..known] != BANNER[..known] {
            return Err(Broken::Banner);
        }
        if arrived.len() < BANNER_BYTES {
            return Ok(false);
        }
        let announced = usize::from(u16::from_le_bytes([arrived[BANNER.len()], arrived[BANNER.len() + 1]]));
        if announced > BANNER_PAYLOAD_BYTES_MAX {
            return Err(Broken::Banner);
        }
        let Some(banner) = self.decoder.raw(BANNER_BYTES + announced) else { return Ok(false) };
        let (supported, required) = <(u64, u64)>::take(&mut Reader::new(&banner[BANNER_BYTES..]))?;
        if supported & REVISION_1 == 0 || required & !REVISION_1 != 0 {
            return Err(Broken::Revision);
        }
        let hello = Hello { kind: self.local.kind, peer: self.from };
        self.frame(Tag::Hello, &hello);
        self.state = State::Hello;
        Ok(true)
    }

    fn take_frame(&mut self, frame: &Frame) -> Result<Option<Event>, Broken> {
        match (self.state, Tag::of(frame.tag)) {
            (State::Hello, Some(Tag::Hello)) => {
                frame.read::<Hello>()?;
                self.state = State::Auth;
                Ok(None)
            }
            (State::Auth, Some(Tag::AuthRequest)) => self.take_auth_request(&frame.read()?).map(Some),
            (State::Sign, Some(Tag::AuthSignature)) => {
                self.state = State::Ident;
                Ok(None)
            }
            (State::Ident, Some(Tag::SessionReconnect)) => {
                // Everything of the session is to be forgotten.
                self.frame(Tag::SessionReset, &true);
                Ok(None)
            }
            (State::Ident, Some(Tag::ClientIdent)) => self.take_ident(&frame.read()?).map(Some),
            (State::Open, Some(Tag::Message)) => message(frame).map(|message| Some(Event::Message(message))),
            (State::Open, Some(Tag::Keepalive2)) => Ok(Some(Event::Asked(frame.read()?))),
            (State::Open, Some(Tag::Keepalive2Ack)) => Ok(Some(Event::Lives)),
            (State::Open, Some(Tag::Ack)) => Ok(None),
            (state, _) => Err(Broken::Unexpected { tag: frame.tag, state: state.name() }),
        }
    }

    fn take_auth_request(&mut self, request: &AuthRequest) -> Result<Event, Broken> {
        let method = request.method;
        if method != AUTH_NONE {
            let (methods, modes) = (vec![AUTH_NONE], vec![MODE_CRC]);
            self.frame(Tag::AuthBadMethod, &AuthBadMethod { method, result: EOPNOTSUPP, methods, modes });
            return Ok(Event::Unwelcome { method });
        }
        let AuthClaim { name, gid, .. } = ceph_wire::from_bytes(&request.payload)?;
        self.state = State::Claimed;
        Ok(Event::Claimed { name, gid })
    }

    /// Lets the client in that has claimed to be somebody, under this global id.
    ///
    /// # Panics
    /// When it has claimed nothing.
    pub fn welcome(&mut self, name: AuthName, gid: u64) {
        assert_eq!(self.state, State::Claimed, "a claim is answered once");
        self.claim = Some((name, gid));
        self.frame(Tag::AuthDone, &AuthDone { gid, mode: MODE_CRC, payload: Bytes::new() });
        self.frame(Tag::AuthSignature, &[0u8; SIGNATURE_BYTES]);
        self.state = State::Sign;
    }

    fn take_ident(&mut self, ident: &ClientIdent) -> Result<Event, Broken> {
        let (name, gid) = self.claim.clone().expect("a claim goes before");
        // Who does not listen has one address: where it says it is, and which instance it is.
        let address = ident.addresses.0.first().copied().unwrap_or(self.from);
        let server = ServerIdent {
            addresses: self.local.addresses.clone(),
            id: self.local.id,
            global_seq: ident.global_seq,
            features: FEATURES,
            features_required: 0,
            flags: LOSSY,
            cookie: 0,
        };
        self.frame(Tag::ServerIdent, &server);
        self.state = State::Open;
        Ok(Event::Open(Peer { name, gid, address, features: ident.features }))
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When the connection is not open.
    pub fn send(&mut self, message: &Message) {
        self.send_with(message, std::slice::from_ref(&message.data));
    }

    /// Sends a message with these pieces as its data, those that are long from where they are.
    ///
    /// # Panics
    /// When the connection is not open.
    pub fn send_with(&mut self, message: &Message, data: &[Bytes]) {
        assert!(self.is_open(), "messages go when the connection is open");
        self.sent_seq += 1;
        let header = ceph_wire::to_bytes(&message.header(self.sent_seq));
        encode(Tag::Message, [&header, &message.front, &[]], data, &mut self.out);
    }

    /// Tells the client that somebody lives: the answer to [`Event::Asked`].
    pub fn alive(&mut self, asked: Utime) {
        self.frame(Tag::Keepalive2Ack, &asked);
    }

    /// Asks the client whether it lives.
    pub fn ask(&mut self, now: Utime) {
        self.frame(Tag::Keepalive2, &now);
    }

    /// Bytes that [`Connection::take_output`] would give.
    pub fn output_bytes(&self) -> usize {
        self.out.remaining()
    }

    /// Everything that is to be sent since the last call.
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.out).sealed()
    }

    fn frame(&mut self, tag: Tag, content: &impl Wire) {
        encode(tag, [&ceph_wire::to_bytes(content), &[], &[]], &[], &mut self.out);
    }
}

fn message(frame: &Frame) -> Result<Message, Broken> {
    let header: MessageHeader = frame.read()?;
    let [_, front, _, data] = frame.segments.clone();
    let MessageHeader { tid, kind, version, compat, .. } = header;
    Ok(Message { tid, kind, version, compat, front, data })
}
