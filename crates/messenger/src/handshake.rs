//! What is said before the first message.

use bytes::Bytes;
use ceph_wire::{AddrVec, AuthName, EntityAddr, EntityType, Reader, Wire, WireError, Writer};

/// What every connection of messenger v2 begins with.
pub const BANNER: &[u8; 8] = b"ceph v2\n";

/// Frames of revision 1: with checksums of their own for segments.
pub(crate) const REVISION_1: u64 = 1;

/// The authentication that proves nothing.
pub(crate) const AUTH_NONE: u32 = 1;

/// Checksums, no encryption.
pub(crate) const MODE_CRC: u32 = 1;

/// The banner of one who speaks revision 1 and demands nothing.
pub fn banner() -> Bytes {
    let mut out = Writer::new();
    out.bytes(BANNER);
    16u16.put(&mut out);
    (REVISION_1, 0u64).put(&mut out);
    out.finish()
}

/// Declares frames' contents with the encoding of their fields in order.
macro_rules! contents {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                $(self.$field.put(out);)*
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(Self {
                    $($field: Wire::take(from).map_err(|error: WireError| match error.field {
                        "" => WireError { field: concat!(stringify!($name), ".", stringify!($field)), ..error },
                        _ => error,
                    })?,)*
                })
            }
        }
    )*};
}

contents! {
    /// Who the sender is, and where he sees the peer.
    Hello {
        /// His kind.
        kind: EntityType,
        /// Where the peer is, seen from him: clients take their own address from it.
        peer: EntityAddr,
    }

    /// How a client would authenticate.
    AuthRequest {
        /// 1 = none, 2 = cephx.
        method: u32,
        /// Modes by preference.
        modes: Vec<u32>,
        /// Of the method: an [`AuthClaim`] of none.
        payload: Bytes,
    }

    /// Who a client claims to be.
    AuthClaim {
        /// To a monitor or to another daemon: of no concern.
        form: u8,
        /// Its name.
        name: AuthName,
        /// Its global id; 0 = it has none.
        gid: u64,
    }

    /// The client is who it says.
    AuthDone {
        /// Its global id.
        gid: u64,
        /// How frames are protected.
        mode: u32,
        /// Of the method.
        payload: Bytes,
    }

    /// The method is not taken.
    AuthBadMethod {
        /// Which one was asked for.
        method: u32,
        /// Why.
        result: i32,
        /// Which ones are taken.
        methods: Vec<u32>,
        /// With which modes.
        modes: Vec<u32>,
    }

    /// Which instance a client is, and what it can.
    ClientIdent {
        /// Its addresses.
        addresses: AddrVec,
        /// Whom it means.
        target: EntityAddr,
        /// Its global id; -1 = it has none.
        gid: i64,
        /// Grows with each of its connections.
        global_seq: u64,
        /// What it can.
        features: u64,
        /// What it demands.
        features_required: u64,
        /// 1 = nothing is replayed after a lost connection.
        flags: u64,
        /// Names its session, if anything is replayed.
        cookie: u64,
    }

    /// Which instance a server is, and what it can.
    ServerIdent {
        /// Its addresses.
        addresses: AddrVec,
        /// Its number.
        id: i64,
        /// Grows with each of its connections.
        global_seq: u64,
        /// What it can.
        features: u64,
        /// What it demands.
        features_required: u64,
        /// 1 = nothing is replayed after a lost connection.
        flags: u64,
        /// Names its session, if anything is replayed.
        cookie: u64,
    }
}
