//! Environment files, as `EnvironmentFile=` reads them.
//!
//! No comment is ever written: a comment that ends in a backslash would swallow the line behind it.

use super::characters::unfit;
use super::unit::{ParseError, Refusal};

/// The kernel's `MAX_ARG_STRLEN`: a program cannot be started with a longer `NAME=value`.
const LONGEST_ASSIGNMENT: usize = 128 * 1024 - 1;

/// Returns the file in which systemd reads these variables, one `NAME="value"` each in the given order.
pub fn encode_env_file<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<String, Refusal> {
    let mut file = String::new();
    for (name, value) in pairs {
        if !is_name(name) {
            return Err(Refusal(format!(
                "{name:?} cannot name a variable; use letters, digits and \"_\", and no digit first"
            )));
        }
        let unfit = value.chars().filter(|character| !matches!(character, '\n' | '\t')).find_map(unfit);
        if let Some(what) = unfit {
            return Err(Refusal(format!("{what} cannot stand in the variable {name}; remove it")));
        }
        if name.len() + 1 + value.len() > LONGEST_ASSIGNMENT {
            return Err(Refusal(format!(
                "the variable {name} has {} bytes, more than a program can be started with; put it into a file",
                value.len()
            )));
        }
        file.push_str(name);
        file.push_str("=\"");
        for character in value.chars() {
            if is_escaped_in_quotes(character) {
                file.push('\\');
            }
            file.push(character);
        }
        file.push_str("\"\n");
    }
    Ok(file)
}

/// Reads back what [`encode_env_file`] wrote, and nothing else that systemd would accept.
pub fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, ParseError> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let wrong = |message: &str| ParseError { line, message: message.to_owned() };
        let (name, behind) = rest.split_once("=\"").ok_or_else(|| wrong("not of the form NAME=\"value\""))?;
        if !is_name(name) {
            return Err(wrong("not the name of a variable"));
        }
        let (value, behind) = quoted_value(behind).ok_or_else(|| wrong("the value is not closed with a quote"))?;
        rest = behind.strip_prefix('\n').ok_or_else(|| wrong("text behind the closing quote"))?;
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

/// Splits at the closing quote; returns the value without escapes, and what stands behind the quote.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next().map(|(_, escaped)| escaped).filter(|c| is_escaped_in_quotes(*c))?),
            _ => value.push(character),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(fits) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The characters that keep a backslash of their own within double quotes (systemd's `SHELL_NEED_ESCAPE`).
fn is_escaped_in_quotes(character: char) -> bool {
    matches!(character, '"' | '\\' | '$' | '`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_quoted() {
        let pairs = [("HF_HOME", "/var/cache/hf"), ("_A1", "a \"b\" \\ $c `d` #e\nf\tg"), ("EMPTY", "")];
        assert_eq!(
            encode_env_file(pairs).as_deref(),
            Ok("HF_HOME=\"/var/cache/hf\"\n_A1=\"a \\\"b\\\" \\\\ \\$c \\`d\\` #e\nf\tg\"\nEMPTY=\"\"\n")
        );
        assert_eq!(encode_env_file([]).as_deref(), Ok(""));
    }

    #[test]
    fn what_systemd_drops_is_refused() {
        for name in ["", "1A", "A-B", "A B", "É", "A=", "A\n"] {
            assert!(encode_env_file([(name, "x")]).is_err(), "{name:?}");
        }
        for value in ["a\rb", "a\0b", "\x1b[0m", "\u{7f}", "\u{fffe}"] {
            assert!(encode_env_file([("A", value)]).is_err(), "{value:?}");
        }
        assert!(encode_env_file([("A", &*"x".repeat(128 * 1024))]).is_err());
        assert_eq!(
            encode_env_file([("A", "x\r")]).map_err(|refusal| refusal.to_string()),
            Err("a line break cannot stand in the variable A; remove it".to_owned())
        );
    }

    #[test]
    fn a_file_of_another_hand_is_not_read() {
        for (text, line) in
            [("A=b\n", 1), ("A=\"b\"\n# no\n", 2), ("A=\"\n\"\nB=\"", 3), ("A=\"\\n\"\n", 1), ("A=\"b\"", 1)]
        {
            assert_eq!(parse_env_file(text).map_err(|error| error.line), Err(line), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_inverts_writing(values in prop::collection::vec("[\n\t -~\u{80}-\u{2ff}]*", 0..4)) {
            let pairs: Vec<_> = ["A", "B_C", "_d", "E9"].into_iter().map(str::to_owned).zip(values).collect();
            let file = encode_env_file(pairs.iter().map(|(name, value)| (&**name, &**value))).unwrap();
            prop_assert_eq!(parse_env_file(&file).unwrap(), pairs);
        }

        #[test]
        fn reading_never_panics(text in "(A|=|\"|\\\\|\n|\r|ü|\0){0,12}") {
            let _ = parse_env_file(&text);
        }
    }
}
