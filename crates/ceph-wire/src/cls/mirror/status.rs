//! How mirroring of an image goes, as each site says of itself.

use crate::error::WireError;
use crate::{EntityAddr, EntityName, Reader, Utime, Wire, Writer};

numbered! {
    /// What a site does with an image.
    MirrorSiteState: u8 {
        /// Nobody said.
        Unknown = 0,
        /// Nothing: it failed.
        Error = 1,
        /// It catches up.
        Syncing = 2,
        /// It begins to follow.
        StartingReplay = 3,
        /// It follows.
        Replaying = 4,
        /// It is told to cease.
        StoppingReplay = 5,
        /// Nothing.
        Stopped = 6,
    }
}

/// How one site says it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSiteStatus {
    /// Which site; empty = this one.
    pub mirror_uuid: String,
    /// What it does.
    pub state: MirrorSiteState,
    /// For people.
    pub description: String,
    /// When it said so.
    pub last_update: Utime,
    /// Whether who said so lives.
    pub is_up: bool,
}

impl MirrorSiteStatus {
    /// What is said of a site that has said nothing.
    pub fn unknown() -> Self {
        Self {
            mirror_uuid: String::new(),
            state: MirrorSiteState::Unknown,
            description: String::new(),
            last_update: Utime::default(),
            is_up: false,
        }
    }

    /// Whether it is about the site itself.
    pub fn is_local(&self) -> bool {
        self.mirror_uuid.is_empty()
    }

    fn put_without_site(&self, out: &mut Writer) {
        self.state.put(out);
        self.description.put(out);
        self.last_update.put(out);
        self.is_up.put(out);
    }

    fn take_without_site(mirror_uuid: String, from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (state, description) = Wire::take(from)?;
        let (last_update, is_up) = Wire::take(from)?;
        Ok(Self { mirror_uuid, state, description, last_update, is_up })
    }

    fn take_with_site(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mirror_uuid = Wire::take(from)?;
        Self::take_without_site(mirror_uuid, from)
    }
}

/// A decoder that does not know sites must not take a remote one's for the local one's.
impl Wire for MirrorSiteStatus {
    fn put(&self, out: &mut Writer) {
        let version = if self.is_local() { 1 } else { 2 };
        out.versioned(version, version, |out| {
            if !self.is_local() {
                self.mirror_uuid.put(out);
            }
            self.put_without_site(out);
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(2, |from, version| match version {
            ..2 => Self::take_without_site(String::new(), from),
            _ => Self::take_with_site(from),
        });
        taken.map_err(|error| error.at("MirrorSiteStatus"))
    }
}

/// The part of a record in front of the status.
struct Origin(EntityName, EntityAddr);

impl Wire for Origin {
    fn put(&self, out: &mut Writer) {
        out.versioned(1, 1, |out| {
            self.0.put(out);
            self.1.put(out);
        });
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        from.versioned(1, |from, _| Ok(Self(Wire::take(from)?, Wire::take(from)?)))
    }
}

/// How one site says it goes, as it is stored: with who said so. He lives while he watches the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSiteStatusRecord {
    /// Who.
    pub origin: EntityName,
    /// Where he is.
    pub origin_address: EntityAddr,
    /// What he said.
    pub status: MirrorSiteStatus,
}

impl Wire for MirrorSiteStatusRecord {
    fn put(&self, out: &mut Writer) {
        Origin(self.origin, self.origin_address).put(out);
        self.status.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let Origin(origin, origin_address) =
            Wire::take(from).map_err(|error: WireError| error.at("MirrorSiteStatusRecord"))?;
        Ok(Self { origin, origin_address, status: Wire::take(from)? })
    }
}

/// How all sites say it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorImageStatus {
    /// This site; its `mirror_uuid` is empty.
    pub local: Option<MirrorSiteStatus>,
    /// The others.
    pub remotes: Vec<MirrorSiteStatus>,
}

struct Remote(MirrorSiteStatus);

impl Wire for Remote {
    fn put(&self, out: &mut Writer) {
        self.0.mirror_uuid.put(out);
        self.0.put_without_site(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        MirrorSiteStatus::take_with_site(from).map(Self)
    }
}

impl Wire for MirrorImageStatus {
    fn put(&self, out: &mut Writer) {
        out.versioned(2, 1, |out| {
            self.local.as_ref().unwrap_or(&MirrorSiteStatus::unknown()).put_without_site(out);
            self.local.is_some().put(out);
            let remotes: Vec<_> = self.remotes.iter().cloned().map(Remote).collect();
            remotes.put(out);
        });
    }

    /// Version 1 has the local site only.
    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = from.versioned(2, |from, version| {
            let local = MirrorSiteStatus::take_without_site(String::new(), from)?;
            let (is_said, remotes) = match version {
                ..2 => (true, Vec::new()),
                _ => <(bool, Vec<Remote>)>::take(from)?,
            };
            let remotes = remotes.into_iter().map(|Remote(status)| status).collect();
            Ok(Self { local: is_said.then_some(local), remotes })
        });
        taken.map_err(|error| error.at("MirrorImageStatus"))
    }
}
