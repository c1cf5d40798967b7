//! Characters that systemd reads as something else, or not at all, wherever they stand in a file.

/// Says for people what makes this character unfit for a line of text, or `None` when systemd keeps it as it is.
///
/// systemd drops a line with a Unicode non-character (`unichar_is_valid` in its utf8.c).
pub(super) fn unfit(character: char) -> Option<String> {
    match character {
        '\n' | '\r' => Some("a line break".to_owned()),
        '\t' => Some("a tab".to_owned()),
        '\0'..='\x1f' | '\x7f' => Some(format!("the control character U+{:04X}", u32::from(character))),
        _ if is_noncharacter(character) => Some(format!("U+{:04X} (not a character)", u32::from(character))),
        _ => None,
    }
}

/// Returns whether Unicode sets this code point aside for ever, so that systemd takes the whole line for broken.
pub(crate) fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfit_is_named() {
        for (character, named) in [
            ('\n', "a line break"),
            ('\r', "a line break"),
            ('\t', "a tab"),
            ('\0', "the control character U+0000"),
            ('\u{7f}', "the control character U+007F"),
            ('\u{fdd0}', "U+FDD0 (not a character)"),
            ('\u{1ffff}', "U+1FFFF (not a character)"),
        ] {
            assert_eq!(unfit(character).as_deref(), Some(named));
        }
        for fit in [' ', '~', '\\', '%', 'ü', '\u{85}', '\u{2028}', '\u{feff}', '\u{fffd}', '\u{1f600}'] {
            assert_eq!(unfit(fit), None, "{fit:?}");
        }
    }
}
