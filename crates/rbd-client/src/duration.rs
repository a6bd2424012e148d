//! Durations as people write them: 30s, 500ms, 1m 30s; a plain number is in seconds, as Ceph's options have it.

use std::time::Duration;

/// The error names the text and the rule.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Some(seconds) = text.parse().ok().filter(|seconds: &f64| seconds.is_finite()) {
        return Duration::try_from_secs_f64(seconds).map_err(|_| rule(text));
    }
    humantime::parse_duration(text).map_err(|_| rule(text))
}

fn rule(text: &str) -> String {
    format!(
        "EINVAL: '{text}' is not a duration: expected e.g. 30s, 500ms or 1m 30s; a plain number is in seconds"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood_and_a_plain_number_is_in_seconds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_text_and_the_rule() {
        for text in ["", "-1", "inf", "1e99", "soon", "5 parsecs"] {
            let error = duration(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")) && error.contains("30s"), "{error}");
        }
    }
}
