/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 256;

/// Whether the text is a pattern: `*` stands for any text, `?` for one character, everything else for itself. The
/// error is the rule that it breaks.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("a pattern is not empty; leave it out, or write *".to_owned());
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes, as a name"));
    }
    if pattern.contains(['[', ']', '{', '}', '\\']) {
        return Err("only * and ? are wildcards; write ? for a bracket or a backslash in a name".to_owned());
    }
    Ok(())
}

/// Whether it stands for more than one text.
pub(super) fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// In time proportional to both lengths: when the rest does not match, the last `*` takes one character more.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut taken) = (0, 0);
    let mut last_star = None;
    while taken < text.len() {
        match pattern.get(at) {
            Some('*') => {
                last_star = Some((at, taken));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[taken] => {
                at += 1;
                taken += 1;
            }
            _ => {
                let Some((star, from)) = last_star else { return false };
                last_star = Some((star, from + 1));
                at = star + 1;
                taken = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        let cases = [
            ("rbd_data.*", "rbd_data.10ab.0000000000000000", true),
            ("rbd_data.*", "rbd_header.10ab", false),
            ("*", "", true),
            ("*.*0", "a.10.20", true),
            ("*ab", "aab", true),
            ("a*b*c", "a__b_b", false),
            ("lock.?nlock", "lock.unlock", true),
            ("?", "", false),
            ("?", "ü", true),
            ("write", "write_full", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(256)));
    }

    #[test]
    fn what_other_tools_take_as_wildcards_is_refused() {
        for pattern in ["", "rbd_data.[0-9]", "{a,b}", "a\\*", &"x".repeat(257)] {
            check(pattern).expect_err(pattern);
        }
    }
}
