//! What fault rules may name at this door beside the OSD's ops and calls.

use osd::faults::{Call, Direction};
use osd::vector::Subject;

use super::cluster::InStep;

/// How a notify has ended, as rules name it: CEPH_WATCH_EVENT_NOTIFY_COMPLETE.
pub(crate) const NOTIFY_COMPLETE: &str = "notify_complete";

/// The monitor's calls, what it sends to who subscribes, and how a notify has ended, which its notifier is told apart from the reply to op
/// "notify".
pub(crate) fn calls() -> Vec<Call> {
    let asked = monitor::call_names::<InStep<'_>>().into_iter().map(|call| Call {
        name: call.name,
        directions: if call.is_answered {
            &[Direction::Request, Direction::Reply]
        } else {
            &[Direction::Request]
        },
        subject: Subject::Osd,
        can_fail: call.can_fail,
    });
    let maps = monitor::MAPS.map(|name| Call {
        name: name.to_owned(),
        directions: &[Direction::Map],
        subject: Subject::Osd,
        can_fail: false,
    });
    let completion = Call {
        name: NOTIFY_COMPLETE.to_owned(),
        directions: &[Direction::Reply],
        subject: Subject::Object,
        can_fail: false,
    };
    asked.chain(maps).chain([completion]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed_once() {
        let mut names: Vec<_> = calls().into_iter().map(|call| call.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in ["mon.osd_blocklist_add", "mon.osd_blocklist_rm", "mon.osd_pool_create", "osdmap"] {
            assert!(names.iter().any(|listed| listed == name), "{name}");
        }
    }
}
