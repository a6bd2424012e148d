//! The header of an image of format 1: data of object `NAME.rbd`.

use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// Length of the text in front.
const TEXT_BYTES: usize = 40;

records! {
    /// What a header begins with.
    #[derive(Copy, Eq)]
    OldFixed {
        /// What the object is, filled up with zeros; see [`OldHeader::TEXT`].
        text: [u8; TEXT_BYTES],
        /// What the names of its data objects begin with, filled up with zeros.
        block_name: [u8; 24],
        /// Always "RBD" and a zero.
        signature: [u8; 4],
        /// Always "001.005" and a zero.
        version: [u8; 8],
        /// Binary logarithm of a data object's bytes.
        order: u8,
        /// Of no concern, all three of them.
        unused: [u8; 3],
        /// Bytes.
        image_size: u64,
        /// The newest snapshot's id ever.
        snap_seq: u64,
    }
}

/// A header of format 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldHeader {
    /// What the image is.
    pub fixed: OldFixed,
    /// Of no concern.
    pub reserved: u32,
    /// The newest first.
    pub snapshots: Vec<OldSnapshot>,
}

/// A snapshot of an image of format 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSnapshot {
    /// Its id.
    pub id: u64,
    /// Bytes of the image.
    pub image_size: u64,
    /// Its name, which has no zero.
    pub name: Vec<u8>,
}

impl OldHeader {
    /// The text of an image's header, up to its zero.
    pub const TEXT: &'static [u8] = b"<<< Rados Block Device Image >>>\n\0";
    /// The text of the header of an image that is migrated, up to its zero.
    pub const TEXT_MIGRATING: &'static [u8] = b"<<< Migrating RBD Image      >>>\n\0";
}

/// All ids and sizes come before all names.
impl Wire for OldHeader {
    fn put(&self, out: &mut Writer) {
        let bytes: usize = self.snapshots.iter().map(|snapshot| snapshot.name.len() + 1).sum();
        self.fixed.put(out);
        u32::try_from(self.snapshots.len()).expect("nothing has 4,294,967,296 snapshots").put(out);
        self.reserved.put(out);
        (bytes as u64).put(out);
        for snapshot in &self.snapshots {
            (snapshot.id, snapshot.image_size).put(out);
        }
        for snapshot in &self.snapshots {
            out.bytes(&snapshot.name);
            out.bytes(&[0]);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let fixed = OldFixed::take(from)?;
        let (count, reserved, name_bytes): (u32, u32, u64) = Wire::take(from)?;
        let numbers: Result<Vec<(u64, u64)>, _> = (0..count).map(|_| Wire::take(from)).collect();
        let numbers = numbers.map_err(|error: WireError| error.at("OldHeader.snapshots"))?;
        let mut names = from.part(usize::try_from(name_bytes).unwrap_or(usize::MAX))?;
        let named = |(id, image_size)| Ok(OldSnapshot { id, image_size, name: take_name(&mut names)? });
        Ok(Self { fixed, reserved, snapshots: numbers.into_iter().map(named).collect::<Result<_, _>>()? })
    }
}

fn take_name(names: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    let left = names.left();
    let Some(length) = left.iter().position(|&byte| byte == 0) else {
        let problem = Problem::Short { needed: left.len() + 1, left: left.len() };
        return Err(WireError { field: "OldSnapshot.name", problem });
    };
    Ok(names.bytes(length + 1)?[..length].to_vec())
}
