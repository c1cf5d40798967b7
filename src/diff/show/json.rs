//! A diff for programs. `diff.schema.json` describes it.

use serde::Serialize;

use crate::diff::model::Diff;

/// The version of this format.
pub const VERSION: u32 = 1;

/// All that was compared.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "What `citadel diff --format json` writes"))]
pub struct Report<'a> {
    /// Always `diff`.
    pub r#type: &'static str,
    /// The version of this format; it grows when something is no longer there or means something else.
    pub version: u32,
    /// One for each profile; those without changes too.
    pub diffs: &'a [Diff],
}

/// Returns diffs as JSON: on one line, or with indentation.
pub fn render(diffs: &[Diff], pretty: bool) -> String {
    let report = Report { r#type: "diff", version: VERSION, diffs };
    let written = if pretty { serde_json::to_string_pretty(&report) } else { serde_json::to_string(&report) };
    // All keys are text and all numbers are finite, so there is nothing that JSON could not say.
    harmless(&written.unwrap_or_default())
}

/// Returns JSON in which characters that a terminal obeys, or that cannot be seen, are escaped. They stand only inside of
/// strings, where an escape means the same.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let seen = character == '\n' || character.escape_debug().len() == 1 || matches!(character, '"' | '\'' | '\\');
        if seen {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        let text = "a\u{9b}\u{202e}\u{e0041}\u{7f}ü\"";
        let written = harmless(&serde_json::to_string(text).unwrap());
        assert_eq!(written, r#""a\u009b\u202e\udb40\udc41\u007fü\"""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
