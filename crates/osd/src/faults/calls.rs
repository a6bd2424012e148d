//! What the ops of rules may be called.

use super::Direction;
use crate::vector::{self, Subject};

/// Something that is no op and no call of the OSD's, and passes a door by a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// As rules name it.
    pub name: String,
    /// Where it passes.
    pub directions: &'static [Direction],
    /// What it is about.
    pub subject: Subject,
    /// Whether its answer can say an error.
    pub can_fail: bool,
}

/// Whatever has a name.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) can_fail: bool,
}

/// Everything that passes this way and has a name.
pub(super) fn named(direction: Direction, others: &[Call]) -> impl Iterator<Item = Named> {
    let is_of_osd = matches!(direction, Direction::Request | Direction::Reply);
    let of_osd = vector::names().filter(move |_| is_of_osd);
    let of_osd = of_osd.map(|(name, subject)| Named { name, subject, can_fail: true });
    let others = others.iter().filter(move |call| call.directions.contains(&direction));
    of_osd.chain(others.map(|call| Named {
        name: call.name.clone(),
        subject: call.subject,
        can_fail: call.can_fail,
    }))
}
