//! What fault rules may name at this door beside the OSD's ops and calls.

use osd::faults::{Call, Direction};

use super::cluster::InStep;

/// The monitor's calls, and what it sends to who subscribes.
pub(crate) fn calls() -> Vec<Call> {
    let asked = monitor::call_names::<InStep<'_>>().into_iter().map(|call| Call {
        name: call.name,
        directions: if call.is_answered {
            &[Direction::Request, Direction::Reply]
        } else {
            &[Direction::Request]
        },
        can_fail: call.can_fail,
    });
    let maps = monitor::MAPS.map(|name| Call {
        name: name.to_owned(),
        directions: &[Direction::Map],
        can_fail: false,
    });
    asked.chain(maps).collect()
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
