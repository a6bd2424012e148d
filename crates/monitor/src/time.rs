//! Moments as Ceph shows them.

use ceph_wire::Utime;

const DAY_SECONDS: u64 = 86_400;

/// E.g. 2026-11-27T21:23:38.335000+0000.
pub(crate) fn shown(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = unix_ms % 1000 * 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+0000")
}

/// As maps carry it.
pub(crate) fn utime(unix_ms: u64) -> Utime {
    Utime::from_millis(unix_ms)
}

/// Year, month and day of a day since 1970, by the Gregorian calendar: counted in years that begin in March, so that the
/// leap day is the last one.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_ceph_shows_them() {
        assert_eq!(shown(1_795_814_618_335), "2026-11-27T21:23:38.335000+0000");
        assert_eq!(shown(951_782_400_000), "2000-02-29T00:00:00.000000+0000");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000+0000");
    }
}
