//! Searches every state that a few clients and one OSD can come to (docs/model.md).
//!
//! The clients are made of the machines of `rbd-protocol` and the OSD is `osd`, all as they ship. `client` performs the machines' effects
//! as librbd does, without its tasks; `world` has what is on its way and says what may happen next; `properties` says what must be true.

pub mod ask;
pub mod client;
pub mod daemon;
pub mod messages;
pub mod properties;
pub mod report;
pub mod scenario;
pub mod search;
pub mod shared;
pub mod world;

use planted::Mistake;

/// The mistakes of crate `planted` that lie in what is searched.
pub fn mistakes() -> &'static [Mistake] {
    &[
        Mistake::SkipFence,
        Mistake::FenceByCookie,
        Mistake::ReleaseUntold,
        Mistake::EndUntold,
        Mistake::ReleaseUndrained,
        Mistake::WatermarkOffByOne,
        Mistake::ForgetCommitted,
        Mistake::CommitUnrecorded,
        Mistake::DetachIndexFirst,
        Mistake::DiscardExposesParent,
        Mistake::WriteWithoutCopyup,
        Mistake::FlattenTooShort,
        Mistake::SecondFlattenFails,
        Mistake::CommitUnderIo,
        Mistake::RefuseUnwithdrawn,
    ]
}
