//! Problems as data with places in files, and how they are shown.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use codespan_reporting::diagnostic::{Diagnostic as Shown, Label as ShownLabel, LabelStyle, Severity as ShownSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, termcolor};
use serde::Serialize;

use super::check::secrets::{hidden, masked, without_shapes};

pub use super::finding::Severity;

/// A text that a diagnostic may point into.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name that people see: a path, or `<citadel>/…` for the embedded library.
    pub name: String,
    pub text: Arc<str>,
    pub kind: SourceKind,
}

/// Whose text it is; an option is best explained by what stands earlier in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// The user's own.
    Own,
    /// A stack of the module library: values that the user took over by importing it.
    Stack,
    /// Contracts and helpers of the module library, and Nickel's own library.
    Library,
}

/// Longer lines, such as those of generated JSON, are named and not shown.
const LONGEST_LINE: usize = 1000;

/// All texts of one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and returns its number.
    pub fn add(&mut self, source: Source) -> usize {
        self.0.push(source);
        self.0.len() - 1
    }

    /// Returns a text by its number.
    pub fn get(&self, number: usize) -> Option<&Source> {
        self.0.get(number)
    }

    /// Hides what stands in quotes on the lines of a place, since it may be a secret.
    pub fn hide(&mut self, place: &Place) {
        let Some(source) = self.0.get_mut(place.source) else { return };
        let text = &source.text;
        let start = text[..place.range.start.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
        let end = text[place.range.end.min(text.len())..].find('\n').map_or(text.len(), |at| place.range.end + at);
        let mut shown = String::with_capacity(text.len());
        if text[start..end].contains('\n') || text[start..end].contains("%\"") {
            // Such a text may have quotes in it.
            shown.push_str(&hidden(&text[start..end]));
        } else {
            let (mut quoted, mut escaped) = (false, false);
            for character in text[start..end].chars() {
                let ends = character == '"' && !escaped;
                escaped = quoted && character == '\\' && !escaped;
                if quoted && !ends {
                    shown.extend(std::iter::repeat_n('*', character.len_utf8()));
                } else {
                    shown.push(character);
                }
                quoted ^= ends;
            }
        }
        source.text = format!("{}{shown}{}", &text[..start], &text[end..]).into();
    }

    /// Returns the text at a place.
    pub fn text(&self, place: &Place) -> &str {
        self.get(place.source).and_then(|source| source.text.get(place.range.clone())).unwrap_or("")
    }

    /// Shortens a place to its first line: a whole record under a message shows nothing.
    pub fn first_line(&self, place: Place) -> Place {
        let end = self.text(&place).find('\n').map(|at| place.range.start + at);
        Place { range: place.range.start..end.unwrap_or(place.range.end), ..place }
    }

    /// Returns how long the line is that a place begins in, in bytes.
    fn line_length(&self, place: &Place) -> usize {
        let text = self.get(place.source).map_or("", |source| &source.text);
        let (before, behind) = text.split_at_checked(place.range.start).unwrap_or((text, ""));
        let start = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        start + behind.find('\n').unwrap_or(behind.len())
    }

    /// Returns the line and the column of a place, both counted from 1; the column counts characters.
    pub fn line_column(&self, place: &Place) -> (usize, usize) {
        let text = self.get(place.source).map_or("", |source| &source.text);
        let before = text.get(..place.range.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub source: usize,
    /// In bytes.
    pub range: Range<usize>,
}

/// A place with a few words on it.
#[derive(Clone, Debug)]
pub struct Label {
    pub place: Place,
    pub words: String,
}

/// A problem, ready to be shown.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// The first is the cause; the others explain.
    pub labels: Vec<Label>,
    pub notes: Vec<String>,
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Adds a place.
    pub fn at(mut self, place: Place, words: impl Into<String>) -> Self {
        self.labels.push(Label { place, words: words.into() });
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the problem as text for a terminal, with the lines that it points at.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let mut files = SimpleFiles::new();
        for source in &sources.0 {
            files.add(printable(&source.name), printable(&masked(&source.text)));
        }
        let (labels, far): (Vec<&Label>, Vec<&Label>) =
            self.labels.iter().partition(|label| sources.line_length(&label.place) <= LONGEST_LINE);
        let far = far.into_iter().map(|label| {
            let file = sources.get(label.place.source).map_or("", |source| &source.name);
            let (line, column) = sources.line_column(&label.place);
            format!("{file}:{line}:{column}: {}", label.words)
        });
        let notes: Vec<String> = far.chain(self.notes.iter().cloned()).collect();
        let labels = labels.into_iter().enumerate().map(|(at, label)| ShownLabel {
            style: if at == 0 { LabelStyle::Primary } else { LabelStyle::Secondary },
            file_id: label.place.source,
            range: label.place.range.clone(),
            message: printable(&without_shapes(&label.words)),
        });
        let notes = notes.iter().map(|note| ("note", note)).chain(self.help.iter().map(|help| ("help", help)));
        let shown = Shown::new(match self.severity {
            Severity::Error => ShownSeverity::Error,
            Severity::Warning => ShownSeverity::Warning,
        })
        .with_code(self.code)
        .with_message(printable(&without_shapes(&self.message)))
        .with_labels(labels.collect())
        .with_notes(
            notes.map(|(kind, note)| format!("{kind}: {}", indented(&printable(note), kind.len() + 2))).collect(),
        );

        let config = term::Config::default();
        let mut out = Vec::new();
        let written = if colour {
            term::emit_to_write_style(&mut termcolor::Ansi::new(&mut out), &config, &files, &shown)
        } else {
            term::emit_to_write_style(&mut termcolor::NoColor::new(&mut out), &config, &files, &shown)
        };
        match written {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            // A place outside its text; the message still counts.
            Err(_) => format!("error[{}]: {}\n", self.code, printable(&self.message)),
        }
    }

    /// Returns the problem as one JSON value, as `docs/reference/messages.md` describes it.
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        #[derive(Serialize)]
        struct JsonLabel<'a> {
            file: &'a str,
            line: usize,
            column: usize,
            end_line: usize,
            end_column: usize,
            message: Cow<'a, str>,
            primary: bool,
        }
        let labels: Vec<JsonLabel<'_>> = self
            .labels
            .iter()
            .enumerate()
            .map(|(at, label)| {
                let (line, column) = sources.line_column(&label.place);
                let end = Place { source: label.place.source, range: label.place.range.end..label.place.range.end };
                let (end_line, end_column) = sources.line_column(&end);
                let file = sources.get(label.place.source).map_or("", |source| &source.name);
                JsonLabel {
                    file,
                    line,
                    column,
                    end_line,
                    end_column,
                    message: without_shapes(&label.words),
                    primary: at == 0,
                }
            })
            .collect();
        serde_json::json!({
            "type": "diagnostic",
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "code": self.code,
            "message": without_shapes(&self.message),
            "labels": labels,
            "notes": self.notes.iter().map(|note| without_shapes(note)).collect::<Vec<_>>(),
            "help": self.help.as_deref().map(without_shapes),
        })
    }
}

