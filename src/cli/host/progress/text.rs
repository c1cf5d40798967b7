//! Text from elsewhere, made fit for a terminal.

/// Returns the text on one line, without characters that steer a terminal or turn the direction of writing.
pub fn harmless(text: &str) -> String {
    let replace = |character: char| match character {
        '\n' | '\t' => ' ',
        _ if character.is_control() || is_directional(character) => '\u{fffd}',
        _ => character,
    };
    text.trim_end().chars().map(replace).collect()
}

/// Whether Unicode calls it a mark, an embedding, an override or an isolate of direction.
fn is_directional(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a number with its noun, such as `3 units`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_steers_a_terminal_is_replaced() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\nc\td\r\u{9b}e\u{202e}f ü\n"),
            "a\u{fffd}[2Jb c d\u{fffd}\u{fffd}e\u{fffd}f ü"
        );
    }
}
