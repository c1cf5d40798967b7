//! Values of directives, and how each kind is written so that systemd reads back exactly what was meant.

use super::UnitName;
use super::escape::{self, Variables};
use crate::bundle::quantity::{Size, Span};

/// A value by the type that systemd reads it as.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Number(u64),
    Signed(i64),
    Percent(u64),
    Time(Span),
    Bytes(Size),
    /// A word that citadel itself chose or that was checked before: an enumeration, `infinity`, a user, a mode.
    Word(String),
    /// Words that cannot contain blanks: groups of system calls, capabilities, address families, networks.
    Words(Vec<String>),
    Units(Vec<UnitName>),
    /// One path that systemd neither splits nor unquotes (`WorkingDirectory=`, `EnvironmentFile=`).
    Path(String),
    /// Paths in a list that systemd splits and unquotes (`ReadWritePaths=`), and of which a missing one is no error when `optional`.
    Paths {
        paths: Vec<String>,
        optional: bool,
    },
    /// One line of text for people (`Description=`, `SyslogIdentifier=`).
    Text(String),
    /// A program with its arguments; nothing in it is expanded.
    Command(Vec<String>),
    /// A program with its arguments in which `$MAINPID` is expanded; citadel chose every argument that has a `$`.
    CommandWithVariables(Vec<String>),
    /// `LoadCredential=`: the name of the credential and the file that it comes from.
    Credential {
        id: String,
        path: String,
    },
    /// Text from a raw unit, written as it is; only line breaks and the like are refused.
    Raw(String),
}

/// Why a value cannot be written into a unit file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Value {
    /// Returns the text behind the `=`, or why there is none that systemd would read back as this value.
    pub fn encode(&self) -> Result<String, Refusal> {
        escape::fits_a_line(match self {
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Signed(number) => number.to_string(),
            Value::Percent(number) => format!("{number}%"),
            Value::Time(span) => span.to_string(),
            Value::Bytes(size) => size.to_string(),
            Value::Word(word) => escape::word(word)?,
            Value::Words(words) => escape::words(words)?,
            Value::Units(units) => escape::names(units)?,
            Value::Path(path) => escape::path(path)?,
            Value::Paths { paths, optional } => escape::paths(paths, *optional)?,
            Value::Text(text) => escape::text(text)?,
            Value::Command(argv) => escape::command(argv, Variables::Literal)?,
            Value::CommandWithVariables(argv) => escape::command(argv, Variables::Expanded)?,
            Value::Credential { id, path } => escape::credential(id, path)?,
            Value::Raw(text) => escape::raw(text)?,
        })
    }
}

