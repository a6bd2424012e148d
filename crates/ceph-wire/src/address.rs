//! Addresses of instances: where somebody is, and which of those who were there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// Linux' numbers of address families.
const FAMILY_IPV4: u16 = 2;
const FAMILY_IPV6: u16 = 10;

/// Which protocol an address speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddrKind {
    /// No address.
    None,
    /// Messenger v1; also the form that the class `lock` stores.
    Legacy,
    /// Messenger v2.
    Msgr2,
    /// Either; what a client that does not listen says of itself.
    Any,
}

impl AddrKind {
    const ALL: [Self; 4] = [Self::None, Self::Legacy, Self::Msgr2, Self::Any];
}

impl Wire for AddrKind {
    fn put(&self, out: &mut Writer) {
        (*self as u32).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = u32::take(from)?;
        let known = Self::ALL.into_iter().find(|kind| *kind as u32 == number);
        known.ok_or(WireError::new(Problem::Unknown(number.into())))
    }
}

/// Where an instance is, and which one: the nonce differs between those that had the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityAddr {
    /// Which protocol.
    pub kind: AddrKind,
    /// Which instance.
    pub nonce: u32,
    /// Where; `None` = nowhere that is known.
    pub socket: Option<SocketAddr>,
}

impl EntityAddr {
    /// Where messenger v2 is spoken.
    pub fn msgr2(socket: SocketAddr) -> Self {
        Self { kind: AddrKind::Msgr2, nonce: 0, socket: Some(socket) }
    }

    /// Whether both name the same instance, whatever the protocol.
    pub fn is_instance(&self, other: &Self) -> bool {
        (self.socket, self.nonce) == (other.socket, other.nonce)
    }
}

/// As Ceph shows it: IP:PORT/NONCE.
impl fmt::Display for EntityAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket {
            Some(socket) => write!(f, "{socket}/{}", self.nonce),
            None => write!(f, "-/{}", self.nonce),
        }
    }
}

/// Reads IP:PORT/NONCE, IP:PORT, or IP, with 0 for what is not said, and a protocol before it or not. It may be either
/// protocol's unless it says so.
impl FromStr for EntityAddr {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let wrong = WireError { field: "address", problem: Problem::Unknown(0) };
        let (kind, rest) = match text.split_once(':') {
            Some(("v1", rest)) => (AddrKind::Legacy, rest),
            Some(("v2", rest)) => (AddrKind::Msgr2, rest),
            Some(("any", rest)) => (AddrKind::Any, rest),
            _ => (AddrKind::Any, text),
        };
        let (place, nonce) = match rest.split_once('/') {
            Some((place, nonce)) => (place, nonce.parse().map_err(|_| wrong)?),
            None => (rest, 0),
        };
        let alone = || place.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
        let socket = place.parse::<SocketAddr>().or_else(|_| alone()).map_err(|_| wrong)?;
        Ok(Self { kind, nonce, socket: Some(socket) })
    }
}

impl Wire for EntityAddr {
    fn put(&self, out: &mut Writer) {
        1u8.put(out);
        out.versioned(1, 1, |out| {
            self.kind.put(out);
            self.nonce.put(out);
            out.counted(|out| put_socket(self.socket, out));
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let form = u8::take(from)?;
        if form != 1 {
            return Err(WireError { field: "EntityAddr", problem: Problem::Unknown(form.into()) });
        }
        from.versioned(1, |from, _| {
            let (kind, nonce) = (AddrKind::take(from)?, u32::take(from)?);
            Ok(Self { kind, nonce, socket: take_socket(&mut from.counted()?)? })
        })
        .map_err(|error| error.at("EntityAddr"))
    }
}

fn put_socket(socket: Option<SocketAddr>, out: &mut Writer) {
    match socket {
        None => {}
        Some(SocketAddr::V4(socket)) => {
            FAMILY_IPV4.put(out);
            out.bytes(&socket.port().to_be_bytes());
            out.bytes(&socket.ip().octets());
            out.bytes(&[0; 8]);
        }
        Some(SocketAddr::V6(socket)) => {
            FAMILY_IPV6.put(out);
            out.bytes(&socket.port().to_be_bytes());
            socket.flowinfo().put(out);
            out.bytes(&socket.ip().octets());
            socket.scope_id().put(out);
        }
    }
}

fn take_socket(from: &mut Reader<'_>) -> Result<Option<SocketAddr>, WireError> {
    if from.is_empty() {
        return Ok(None);
    }
    let family = u16::take(from)?;
    let port = u16::from_be_bytes(from.array()?);
    match family {
        FAMILY_IPV4 => Ok(Some(SocketAddr::new(Ipv4Addr::from(from.array::<4>()?).into(), port))),
        FAMILY_IPV6 => {
            let flow = u32::take(from)?;
            let ip = Ipv6Addr::from(from.array::<16>()?);
            Ok(Some(SocketAddrV6::new(ip, port, flow, u32::take(from)?).into()))
        }
        // A client that does not know its own address yet.
        0 => Ok(None),
        family => Err(WireError::new(Problem::Unknown(family.into()))),
    }
}

/// All addresses of one instance, in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddrVec(pub Vec<EntityAddr>);

impl From<EntityAddr> for AddrVec {
    fn from(address: EntityAddr) -> Self {
        Self(vec![address])
    }
}

impl Wire for AddrVec {
    fn put(&self, out: &mut Writer) {
        2u8.put(out);
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(from)? {
            2 => Ok(Self(Wire::take(from)?)),
            form => Err(WireError { field: "AddrVec", problem: Problem::Unknown(form.into()) }),
        }
    }
}

/// As Ceph shows it: [v2:IP:PORT/NONCE].
impl fmt::Display for AddrVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, address) in self.0.iter().enumerate() {
            let kind = if address.kind == AddrKind::Legacy { "v1" } else { "v2" };
            write!(f, "{}{kind}:{address}", if index == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}
