//! Reading unit files the way systemd does (`config_parse` in its conf-parser.c).

use std::borrow::Cow;

use super::{Entry, Section, UnitFile};
use crate::bundle::characters::is_noncharacter;

/// systemd gives the whole file up at a line this long, continued lines counted together.
const LONGEST_LINE: usize = 1 << 20;
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Where and why a text is not a unit file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl UnitFile {
    /// Reads a unit file: sections, assignments, comments and continued lines.
    ///
    /// What systemd would skip with a warning, a line without `=` for instance, is an error.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut sections: Vec<Section> = Vec::new();
        for (line, text) in logical_lines(text)? {
            let wrong = |message: &str| Err(ParseError { line, message: message.to_owned() });
            let text = text.trim_matches(BLANKS);
            if !text.is_ascii() && text.chars().any(is_noncharacter) {
                return wrong("systemd skips a line with a code point that is no character; remove it");
            }
            if let Some(header) = text.strip_prefix('[') {
                match header.strip_suffix(']') {
                    Some(name) if is_section_name(name) => {
                        sections.push(Section { name: name.to_owned(), entries: Vec::new() });
                    }
                    _ => return wrong("a section is written like [Service]"),
                }
                continue;
            }
            let Some((key, value)) = text.split_once('=') else {
                return wrong("neither a [Section] nor a Key=value");
            };
            let (key, value) = (key.trim_end_matches(BLANKS), value.trim_start_matches(BLANKS));
            if key.is_empty() {
                return wrong("there is no key before the \"=\"");
            }
            let Some(section) = sections.last_mut() else {
                return wrong("an assignment before the first [Section]");
            };
            section.entries.push(Entry { key: key.to_owned(), value: value.to_owned() });
        }
        Ok(UnitFile { sections })
    }

    /// Returns the assignments of a section in order, those of a section that is written in several places together.
    pub fn section<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Entry> {
        self.sections.iter().filter(move |section| section.name == name).flat_map(|section| &section.entries)
    }

    /// Returns the values assigned to a key in order, empty ones that reset a list included.
    pub fn values<'a>(&'a self, section: &str, key: &str) -> impl Iterator<Item = &'a str> {
        self.section(section).filter(move |entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// Returns what counts for a directive that takes one value: the last assignment, unless it is empty.
    pub fn value<'a>(&'a self, section: &str, key: &str) -> Option<&'a str> {
        self.values(section, key).last().filter(|value| !value.is_empty())
    }
}

/// systemd's `string_is_safe`.
fn is_section_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|character| character.is_ascii_control() || "\"'\\".contains(character))
}

/// Returns the lines that mean something, continued ones joined, each with the number of its first line.
fn logical_lines(text: &str) -> Result<Vec<(usize, Cow<'_, str>)>, ParseError> {
    let mut lines = Vec::new();
    let mut begun: Option<(usize, Cow<'_, str>)> = None;
    let mut mark = Some('\u{feff}');
    for (index, physical) in physical_lines(text).enumerate() {
        if physical.trim_start_matches(BLANKS).starts_with(['#', ';']) {
            continue;
        }
        let physical = match mark.and_then(|mark| physical.strip_prefix(mark)) {
            Some(behind) => {
                mark = None;
                behind
            }
            None => physical,
        };
        let (line, mut joined) = begun.take().unwrap_or((index + 1, Cow::Borrowed("")));
        if joined.len() + physical.len() >= LONGEST_LINE {
            return Err(ParseError { line, message: "longer than 1 MiB, which systemd does not read".to_owned() });
        }
        joined += physical;
        if joined.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
            let joined_up = joined.to_mut();
            joined_up.pop();
            joined_up.push(' ');
            begun = Some((line, joined));
        } else {
            lines.push((line, joined));
        }
    }
    lines.extend(begun);
    lines.retain(|(_, line)| !line.trim_matches(BLANKS).is_empty());
    Ok(lines)
}

/// Splits at `\n`, `\r` and NUL; a run in which each stands at most once is one line end, and a NUL is its last.
fn physical_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.bytes().position(|byte| b"\n\r\0".contains(&byte)) else {
            rest = None;
            return (!text.is_empty()).then_some(text);
        };
        let bytes = text.as_bytes();
        let mut next = end + 1;
        while next < bytes.len()
            && bytes[next - 1] != 0
            && b"\n\r\0".contains(&bytes[next])
            && !bytes[end..next].contains(&bytes[next])
        {
            next += 1;
        }
        rest = Some(&text[next..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> UnitFile {
        UnitFile::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn sections_and_assignments_keep_their_order() {
        let unit = parsed("\u{feff}[Unit]\n Description = a = b \n\n[Service]\nA=1\nA=\nA=2\r\n[Unit]\nAfter=x.target");
        let names: Vec<_> = unit.sections.iter().map(|section| &*section.name).collect();
        assert_eq!(names, ["Unit", "Service", "Unit"]);
        assert_eq!(unit.value("Unit", "Description"), Some("a = b"));
        assert_eq!(unit.value("Unit", "After"), Some("x.target"));
        assert_eq!(unit.values("Service", "A").collect::<Vec<_>>(), ["1", "", "2"]);
        assert_eq!(unit.section("Unit").count(), 2);
        assert_eq!(unit.value("Service", "B"), None);
    }

    #[test]
    fn an_empty_assignment_counts_as_none() {
        assert_eq!(parsed("[A]\nB=1\nB=").value("A", "B"), None);
    }

    #[test]
    fn continued_lines_are_joined_around_comments() {
        for (text, value) in [
            ("B=a\\\nb", "a b"),
            ("B=a \\\n# no\\\n; no\n  b", "a    b"),
            ("B=a\\\\\nC=d", "a\\\\"),
            ("B=a\\\\\\\nb", "a\\\\ b"),
            ("B=a\\\r\nb", "a b"),
            ("B=a\\\n\nC=d", "a"),
            ("B=a\\\n#\n\0b", "a b"),
            ("B=a\\\n#\0\n[b]", "a"),
            ("B=a\\", "a"),
            ("B=a\rC=d", "a"),
            ("B=a\0C=d", "a"),
        ] {
            assert_eq!(parsed(&format!("[A]\n{text}")).value("A", "B"), Some(value), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, message) in [
            ("[A]\n# x\ngarbage\n", 3, "neither a [Section] nor a Key=value"),
            ("B=1", 1, "an assignment before the first [Section]"),
            ("[A]\n\n=1", 3, "there is no key before the \"=\""),
            ("[A", 1, "a section is written like [Service]"),
            ("[]", 1, "a section is written like [Service]"),
            ("[A]\nB=\\\n1\n[\"x\"]", 4, "a section is written like [Service]"),
            ("[A]\nB\\\n1", 2, "neither a [Section] nor a Key=value"),
            ("[A]\nB=\u{fffe}", 2, "systemd skips a line with a code point that is no character; remove it"),
        ] {
            let error = ParseError { line, message: message.to_owned() };
            assert_eq!(UnitFile::parse(text), Err(error), "{text:?}");
        }
        let long = format!("[A]\nB={}\\\n{}", "x".repeat(600_000), "y".repeat(600_000));
        assert_eq!(UnitFile::parse(&long).map_err(|error| error.line), Err(2));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(\\[|\\]|=|A|\\\\|\n|\r|\0|#|;| |\u{feff}|\u{fffe}|é){0,24}") {
            let _ = UnitFile::parse(&text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = UnitFile::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
