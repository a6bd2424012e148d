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

/// The same for a message, in which long words, like a name that is refused for its length, have their beginning and their end.
pub(crate) fn visible_message(text: &str) -> String {
    text.split(' ').map(|word| shortened(&visible(word))).collect::<Vec<_>>().join(" ")
}

/// The same for a message of several lines, whose line ends stay.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible_message).collect::<Vec<_>>().join("\n")
}

/// The longest word that a message repeats whole: as long as a path of a snapshot of the longest names is.
const WORD_CHARACTERS_MAX: usize = 1024;
const BEGINNING_CHARACTERS: usize = 64;
const END_CHARACTERS: usize = 16;

fn shortened(word: &str) -> String {
    let count = word.chars().count();
    if count <= WORD_CHARACTERS_MAX {
        return word.to_owned();
    }
    let beginning: String = word.chars().take(BEGINNING_CHARACTERS).collect();
    let end: String = word.chars().skip(count - END_CHARACTERS).collect();
    format!("{beginning}...({count} characters)...{end}")
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
    fn a_message_repeats_no_long_word_whole() {
        let name = "n".repeat(10_240);
        let shown = visible_message(&format!("info rbd/{name}: it is too long"));
        assert!(shown.len() < 200 && shown.ends_with("n: it is too long"), "{shown}");
        assert!(shown.contains("...(10245 characters)..."), "{shown}");
        let path = "p".repeat(1024);
        assert_eq!(visible_message(&format!("'{}'", &path[2..])), format!("'{}'", &path[2..]));
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["vm", "Größe e\u{301}", r"back\slash 'quoted'", "日本"] {
            assert!(matches!(visible(text), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }
}
