//! The ways of writing text into a unit file, one function for each way in which systemd reads it.

use super::{Refusal, UnitName};
use crate::bundle::characters::{is_noncharacter, unfit};

/// systemd refuses the whole file when a line reaches 1 MiB; the key and the `=` get what is left.
const LONGEST_VALUE: usize = (1 << 20) - 1024;
/// The kernel's `MAX_ARG_STRLEN`: a program cannot be started with a longer argument.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;
/// The kernel's `PATH_MAX` and `NAME_MAX`, which systemd checks too.
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 255;

pub(super) type Encoded = Result<String, Refusal>;

fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

/// Passes a value on unless its line would be too long for systemd.
pub(super) fn fits_a_line(value: String) -> Encoded {
    if value.len() > LONGEST_VALUE {
        return refuse(format!("{} bytes are too long for one line of a unit file; shorten it", value.len()));
    }
    Ok(value)
}

fn no_unfit_characters(text: &str, place: &str) -> Result<(), Refusal> {
    match text.chars().find_map(unfit) {
        Some(what) => refuse(format!("{what} cannot stand in {place}; remove it")),
        None => Ok(()),
    }
}

/// Writes text that systemd takes as it is, up to specifiers.
pub(super) fn text(text: &str) -> Encoded {
    if text.is_empty() {
        return refuse("an empty text unsets the directive; leave the directive out");
    }
    no_unfit_characters(text, "one line of text")?;
    if text.starts_with(' ') || text.ends_with(' ') {
        return refuse("a blank at the start or the end would be lost; remove it");
    }
    if text.ends_with('\\') {
        return refuse("a backslash at the end would join the next line; remove it");
    }
    Ok(text.replace('%', "%%"))
}

/// Writes text that somebody else encoded already; only what would end the line or join the next one is refused.
pub(super) fn raw(text: &str) -> Encoded {
    no_unfit_characters(&text.replace('\t', " "), "one line of a unit file")?;
    if text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
        return refuse("a backslash at the end would join the next line; remove it");
    }
    Ok(text.to_owned())
}

/// Writes a word that means the same with and without unquoting, unescaping and specifiers.
pub(super) fn word(word: &str) -> Encoded {
    if word.is_empty() {
        return refuse("an empty word unsets the directive; leave the directive out");
    }
    let safe = |character: char| character.is_ascii_alphanumeric() || "_-.:/@~+,=*!?()[]<>|^&".contains(character);
    match word.chars().find(|character| !safe(*character)) {
        Some(' ') => refuse(format!("a blank cannot stand in the word {word:?}; write several words")),
        Some(wrong) => refuse(format!("{wrong:?} cannot stand in the word {word:?}; remove it")),
        None => Ok(word.to_owned()),
    }
}

/// Writes words with a blank between them.
pub(super) fn words(words: &[String]) -> Encoded {
    list(words.iter().map(|word| self::word(word)))
}

/// Writes names of units, in which nothing needs care.
pub(super) fn names(units: &[UnitName]) -> Encoded {
    list(units.iter().map(|unit| Ok(unit.to_string())))
}

/// Joins the members of a list, which must not be empty because an empty assignment means something else.
fn list(members: impl Iterator<Item = Encoded>) -> Encoded {
    let joined = members.collect::<Result<Vec<_>, _>>()?.join(" ");
    if joined.is_empty() {
        return refuse("an empty list resets the directive; leave the directive out");
    }
    Ok(joined)
}

