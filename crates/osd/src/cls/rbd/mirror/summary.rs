//! One word for how the mirroring of an image goes.

use std::collections::BTreeSet;

use ceph_wire::cls::{MirrorDirection, MirrorImageStatus, MirrorPeer, MirrorSiteState, MirrorSiteStatus};

/// Whose word counts: this site's if it receives, the others' if it sends.
pub(super) struct View {
    direction: MirrorDirection,
    /// Those that are sent to.
    receivers: BTreeSet<String>,
}

impl View {
    /// Without peers this site is taken for one that receives.
    pub(super) fn new(peers: &[MirrorPeer]) -> Self {
        let receivers = peers.iter().filter(|peer| peer.direction != MirrorDirection::Receive);
        let first = peers.first().map_or(MirrorDirection::Receive, |peer| peer.direction);
        let is_mixed = receivers.clone().any(|peer| peer.direction != first);
        let direction = if is_mixed { MirrorDirection::Both } else { first };
        Self { direction, receivers: receivers.map(|peer| peer.mirror_uuid.clone()).collect() }
    }

    /// An error of a receiver outweighs all; else the one that is behind the most counts. Unknown while a receiver says
    /// nothing.
    pub(super) fn state(&self, status: Option<&MirrorImageStatus>) -> MirrorSiteState {
        let (local, remotes) =
            status.map_or((None, &[][..]), |status| (status.local.as_ref(), &status.remotes[..]));
        let local = local.filter(|local| local.is_up && self.direction != MirrorDirection::Send);
        let mut state = local.map(|local| local.state);
        if self.direction != MirrorDirection::Receive {
            let is_said = |receiver: &String| remotes.iter().any(|remote| remote.mirror_uuid == *receiver);
            if !self.receivers.iter().all(is_said) {
                return MirrorSiteState::Unknown;
            }
            state = remotes.iter().fold(state, |state, remote| Some(worse(state, remote)));
        }
        state.unwrap_or(MirrorSiteState::Unknown)
    }
}

fn worse(state: Option<MirrorSiteState>, remote: &MirrorSiteStatus) -> MirrorSiteState {
    let said = if remote.is_up { remote.state } else { MirrorSiteState::Unknown };
    match state {
        _ if remote.state == MirrorSiteState::Error => MirrorSiteState::Error,
        None => said,
        Some(MirrorSiteState::Error) => MirrorSiteState::Error,
        Some(state) => state.min(said),
    }
}
