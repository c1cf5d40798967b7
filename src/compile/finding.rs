//! What a check has to say about a profile: data first, text and places in files last.

use std::fmt;

/// The path of an option, such as `services.mixtral.port`, as the names on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionPath(pub Vec<String>);

impl OptionPath {
    /// Returns the path of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        OptionPath(names.into_iter().map(str::to_owned).collect())
    }

    /// Returns the path of an option inside this one; `name` may be several names with points between them.
    pub fn join(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.0.extend(name.split('.').map(str::to_owned));
        path
    }

    /// Returns the path of a member of this dictionary, whose name may have points in it.
    pub fn member(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.0.push(name.to_owned());
        path
    }
}

impl fmt::Display for OptionPath {
    /// Writes the path as a profile would: names that are no identifiers stand in quotes, places in lists in brackets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
                write!(out, "[{name}]")?;
                continue;
            }
            if at > 0 {
                out.write_str(".")?;
            }
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-'".contains(&byte))
                && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            if plain { out.write_str(name)? } else { write!(out, "{name:?}")? }
        }
        Ok(())
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The bundle is not built.
    Error,
    /// The bundle is built, and the summary shows the warning.
    Warning,
}

/// The stable code of a check, such as `C0201`; each has a page in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// One problem, said in terms of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub severity: Severity,
    /// One sentence that says what is wrong, without a full stop.
    pub message: String,
    /// The options that cause it, the most to blame first, each with a few words that stand under its line.
    pub places: Vec<(OptionPath, String)>,
    /// Facts that help to understand it.
    pub notes: Vec<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    /// Returns an error with a message.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Finding {
            code,
            severity: Severity::Error,
            message: message.into(),
            places: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Returns a warning with a message.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds an option that causes it.
    pub fn at(mut self, path: OptionPath, words: impl Into<String>) -> Self {
        self.places.push((path, words.into()));
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Returns the candidate that was probably meant, when one is near enough.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(wrong, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_in_a_profile() {
        let path = OptionPath::new(["services", "web"]).join("health.up").member("a.b");
        assert_eq!(path.to_string(), "services.web.health.up.\"a.b\"");
        assert_eq!(OptionPath::new(["exec", "command", "1"]).to_string(), "exec.command[1]");
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("prot", ["port", "part_of"]), Some("port"));
        assert_eq!(nearest("zzz", ["port"]), None);
    }
}
