//! Numbers of Ceph's releases.

/// 10.
pub const JEWEL: u8 = 10;
/// 12.
pub const LUMINOUS: u8 = 12;
/// 13.
pub const MIMIC: u8 = 13;
/// 16.
pub const PACIFIC: u8 = 16;

/// Names by number.
const NAMES: [(u8, &str); 11] = [
    (10, "jewel"),
    (11, "kraken"),
    (12, "luminous"),
    (13, "mimic"),
    (14, "nautilus"),
    (15, "octopus"),
    (16, "pacific"),
    (17, "quincy"),
    (18, "reef"),
    (19, "squid"),
    (20, "tentacle"),
];

/// The name of a release.
pub fn name(number: u8) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == number).map_or("unknown", |(_, name)| name)
}

/// The release of a name.
pub fn number(name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}
