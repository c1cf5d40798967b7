//! Values of directives, and how each kind is written so that systemd reads back exactly what was meant.

use super::UnitName;
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
        Err(Refusal("not written yet".to_owned()))
    }
}
