//! Texts for people that stay short, whatever a client sent.

use std::borrow::Cow;
use std::fmt::Display;

use crate::limits::NAME_BYTES_MAX;

/// A name as texts show it: whole as long as it keeps to its limit.
pub fn shown(name: &str) -> Cow<'_, str> {
    beginning(name, NAME_BYTES_MAX)
}

/// At most so many bytes of a text; one that is cut says how long it was.
pub(crate) fn beginning(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let end = (0..=bytes_max).rfind(|&end| text.is_char_boundary(end)).unwrap_or(0);
    Cow::Owned(format!("{}... ({} bytes)", &text[..end], text.len()))
}

/// At most so many items of a list: "3, 2 and 4093 more".
pub(crate) fn few<T: Display>(items: impl ExactSizeIterator<Item = T>, max: usize) -> String {
    let more = items.len().saturating_sub(max);
    let listed = items.take(max).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_its_length() {
        assert_eq!(beginning("name", 4), "name");
        assert_eq!(beginning("names", 4), "name... (5 bytes)");
        assert_eq!(beginning("größe", 3), "gr... (7 bytes)");
    }

    #[test]
    fn a_long_list_says_how_much_it_leaves_out() {
        assert_eq!(few([3, 2].iter(), 2), "3, 2");
        assert_eq!(few([3, 2, 1].iter(), 2), "3, 2 and 1 more");
        assert_eq!(few([0; 0].iter(), 2), "");
    }
}
