mod status;

use bytes::Bytes;

use super::NO_POOL;
use crate::error::WireError;
use crate::{Reader, Utime, Wire, Writer};

pub use status::{MirrorImageStatus, MirrorSiteState, MirrorSiteStatus, MirrorSiteStatusRecord};

numbered! {
    /// Which images of a pool are mirrored.
    MirrorMode: u32 {
        /// None.
        Disabled = 0,
        /// Those that are told to be.
        Image = 1,
        /// All with journaling.
        Pool = 2,
    }

    /// Who sends to whom.
    MirrorDirection: u8 {
        /// The peer does.
        Receive = 0,
        /// This cluster does.
        Send = 1,
        /// Both do.
        Both = 2,
    }

    /// How an image is mirrored.
    MirrorImageMode: u8 {
        /// By its journal.
        Journal = 0,
        /// By snapshots.
        Snapshot = 1,
    }

    /// Whether an image is mirrored.
    MirrorImageState: u8 {
        /// It ends.
        Disabling = 0,
        /// It is.
        Enabled = 1,
        /// It is not.
        Disabled = 2,
        /// It begins.
        Creating = 3,
    }
}

/// Another cluster that a pool is mirrored with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorPeer {
    /// Its id here.
    pub uuid: String,
    /// The cluster's name.
    pub site_name: String,
    /// As whom its mirroring daemon connects.
    pub client_name: String,
    /// Who sends to whom.
    pub direction: MirrorDirection,
    /// Its id there.
    pub mirror_uuid: String,
    /// When its daemon was here.
    pub last_seen: Utime,
}

impl Wire for MirrorPeer {
    fn put(&self, out: &mut Writer) {
        out.versioned(2, 1, |out| {
            self.uuid.put(out);
            self.site_name.put(out);
            self.client_name.put(out);
            // What was the pool's number there.
            NO_POOL.put(out);
            self.direction.put(out);
            self.mirror_uuid.put(out);
            self.last_seen.put(out);
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(2, |from, version| {
            let [uuid, site_name, client_name] = [Wire::take(from)?, Wire::take(from)?, Wire::take(from)?];
            i64::take(from)?;
            let (direction, mirror_uuid, last_seen) = match version {
                ..2 => (MirrorDirection::Both, String::new(), Utime::default()),
                _ => Wire::take(from)?,
            };
            Ok(Self { uuid, site_name, client_name, direction, mirror_uuid, last_seen })
        });
        taken.map_err(|error| error.at("MirrorPeer"))
    }
}

/// An image that is mirrored, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorImage {
    /// What it is called in all clusters.
    pub global_image_id: String,
    /// Whether it is mirrored.
    pub state: MirrorImageState,
    /// How.
    pub mode: MirrorImageMode,
}

impl Wire for MirrorImage {
    fn put(&self, out: &mut Writer) {
        out.versioned(2, 1, |out| {
            self.global_image_id.put(out);
            self.state.put(out);
            self.mode.put(out);
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(2, |from, version| {
            let (global_image_id, state) = Wire::take(from)?;
            let mode = if version >= 2 { Wire::take(from)? } else { MirrorImageMode::Journal };
            Ok(Self { global_image_id, state, mode })
        });
        taken.map_err(|error| error.at("MirrorImage"))
    }
}

records! {
    /// Which mirroring daemon serves an image.
    #[derive(Eq)]
    MirrorImageMap version 1, 1 {
        /// The daemon's id.
        instance_id: String,
        /// Since when.
        mapped: Utime,
        /// What the daemons keep with it.
        data: Bytes,
    }
}
