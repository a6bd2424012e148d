//! Durations as people write them: 30s, 500ms, 1m 30s; a plain number is in seconds, as Ceph's options have it.

use std::time::Duration;

/// The error names the text and the rule.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Some(seconds) = text.parse().ok().filter(|seconds: &f64| seconds.is_finite()) {
        return Duration::try_from_secs_f64(seconds).map_err(|_| rule(text));
    }
    humantime::parse_duration(text).map_err(|_| rule(text))
}

/// For what goes to another program, whose times are in whole milliseconds. The error names the text and the rule.
pub(crate) fn whole_milliseconds(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if !span.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("'{text}' is not a whole number of milliseconds"));
    }
    Ok(span)
}

/// The same, where the other program takes 0 for a default.
pub(crate) fn some_milliseconds(text: &str) -> Result<Duration, String> {
    let span = whole_milliseconds(text)?;
    if span.is_zero() {
        return Err(format!("'{text}' is no time: expected 1ms or more"));
    }
    Ok(span)
}

/// Of a span of whole milliseconds; the largest number for one that is too long.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn rule(text: &str) -> String {
    format!("'{text}' is not a duration: expected e.g. 30s, 500ms or 1m 30s; a plain number is in seconds")
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

    #[test]
    fn what_is_cut_off_by_milliseconds_is_refused_with_the_text_and_the_rule() {
        for text in ["1ns", "1500us", "0.0015", "1s 1us"] {
            let error = whole_milliseconds(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")) && error.contains("whole"), "{error}");
        }
        for (text, span_ms) in [("1500000us", 1500), ("0.001", 1), ("1.1", 1100), ("0s", 0)] {
            assert_eq!(whole_milliseconds(text), Ok(Duration::from_millis(span_ms)), "{text}");
        }
    }

    #[test]
    fn no_time_is_refused_where_it_would_be_a_default() {
        for text in ["0s", "0", "0ms"] {
            let error = some_milliseconds(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")) && error.contains("1ms or more"), "{error}");
        }
        assert_eq!(some_milliseconds("1ms"), Ok(Duration::from_millis(1)));
    }
}
