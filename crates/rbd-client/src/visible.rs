//! Text of others, such as names of images, on a terminal: it neither moves the cursor nor breaks a line.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with its control characters written as escapes: `\n`, `\u{1b}`. Those that turn the direction of text count too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_invisible(character) {
            true => write!(shown, "{}", character.escape_debug()).expect("a String takes all text"),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// The same for a text of several lines, whose line ends stay.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

fn is_invisible(character: char) -> bool {
    let turns_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || turns_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_text_is_shown_as_an_escape() {
        for (text, shown) in [
            ("a\nb", r"a\nb"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b", r"a\u{202e}b"),
            ("tab\t", r"tab\t"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["vm", "Größe e\u{301}", r"back\slash 'quoted'", "日本"] {
            assert!(matches!(visible(text), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }
}
