//! Moments as `rbd` prints them.

use jiff::{Timestamp, tz::TimeZone};

/// A moment in milliseconds of Unix time, in the local time zone: "Fri Nov 27 20:19:59 2026".
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    in_zone(moment, TimeZone::system())
}

fn in_zone(moment: Timestamp, zone: TimeZone) -> String {
    moment.to_zoned(zone).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_ctime_does() {
        for (unix, text) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (1_795_810_799, "Fri Nov 27 20:19:59 2026"),
            (1_709_164_800, "Thu Feb 29 00:00:00 2024"),
        ] {
            let moment = Timestamp::from_second(unix).expect("it is a moment");
            assert_eq!(in_zone(moment, TimeZone::UTC), text);
        }
    }

    #[test]
    fn the_largest_number_is_a_moment_too() {
        assert!(timestamp(u64::MAX).ends_with("9999"), "{}", timestamp(u64::MAX));
    }
}
