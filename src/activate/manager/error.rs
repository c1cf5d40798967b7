//! What can go wrong between citadel and the service manager, as data.

use std::time::Duration;

use crate::bundle::unit::UnitName;

/// A call to systemd that did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {kind}{}", self.subject(), self.hint().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct BusError {
    /// The method of systemd, such as `StartUnit`.
    pub call: String,
    /// The unit that it was about.
    pub unit: Option<UnitName>,
    pub kind: BusErrorKind,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusErrorKind {
    /// There is no way to systemd; what each way that was tried said.
    #[error("systemd cannot be reached: {0}")]
    Unreachable(String),
    /// The connection ended, for instance because systemd was executed anew.
    #[error("the connection to systemd is lost: {0}")]
    Lost(String),
    /// There was no answer in time.
    #[error("systemd did not answer within {} seconds", .0.as_secs())]
    Late(Duration),
    /// systemd, or the bus, answered with an error.
    #[error("{message} ({name})")]
    Refused { name: String, message: String },
    /// It was taken, and then did not go well.
    #[error("{0}")]
    Ended(String),
    /// The answer is not what the interface of systemd says.
    #[error("systemd answered something that citadel does not understand: {0}")]
    Strange(String),
}

impl BusError {
    fn subject(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} of {unit}", self.call),
            None => self.call.clone(),
        }
    }

    /// Returns what to do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.kind {
            BusErrorKind::Refused { name, .. } if DENIED.contains(&name.as_str()) => Some("run it as root"),
            BusErrorKind::Unreachable(_) => Some("is this a host with systemd as its first process?"),
            _ => None,
        }
    }

    /// Whether systemd said that it has no such unit.
    pub fn is_no_such_unit(&self) -> bool {
        matches!(&self.kind, BusErrorKind::Refused { name, .. } if name == "org.freedesktop.systemd1.NoSuchUnit")
    }
}

const DENIED: [&str; 3] = [
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.AuthFailed",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
];
