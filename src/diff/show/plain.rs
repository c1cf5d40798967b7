//! Text that comes from a bundle, made harmless to look at.
//!
//! A bundle may hold anything: sequences that a terminal obeys, characters that turn text round or cannot be seen,
//! megabytes on one line. Every renderer shows text through here, whatever else it escapes.

use std::borrow::Cow;

/// Returns the text with every character that cannot be seen, or that moves others, written like `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => out.push(character),
            '\t' => out.push_str("\\t"),
            // Unicode says what is printable; that is not what is blank, invisible, a direction, or for private use.
            _ => out.extend(character.escape_debug()),
        }
    }
    Cow::Owned(out)
}

/// Returns the text, harmless and cut at this many characters, with a word on how many there are.
pub fn cut(text: &str, most: usize) -> String {
    let shown = visible(text);
    match shown.char_indices().nth(most) {
        None => shown.into_owned(),
        Some((end, _)) => format!("{}… ({} characters in all)", &shown[..end], shown.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, shown) in [
            ("plain \"text\" \\n 'x' ü 模型 😀", "plain \"text\" \\n 'x' ü 模型 😀"),
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\tb\nc\rd", "a\\tb\\nc\\rd"),
            ("\u{202e}abc\u{2066}", "\\u{202e}abc\\u{2066}"),
            ("a\u{200b}b\u{feff}\u{a0}", "a\\u{200b}b\\u{feff}\\u{a0}"),
            ("\u{9b}31m\u{e0041}", "\\u{9b}31m\\u{e0041}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(cut("abcdef", 3), "abc… (6 characters in all)");
        assert_eq!(cut("abc", 3), "abc");
    }

    proptest! {
        #[test]
        fn nothing_is_left_that_a_terminal_obeys(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(char::is_control));
        }
    }
}
