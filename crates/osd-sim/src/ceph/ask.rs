//! Asks a monitor that runs who it is, as its clients do.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use ceph_wire::mon::{MonGetMap, MonMap, MonMapMessage};
use ceph_wire::{AddrKind, AuthName, EntityAddr, EntityType, FEATURES, Message, Wire, from_bytes, to_bytes};
use messenger::{AuthClaim, AuthRequest, ClientIdent, Decoder, Frame, Hello, Output, Tag, banner, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::conf::client_conf;

/// Bytes of a frame of the handshake and of a monitors' map, at most.
const FRAME_BYTES_MAX: usize = 1 << 16;
/// The authentication that proves nothing, and frames with checksums.
const AUTH_NONE: u32 = 1;
const MODE_CRC: u32 = 1;
/// A claim to a monitor.
const TO_MONITOR: u8 = 10;

/// The configuration of a client of the monitor that listens there.
pub(crate) async fn conf_of(monitor: SocketAddr) -> Result<String> {
    let socket = TcpStream::connect(monitor).await.with_context(|| format!("connecting to {monitor}"))?;
    let mut talk = Talk { socket, decoder: Decoder::default() };
    talk.socket.write_all(&banner()).await?;
    let mut theirs = vec![0; banner().len()];
    talk.socket.read_exact(&mut theirs).await?;
    if theirs[..messenger::BANNER.len()] != messenger::BANNER[..] {
        bail!("{monitor} does not speak Ceph's messenger v2");
    }
    let server = EntityAddr::msgr2(monitor);
    talk.say(Tag::Hello, &Hello { kind: EntityType::Client, peer: server }).await?;
    let name = AuthName { kind: EntityType::Client.number().into(), id: "admin".to_owned() };
    let payload = to_bytes(&AuthClaim { form: TO_MONITOR, name, gid: 0 });
    talk.say(Tag::AuthRequest, &AuthRequest { method: AUTH_NONE, modes: vec![MODE_CRC], payload }).await?;
    talk.hear(Tag::AuthDone).await.context("the monitor does not let in who proves nothing")?;
    talk.say(Tag::AuthSignature, &[0u8; 32]).await?;
    let own = EntityAddr {
        kind: AddrKind::Any,
        nonce: std::process::id(),
        socket: Some(talk.socket.local_addr()?),
    };
    let ident = ClientIdent {
        addresses: own.into(),
        target: server,
        gid: -1,
        global_seq: 1,
        features: FEATURES,
        features_required: 0,
        flags: 1,
        cookie: 0,
    };
    talk.say(Tag::ClientIdent, &ident).await?;
    talk.hear(Tag::ServerIdent).await?;
    let question = Message::of(0, &MonGetMap {});
    let mut out = Output::default();
    encode(Tag::Message, [&to_bytes(&question.header(1)), &question.front, &[]], &[], &mut out);
    talk.socket.write_all_buf(&mut out).await?;
    let [_, front, ..] = talk.hear(Tag::Message).await?.segments;
    let message: MonMapMessage = from_bytes(&front)?;
    let map: MonMap = from_bytes(&message.map)?;
    let said =
        map.monitors.values().flat_map(|monitor| &monitor.addresses.0).find_map(|address| address.socket);
    let monitor = said.context("the monitors' map has no address")?;
    let fsid = monitor::Identity { fsid: map.fsid, started_unix_ms: 0 }.fsid_text();
    Ok(client_conf(&fsid, monitor))
}

struct Talk {
    socket: TcpStream,
    decoder: Decoder,
}

impl Talk {
    async fn say(&mut self, tag: Tag, content: &impl Wire) -> io::Result<()> {
        let mut out = Output::default();
        encode(tag, [&to_bytes(content), &[], &[]], &[], &mut out);
        self.socket.write_all_buf(&mut out).await
    }

    /// The next frame of that kind; what comes before it is of no concern.
    async fn hear(&mut self, tag: Tag) -> Result<Frame> {
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = self.decoder.next_frame(FRAME_BYTES_MAX)? {
                match Tag::of(frame.tag) {
                    Some(heard) if heard == tag => return Ok(frame),
                    Some(Tag::AuthBadMethod) => bail!("it was refused"),
                    _ => {}
                }
            }
            let read = self.socket.read(&mut buffer).await?;
            if read == 0 {
                bail!("the monitor ended the connection");
            }
            self.decoder.push(&buffer[..read]);
        }
    }
}
