//! The messages of every protocol, as prost generates them, and their descriptor set. Nothing else.
//!
//! The .proto files carry the documentation of each field.
#![allow(missing_docs, clippy::all, reason = "generated code")]

/// The encoded `FileDescriptorSet` of all protocols, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The clock of a program, when it is told what time it is.
pub mod clock {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/clock.v1.rs"));
    }
}

/// Objects, op vectors, watch/notify: what an OSD understands.
pub mod osd {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/osd.v1.rs"));
    }
}

/// Inputs and outputs of object classes.
pub mod cls {
    /// Class "lock".
    pub mod lock {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/cls.lock.v1.rs"));
        }
    }
    /// Class "rbd".
    pub mod rbd {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/cls.rbd.v1.rs"));
        }
    }
}

/// What the clients of an image tell each other, and what a serving client does when asked.
pub mod rbd {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/rbd.v1.rs"));
    }
}