/// Refuses a path that systemd would refuse or change: relative, with `.`, `..` or empty parts, or too long.
fn whole_path(path: &str) -> Result<(), Refusal> {
    no_unfit_characters(path, "a path")?;
    let Some(below_root) = path.strip_prefix('/') else {
        return refuse(format!("the path {path:?} is not absolute; start it with \"/\""));
    };
    if path.len() > LONGEST_PATH {
        return refuse(format!("a path has at most {LONGEST_PATH} bytes, and this one has {}; shorten it", path.len()));
    }
    for part in below_root.split('/').filter(|_| path != "/") {
        match part {
            "" => return refuse(format!("the path {path:?} has a \"/\" too many; remove it")),
            "." | ".." => return refuse(format!("the path {path:?} goes through {part:?}; write it without")),
            _ if part.len() > LONGEST_NAME => {
                return refuse(format!("a name in a path has at most {LONGEST_NAME} bytes; shorten {part:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes a path that systemd takes up to the end of the line.
fn path_to_line_end(path: &str) -> Encoded {
    whole_path(path)?;
    if path.ends_with([' ', '\\']) {
        return refuse(format!(
            "the path {path:?} ends in a blank or a backslash, which systemd would drop; rename it"
        ));
    }
    Ok(path.replace('%', "%%"))
}

/// Writes the only path of a directive. `EnvironmentFile=` takes it for a pattern, so it must not look like one.
pub(super) fn path(path: &str) -> Encoded {
    if let Some(wrong) = path.chars().find(|character| "*?[\\".contains(*character)) {
        return refuse(format!("{wrong:?} in the path {path:?} would be read as a pattern; rename it"));
    }
    path_to_line_end(path)
}

/// Writes paths for a directive that splits its value at blanks and unquotes each part.
pub(super) fn paths(paths: &[String], optional: bool) -> Encoded {
    let prefix = if optional { "-" } else { "" };
    list(paths.iter().map(|path| {
        whole_path(path)?;
        let text = format!("{prefix}{}", path.replace('%', "%%"));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.@+,=%".contains(&byte);
        if text.bytes().all(plain) {
            return Ok(text);
        }
        Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
    }))
}

/// Writes `id:path`.
pub(super) fn credential(id: &str, path: &str) -> Encoded {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(&byte);
    if id.is_empty() || id.len() > LONGEST_NAME || id == "." || id == ".." || !id.bytes().all(safe) {
        return refuse(format!(
            "{id:?} cannot name a credential; use up to {LONGEST_NAME} letters, digits and \"_-.@+\""
        ));
    }
    Ok(format!("{id}:{}", path_to_line_end(path)?))
}

/// Whether `$NAME` in an argument stands for a variable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    Literal,
    Expanded,
}

/// Writes a program and its arguments.
pub(super) fn command(argv: &[String], variables: Variables) -> Encoded {
    let Some((program, arguments)) = argv.split_first() else {
        return refuse("a command needs a program; write its absolute path first");
    };
    let program = quoted(&self::program(program)?);
    let arguments = arguments.iter().map(|argument| self::argument(argument, variables));
    Ok(std::iter::once(Ok(program)).chain(arguments).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// Writes the path of a program, from which systemd drops no prefix because it starts with `/`.
fn program(path: &str) -> Encoded {
    whole_path(path)?;
    // systemd refuses quotes and backslashes there, and expands "$" in what the program sees as its name only.
    if let Some(wrong) = path.chars().find(|character| "\"'\\$".contains(*character)) {
        return refuse(format!("{wrong:?} cannot stand in the path of a program; rename {path:?}"));
    }
    if path == "/" {
        return refuse("\"/\" is no program");
    }
    Ok(path.replace('%', "%%"))
}

fn argument(argument: &str, variables: Variables) -> Encoded {
    if argument.contains('\0') || argument.chars().any(is_noncharacter) {
        let what = argument.chars().filter(|character| *character == '\0' || is_noncharacter(*character));
        let what = what.filter_map(unfit).next().unwrap_or_default();
        return refuse(format!("{what} cannot stand in an argument; remove it"));
    }
    if argument.len() > LONGEST_ARGUMENT {
        return refuse(format!(
            "an argument has at most {LONGEST_ARGUMENT} bytes, and this one has {}; put it into a file",
            argument.len()
        ));
    }
    let text = argument.replace('%', "%%");
    Ok(quoted(&match variables {
        Variables::Literal => text.replace('$', "$$"),
        Variables::Expanded => text,
    }))
}

/// Quotes a word for systemd's `extract_first_word` with C escapes, unless it is plain.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.:@+,=%$~^!*?{}[]()<>|&".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut text = String::with_capacity(word.len() + 2);
    text.push('"');
    for character in word.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => text.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text.push('"');
    text
}
