//! Small values that many messages carry.

use std::fmt;

use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// A cluster's, an OSD's identity.
pub type Uuid = [u8; 16];

records! {
    /// A time since 1970, or a span.
    #[derive(Copy, Default, Eq, PartialOrd, Ord)]
    Utime {
        /// Whole seconds.
        seconds: u32,
        /// The rest.
        nanoseconds: u32,
    }

    /// A version of an object or of a placement group.
    #[derive(Copy, Default, Eq, PartialOrd, Ord)]
    Eversion {
        /// The version within the epoch.
        version: u64,
        /// The map's epoch.
        epoch: u32,
    }

    /// Who somebody is in messages, e.g. client.4123.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    EntityName {
        /// Which kind of program.
        kind: EntityType,
        /// A client's global id, an OSD's number, a monitor's rank; -1 before it is known.
        number: i64,
    }

    /// Who somebody says to be when authenticating, e.g. client.admin.
    #[derive(Eq)]
    AuthName {
        /// Which kind of program; see [`EntityType`].
        kind: u32,
        /// The name after `--id`.
        id: String,
    }
}

impl Utime {
    /// From milliseconds.
    pub fn from_millis(milliseconds: u64) -> Self {
        let seconds = u32::try_from(milliseconds / 1000).unwrap_or(u32::MAX);
        Self { seconds, nanoseconds: (milliseconds % 1000) as u32 * 1_000_000 }
    }

    /// In whole milliseconds.
    pub fn as_millis(self) -> u64 {
        u64::from(self.seconds) * 1000 + u64::from(self.nanoseconds / 1_000_000)
    }
}

macro_rules! entity_types {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// Kinds of programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EntityType {
            $(#[doc = $text] $name,)*
        }

        impl EntityType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it travels.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }
        }

        impl fmt::Display for EntityType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

entity_types! {
    Unknown = 0x00, "unknown";
    Mon = 0x01, "mon";
    Mds = 0x02, "mds";
    Osd = 0x04, "osd";
    Client = 0x08, "client";
    Mgr = 0x10, "mgr";
    Auth = 0x20, "auth";
    Any = 0xff, "any";
}

impl Wire for EntityType {
    fn put(&self, out: &mut Writer) {
        self.number().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = u8::take(from)?;
        let known = Self::ALL.iter().copied().find(|kind| kind.number() == number);
        known.ok_or(WireError::new(Problem::Unknown(number.into())))
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.number)
    }
}