/// Reads a boolean as systemd does.
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn strings(members: &[&str]) -> Vec<String> {
        members.iter().map(|member| (*member).to_owned()).collect()
    }

    fn written(value: Value) -> String {
        value.encode().unwrap_or_else(|refusal| panic!("{value:?}: {refusal}"))
    }

    fn refused(value: Value) -> String {
        match value.encode() {
            Ok(text) => panic!("{value:?} is written as {text:?}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn plain_types() {
        let unit = UnitName::parse("citadel-phi3@0\\x2d1.service").unwrap();
        for (value, text) in [
            (Value::Bool(true), "yes"),
            (Value::Bool(false), "no"),
            (Value::Number(u64::MAX), "18446744073709551615"),
            (Value::Signed(-500), "-500"),
            (Value::Percent(800), "800%"),
            (Value::Time(Span::seconds(90)), "90s"),
            (Value::Time(Span(Duration::ZERO)), "0ms"),
            (Value::Bytes(Size(3 << 29)), "1536M"),
            (Value::Word("append:/var/log/a.log".to_owned()), "append:/var/log/a.log"),
            (Value::Words(strings(&["~@mount", "CAP_SYS_NICE", "[::1]:80"])), "~@mount CAP_SYS_NICE [::1]:80"),
            (Value::Units(vec![unit.clone(), unit]), "citadel-phi3@0\\x2d1.service citadel-phi3@0\\x2d1.service"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn text_is_kept_but_for_specifiers() {
        for (text, encoded) in [
            ("100% \"sure\" #1; it's $HOME", "100%% \"sure\" #1; it's $HOME"),
            ("a\\x25b", "a\\x25b"),
            ("# = [Unit]", "# = [Unit]"),
        ] {
            assert_eq!(written(Value::Text(text.to_owned())), encoded);
        }
    }

    #[test]
    fn text_that_systemd_would_change_is_refused() {
        for (text, message) in [
            ("", "an empty text unsets the directive; leave the directive out"),
            ("a\nUser=root", "a line break cannot stand in one line of text; remove it"),
            ("a\rUser=root", "a line break cannot stand in one line of text; remove it"),
            ("a\tb", "a tab cannot stand in one line of text; remove it"),
            ("a\0b", "the control character U+0000 cannot stand in one line of text; remove it"),
            ("a\u{fffe}b", "U+FFFE (not a character) cannot stand in one line of text; remove it"),
            (" a", "a blank at the start or the end would be lost; remove it"),
            ("a ", "a blank at the start or the end would be lost; remove it"),
            ("a\\", "a backslash at the end would join the next line; remove it"),
        ] {
            assert_eq!(refused(Value::Text(text.to_owned())), message);
        }
        assert!(refused(Value::Text("a".repeat(1 << 20))).contains("too long"));
    }

    #[test]
    fn words_hold_nothing_that_systemd_interprets() {
        for word in ["", "a b", "a\tb", "\"a\"", "'a'", "a\\b", "%n", "$A", "a;b", "#", "ü"] {
            refused(Value::Word(word.to_owned()));
            refused(Value::Words(strings(&["fine", word])));
        }
        assert_eq!(refused(Value::Words(vec![])), "an empty list resets the directive; leave the directive out");
        assert_eq!(refused(Value::Units(vec![])), "an empty list resets the directive; leave the directive out");
    }

    #[test]
    fn a_single_path_is_never_quoted() {
        for (path, text) in
            [("/", "/"), ("/srv/my models/100%", "/srv/my models/100%%"), ("/a \"b\" 'c", "/a \"b\" 'c")]
        {
            assert_eq!(written(Value::Path(path.to_owned())), text);
        }
        for path in
            ["", "a", "~", "-/a", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/a ", "/a\\", "/a*", "/a[b]", "/a\nb"]
        {
            refused(Value::Path(path.to_owned()));
        }
        refused(Value::Path(format!("/{}", "a".repeat(256))));
        refused(Value::Path("/a".repeat(2048)));
    }

    #[test]
    fn listed_paths_are_quoted_where_needed() {
        let paths = strings(&["/var/cache/citadel", "/my models", "/a\"b\\c", "/a:b", "/50%", "/ends in \\", "/ "]);
        assert_eq!(
            written(Value::Paths { paths: paths.clone(), optional: true }),
            r#"-/var/cache/citadel "-/my models" "-/a\"b\\c" "-/a:b" -/50%% "-/ends in \\" "-/ ""#
        );
        assert!(written(Value::Paths { paths, optional: false }).starts_with("/var/cache/citadel \"/my models\""));
        refused(Value::Paths { paths: vec![], optional: false });
        refused(Value::Paths { paths: strings(&["/a", "b"]), optional: false });
    }

    #[test]
    fn arguments_reach_the_program_as_they_are() {
        let argv =
            strings(&["/opt/my env/bin/vllm", "serve", "", ";", "a b", "$HOME 5%", "\"\\'", "a\nb\tc\r\x1b", "ü"]);
        assert_eq!(
            written(Value::Command(argv)),
            r#""/opt/my env/bin/vllm" serve "" ";" "a b" "$$HOME 5%%" "\"\\'" "a\nb\tc\x0d\x1b" "ü""#
        );
        assert_eq!(
            written(Value::CommandWithVariables(strings(&["/bin/kill", "-HUP", "$MAINPID"]))),
            "/bin/kill -HUP $MAINPID"
        );
    }

    #[test]
    fn a_program_is_an_absolute_path_without_tricks() {
        for program in
            ["", "vllm", "-/bin/a", "@/bin/a", "!/bin/a", "/bin/$a", "/bin/a'b", "/bin/a\\b", "/bin/a\nb", "/", "/a/"]
        {
            refused(Value::Command(strings(&[program, "argument"])));
        }
        assert_eq!(refused(Value::Command(vec![])), "a command needs a program; write its absolute path first");
        assert_eq!(
            refused(Value::Command(strings(&["/bin/a", "b\0"]))),
            "the control character U+0000 cannot stand in an argument; remove it"
        );
        refused(Value::Command(vec!["/bin/a".to_owned(), "a".repeat(128 * 1024)]));
        refused(Value::Command(
            vec!["/bin/a".to_owned(), "%".repeat(128 * 1024 - 1)].into_iter().cycle().take(12).collect(),
        ));
    }

    #[test]
    fn credentials_are_a_name_and_a_path() {
        let credential = |id: &str, path: &str| Value::Credential { id: id.to_owned(), path: path.to_owned() };
        assert_eq!(written(credential("hf-token", "/etc/credstore/a b%")), "hf-token:/etc/credstore/a b%%");
        for (id, path) in
            [("", "/a"), ("a:b", "/a"), ("a/b", "/a"), ("..", "/a"), ("a", "b"), ("a", "/b "), ("a", "/b\n")]
        {
            refused(credential(id, path));
        }
    }

    #[test]
    fn raw_text_stays_one_line() {
        for text in ["", "a\tb", "%i \\x20 \"", "a\\\\"] {
            assert_eq!(written(Value::Raw(text.to_owned())), text);
        }
        for text in ["a\nb", "a\rb", "a\0", "a\\", "a\\\\\\", "\u{fdd0}"] {
            refused(Value::Raw(text.to_owned()));
        }
    }
}
