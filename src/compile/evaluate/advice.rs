//! What to do about an error that Nickel itself reports: its messages say what it saw, and seldom what to write.

use super::library;
use crate::compile::diagnostic::{Diagnostic, Label, Place, Sources};
use crate::compile::finding::nearest;

/// What the file of a profile looks like.
pub const SKELETON: &str = "write `let citadel = import \"citadel/lib.ncl\" in { … } | citadel.Profile`";

/// Adds to an error of Nickel's what to write instead, as far as its text tells.
pub fn advise(mut diagnostic: Diagnostic, sources: &Sources) -> Diagnostic {
    let place = diagnostic.labels.first().map(|label| label.place.clone());
    let text = place.as_ref().and_then(|place| sources.get(place.source)).map_or("", |source| &source.text);
    diagnostic.notes.retain(|note| match note.strip_prefix("Did you mean ") {
        Some(name) => {
            diagnostic.help = Some(format!("did you mean {name}"));
            false
        }
        None => true,
    });
    if let Some((callee, reason)) = diagnostic.message.split_once('\n')
        && let Some(callee) = callee.strip_prefix("contract broken by the caller of ")
    {
        diagnostic.message = format!("an argument of {callee} is wrong: {}", reason.trim());
        return diagnostic;
    }
    if diagnostic.message.starts_with("unexpected end of file") {
        diagnostic.message = "unexpected end of the file".to_owned();
        if text.trim().is_empty() {
            return diagnostic.help(SKELETON);
        }
        return with_cause(diagnostic, place.and_then(|place| unclosed(text, &place)));
    }
    match diagnostic.message.as_str() {
        "unexpected token" | "json parse error: expected a comma (,)" => {
            let cause = place.and_then(|place| end_without_comma(text, &place).or_else(|| unclosed(text, &place)));
            with_cause(diagnostic, cause)
        }
        "invalid contract expression" => {
            diagnostic.help("a single `:` or `|` is followed by a type or a contract; a value stands behind `=`")
        }
        "not a function" => diagnostic.help("a comma or an operator is missing between the two"),
        message => match message.strip_prefix("unbound identifier `").and_then(|rest| rest.strip_suffix('`')) {
            Some(name) => {
                let help = match nearest(name, names_defined_in(text).filter(|known| *known != name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("a tag is written `'{name}`, and a text `\"{name}\"`"),
                };
                diagnostic.help(help)
            }
            None => diagnostic,
        },
    }
}

/// A mistake in front of the place where Nickel noticed it.
struct Cause {
    place: Place,
    words: &'static str,
    help: &'static str,
}

fn with_cause(mut diagnostic: Diagnostic, cause: Option<Cause>) -> Diagnostic {
    let Some(Cause { place, words, help }) = cause else {
        return diagnostic.help("look in front of it for a missing comma, bracket or quote");
    };
    if let Some(label) = diagnostic.labels.first_mut().filter(|label| label.words.is_empty()) {
        label.words = "noticed here".to_owned();
    }
    diagnostic.labels.insert(0, Label { place, words: words.to_owned() });
    diagnostic.help(help)
}

/// Returns an error about an import that leads nowhere; `path` is what the profile imports, from the file at `place`.
pub fn no_import(code: &'static str, path: &str, reason: &str, place: Option<Place>, beside: &[String]) -> Diagnostic {
    let reason = match reason.starts_with("could not find import") {
        true => "there is no such file",
        false => reason.split(" (os error").next().unwrap_or(reason),
    };
    let mut found = Diagnostic::error(code, format!("cannot import `{path}`: {reason}"));
    if let Some(place) = place {
        found = found.at(place, "imported here");
    }
    let library = library::FILES.iter().map(|(name, _)| *name);
    match nearest(path, beside.iter().map(String::as_str).chain(library)) {
        Some(near) => found.help(format!("did you mean `{near}`?")),
        None => found.help("write the path as seen from the file that imports it, or `citadel/…` for the library"),
    }
}

/// Returns the end of the line before an error, when an option begins behind it and it has no comma.
fn end_without_comma(text: &str, error: &Place) -> Option<Cause> {
    let before = text.get(..error.range.start)?;
    let line_start = before.rfind('\n')? + 1;
    let begins_option =
        before[line_start..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b" \t_-.'\"".contains(&byte));
    let above = before[..line_start].trim_end();
    let ends_option = !above.ends_with([',', '{', '[', '(', '=', '&', '|', '>', '+', '@'])
        && !above.ends_with(" in")
        && !above.rsplit('\n').next().unwrap_or_default().trim_start().starts_with('#');
    let last = above.chars().next_back()?;
    (begins_option && ends_option).then(|| Cause {
        place: Place { source: error.source, range: above.len() - last.len_utf8()..above.len() },
        words: "a comma is probably missing behind this",
        help: "write a comma between two options",
    })
}

/// Returns the quote or bracket in front of an error that is probably never closed: a text that goes over several lines,
/// a bracket that another kind closes, or one that is closed further to the left than its line begins.
fn unclosed(text: &str, error: &Place) -> Option<Cause> {
    let text = text.get(..error.range.end.min(text.len()))?;
    let cause =
        |at: usize, words, help| Cause { place: Place { source: error.source, range: at..at + 1 }, words, help };
    let quote = |at| cause(at, "this quote is probably never closed", "close the text with a quote in the same line");
    let bracket = |at| cause(at, "this bracket is probably never closed", "close it where what it contains ends");
    let line_of = |at: usize| &text[text[..at].rfind('\n').map_or(0, |before| before + 1)..];
    let indent = |at: usize| line_of(at).len() - line_of(at).trim_start_matches(' ').len();
    let mut open: Vec<(usize, u8)> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => at += text[at..].find('\n').unwrap_or(text.len() - at),
            b'"' if at > 0 && bytes[at - 1] == b'%' => {
                let signs = text[..at].len() - text[..at].trim_end_matches('%').len();
                let end = format!("\"{}", "%".repeat(signs));
                at += text[at + 1..].find(&end).map_or(text.len(), |length| length + 1 + signs);
            }
            b'"' => {
                let inside = &bytes[at + 1..];
                let is_end = |end: usize| inside[end] == b'"' && (end == 0 || inside[end - 1] != b'\\');
                let end = (0..inside.len()).find(|end| is_end(*end)).unwrap_or(inside.len());
                if inside[..end].contains(&b'\n') {
                    return Some(quote(at));
                }
                at += end + 1;
            }
            kind @ (b'{' | b'[' | b'(') => open.push((at, kind)),
            kind @ (b'}' | b']' | b')') => {
                let (opened, opener) = open.pop()?;
                let fits = matches!((opener, kind), (b'{', b'}') | (b'[', b']') | (b'(', b')'));
                let starts_line = line_of(at).trim_start().len() == text.len() - at;
                if !fits || (starts_line && indent(at) < indent(opened)) {
                    return Some(bracket(opened));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns the names that a text gives to something: those in front of `=` and the arguments of functions.
fn names_defined_in(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let named = text.split('=').map(move |part| {
        let part = part.trim_end();
        let start = part.rfind(|char: char| !is_name(char)).map_or(0, |at| at + 1);
        part.get(start..).unwrap_or_default()
    });
    let arguments = text.match_indices("fun ").map(move |(at, _)| {
        let rest = text[at + 4..].trim_start();
        &rest[..rest.find(|char: char| !is_name(char)).unwrap_or(rest.len())]
    });
    named.chain(arguments).filter(|name| !name.is_empty())
}