/// Replaces control characters by a byte each, so that no text can steer the terminal and every place stays where it is.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let hidden = character.is_control() && character != '\n' && character != '\t';
            let (shown, times) = if hidden { ('?', character.len_utf8()) } else { (character, 1) };
            std::iter::repeat_n(shown, times)
        })
        .collect()
}

fn indented(text: &str, by: usize) -> String {
    text.replace('\n', &format!("\n{:by$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_without_moving_anything() {
        assert_eq!(printable("a\u{1b}[2J\u{85}b\n"), "a?[2J??b\n");
    }

    #[test]
    fn what_stands_in_quotes_is_hidden_without_moving_anything() {
        let mut sources = Sources::default();
        let text = "a = \"x\",\nb = { c = \"päss\", f = \"\\\"p\\\"q\\\\\", d = 1 },\ne = \"y\"";
        let source = sources.add(Source { name: "a".into(), text: text.into(), kind: SourceKind::Own });
        let start = text.find("\"päss").unwrap_or_default();
        sources.hide(&Place { source, range: start..start + 7 });
        let shown = sources.get(source).map(|source| source.text.to_string());
        assert_eq!(shown.as_deref(), Some("a = \"x\",\nb = { c = \"*****\", f = \"********\", d = 1 },\ne = \"y\""));
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let mut sources = Sources::default();
        let source = sources.add(Source { name: "a".into(), text: "ä\nöx".into(), kind: SourceKind::Own });
        assert_eq!(sources.line_column(&Place { source, range: 5..6 }), (2, 2));
        assert_eq!(sources.line_column(&Place { source, range: 900..900 }), (2, 3));
    }
}
