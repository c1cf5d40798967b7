//! Names of units.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The kinds of units that systemd knows, by the suffix of their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    Automount,
    Device,
    Mount,
    Path,
    Scope,
    Service,
    Slice,
    Socket,
    Swap,
    Target,
    Timer,
}

impl UnitKind {
    /// All kinds.
    pub const ALL: [UnitKind; 11] = [
        UnitKind::Automount,
        UnitKind::Device,
        UnitKind::Mount,
        UnitKind::Path,
        UnitKind::Scope,
        UnitKind::Service,
        UnitKind::Slice,
        UnitKind::Socket,
        UnitKind::Swap,
        UnitKind::Target,
        UnitKind::Timer,
    ];

    /// Returns the suffix without its point.
    pub fn suffix(self) -> &'static str {
        match self {
            UnitKind::Automount => "automount",
            UnitKind::Device => "device",
            UnitKind::Mount => "mount",
            UnitKind::Path => "path",
            UnitKind::Scope => "scope",
            UnitKind::Service => "service",
            UnitKind::Slice => "slice",
            UnitKind::Socket => "socket",
            UnitKind::Swap => "swap",
            UnitKind::Target => "target",
            UnitKind::Timer => "timer",
        }
    }
}

/// The whole name of a unit, such as `citadel-mixtral.service`.
///
/// Only letters, digits and `:-_.\@`, at most 255 bytes, as systemd's `unit_name_is_valid` demands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(String);

impl UnitName {
    /// Returns the name when systemd would accept it.
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, suffix) = text.rsplit_once('.')?;
        let known = UnitKind::ALL.iter().any(|kind| kind.suffix() == suffix);
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        (known && !stem.is_empty() && !stem.starts_with('@') && text.len() <= 255 && stem.bytes().all(valid))
            .then(|| UnitName(text.to_owned()))
    }

    /// Returns the name of a unit of this kind, or `None` when the stem is not valid.
    pub fn new(stem: &str, kind: UnitKind) -> Option<Self> {
        Self::parse(&format!("{stem}.{}", kind.suffix()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its suffix.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(stem, _)| stem)
    }

    /// Returns the template that this is an instance of: `vllm@.service` for `vllm@a.service`.
    pub fn template(&self) -> Option<UnitName> {
        let (prefix, instance) = self.stem().split_once('@')?;
        (!instance.is_empty()).then(|| UnitName(format!("{prefix}@.{}", self.kind().suffix())))
    }

    /// Whether it is a template, which never runs itself.
    pub fn is_template(&self) -> bool {
        self.stem().ends_with('@')
    }

    /// Returns the kind of the unit.
    pub fn kind(&self) -> UnitKind {
        let suffix = self.0.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        // A name is only made with a known suffix.
        UnitKind::ALL.into_iter().find(|kind| kind.suffix() == suffix).unwrap_or(UnitKind::Service)
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for UnitName {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UnitName {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not the name of a unit")))
    }
}
