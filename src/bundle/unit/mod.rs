//! Unit files: their names, their text and the values in them, without knowing what a profile is.

pub mod directives;
mod escape;
mod name;
mod parse;
mod value;

pub use name::{UnitKind, UnitName};
pub use parse::ParseError;
pub use value::{Refusal, Value, boolean};

/// A unit file as ordered sections of ordered assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    pub sections: Vec<Section>,
}

/// One section of a unit file, such as `[Service]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub entries: Vec<Entry>,
}

/// One assignment; `value` is the text behind the `=`, already encoded for systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: String,
}
