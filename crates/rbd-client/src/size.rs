//! Sizes as people write them: 256M, 1G, 64K.

use std::fmt;

/// What a size without a suffix counts in.
#[derive(Clone, Copy)]
enum Plain {
    Bytes,
    Mebibytes,
}

/// Size of an image in bytes; a plain number is in MiB, as `rbd --size` has it. The error names the text and the rule.
pub(crate) fn image_size(text: &str) -> Result<u64, String> {
    parse(text, Plain::Mebibytes)
}

/// Size in bytes; a plain number is in bytes, as `rbd --object-size` has it. The error names the text and the rule.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    parse(text, Plain::Bytes)
}

/// log2 of an object size in bytes: a power of two from 4K to 32M, the orders that an image can have.
pub(crate) fn order_of_object_size(text: &str) -> Result<u32, String> {
    let size = bytes(text)?;
    let order = size.checked_ilog2().unwrap_or(0);
    if !size.is_power_of_two() || !ORDERS.contains(&order) {
        return Err(format!("object size '{text}': expected a power of two from 4K to 32M, e.g. 4M"));
    }
    Ok(order)
}

/// log2 of the object size: 12 (4 KiB) to 25 (32 MiB).
pub(crate) fn order(text: &str) -> Result<u32, String> {
    let order = text.parse().ok().filter(|order| ORDERS.contains(order));
    order.ok_or_else(|| format!("order '{text}': expected a number from 12 (4 KiB) to 25 (32 MiB objects)"))
}

/// Orders an image can have; the class "rbd" refuses others.
const ORDERS: std::ops::RangeInclusive<u32> = 12..=25;

fn parse(text: &str, plain: Plain) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match (text[digits.len()..].to_ascii_uppercase().as_str(), plain) {
        ("B", _) | ("", Plain::Bytes) => 0,
        ("K" | "KI" | "KIB", _) => 10,
        ("M" | "MI" | "MIB", _) | ("", Plain::Mebibytes) => 20,
        ("G" | "GI" | "GIB", _) => 30,
        ("T" | "TI" | "TIB", _) => 40,
        ("P" | "PI" | "PIB", _) => 50,
        ("E" | "EI" | "EIB", _) => 60,
        _ => return Err(rule(text, plain)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(rule(text, plain));
    }
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("size '{text}' is 16 EiB or more: the largest size is 2^64 - 1 bytes"))
}

fn rule(text: &str, plain: Plain) -> String {
    let unit = match plain {
        Plain::Bytes => "bytes",
        Plain::Mebibytes => "MiB",
    };
    format!(
        "'{text}' is not a size: expected a whole number with B, K, M, G, T, P or E; without a suffix it is in {unit}"
    )
}

/// A number of bytes in the largest binary unit that it reaches, with as many decimals as `rbd` shows: "4 MiB", "1.5 GiB",
/// "12 MiB".
pub(crate) struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        /// Of the number and the unit with the space before it.
        const WIDTH_MAX: usize = 7;
        let unit = (self.0.checked_ilog2().unwrap_or(0) / 10) as usize;
        let (divisor, unit) = (1_u64 << (10 * unit), UNITS[unit]);
        if self.0.is_multiple_of(divisor) {
            return write!(f, "{} {unit}", self.0 / divisor);
        }
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let number = self.0 as f64 / divisor as f64;
        let with = |decimals: usize| format!("{number:.decimals$} {unit}");
        let fitting = [2, 1].map(with).into_iter().find(|text| text.len() <= WIDTH_MAX);
        f.write_str(&fitting.unwrap_or_else(|| with(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_a_binary_unit() {
        for (text, size) in [
            ("0B", 0),
            ("1k", 1 << 10),
            ("256M", 256 << 20),
            ("1GiB", 1 << 30),
            ("3Ti", 3 << 40),
            ("7E", 7 << 60),
        ] {
            assert_eq!(image_size(text), Ok(size), "{text}");
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn a_plain_image_size_is_in_mebibytes_and_a_plain_object_size_in_bytes() {
        assert_eq!(image_size("10"), Ok(10 << 20));
        assert_eq!(bytes("65536"), Ok(65_536));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_text_and_the_rule() {
        for text in ["", "G", "-1", "1.5G", "1X", "1 G", "0x10", "ten", "1MM"] {
            let error = image_size(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")) && error.contains("whole number"), "{error}");
        }
    }

    #[test]
    fn a_size_that_does_not_fit_64_bits_is_refused() {
        for text in ["16384P", "16E", "99999999999999999999", "18446744073709551615"] {
            assert!(image_size(text).is_err_and(|error| error.contains("largest size")), "{text}");
        }
        assert_eq!(bytes("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn object_sizes_are_powers_of_two_from_4k_to_32m() {
        assert_eq!(order_of_object_size("64K"), Ok(16));
        assert_eq!(order_of_object_size("4096"), Ok(12));
        assert_eq!(order_of_object_size("32M"), Ok(25));
        for text in ["2K", "64M", "3M", "0"] {
            assert!(order_of_object_size(text).is_err_and(|error| error.contains("power of two")), "{text}");
        }
        assert_eq!(order("22"), Ok(22));
        assert!(order("11").is_err() && order("26").is_err() && order("x").is_err());
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_they_reach() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (4 << 20, "4 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 60, "1 EiB"),
            (1152, "1.1 KiB"),
            (3_231_711_232, "3.0 GiB"),
            (12_700_000, "12 MiB"),
        ];
        for (size, text) in cases {
            assert_eq!(Human(size).to_string(), text);
        }
    }
}
