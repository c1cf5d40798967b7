//! The vocabulary of a plan.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bundle::unit::UnitName;

/// What happens to one unit, from the least to the most disruptive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(all(test, feature = "diff"), derive(schemars::JsonSchema))]
pub enum Action {
    /// Nothing changes for it.
    Nothing,
    /// What changed takes effect when the manager reads its units again; the process goes on.
    ReloadManager,
    /// What changed needs a new process, and the profile or an operator says to keep the old one.
    Keep,
    /// The service reads its configuration again; the process goes on.
    Reload,
    Start,
    /// Restarted under its new definition, in one transaction with the others.
    Restart,
    /// Stopped under its old definition before the commit, started under its new one after it.
    StopStart,
    /// Stopped under its old definition before the commit.
    Stop,
}

impl Action {
    /// Whether processes of the unit end.
    pub fn stops_processes(self) -> bool {
        matches!(self, Self::Restart | Self::StopStart | Self::Stop)
    }

    /// Whether a run of the unit ends and another begins.
    pub fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::StopStart)
    }

    /// Whether the unit is stopped before the commit, while the manager knows its old definition.
    pub fn stops_first(self) -> bool {
        matches!(self, Self::StopStart | Self::Stop)
    }

    /// Returns the action in words, such as `stop and start`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ReloadManager => "apply without restart",
            Self::Keep => "keep",
            Self::Reload => "reload",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::StopStart => "stop and start",
            Self::Stop => "stop",
        }
    }
}

/// Why something happens to a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[cfg_attr(all(test, feature = "diff"), derive(schemars::JsonSchema))]
pub enum Reason {
    /// A directive of its file changed; `old` and `new` are all values that count, joined by line breaks.
    Directive { section: String, key: String, old: Option<String>, new: Option<String> },
    /// A file of the bundle that it reads changed, appeared or went away; its path in the bundle.
    File { file: String },
    /// It is new in the bundle.
    Added,
    /// It is in the old bundle only.
    Removed,
    /// It is defined elsewhere until now.
    Adopted { file: String },
    /// Something that runs or starts wants it.
    WantedBy { unit: UnitName },
    /// Something that starts needs it.
    RequiredBy { unit: UnitName },
    /// It stops, restarts and starts with this unit, which it depends on.
    DependsOn { unit: UnitName },
    /// It is an instance of a template.
    Template { unit: UnitName },
    /// It cannot run together with this unit, which starts.
    Conflicts { unit: UnitName },
    /// A socket cannot be opened anew while its service runs, or it hands its service over to it.
    Socket { unit: UnitName },
    /// Another unit takes over what it listens on.
    Port { address: String, port: u16, unit: UnitName },
    /// It failed, and its definition changed: worth another try.
    FailedBefore,
    /// It does not run now.
    NotRunning,
    /// It is started by hand or on demand.
    OnDemand,
    /// It is the same as before.
    Unchanged,
    /// It ends by itself, and its next run is under the new definition.
    Finishes,
    /// It serves one connection of this socket, which no start can bring back, and ends with it.
    Connection { unit: UnitName },
    /// An operator has masked it.
    Masked,
    /// The profile says so with `on_change`.
    Policy,
    /// It ran before the switch (in a rollback).
    RanBefore,
    /// It did not run before the switch (in a rollback).
    DidNotRunBefore,
}

impl fmt::Display for Reason {
    /// Writes a phrase that continues `restart, because ...`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directive { key, old, new, .. } => match (old, new) {
                (None, _) => write!(out, "{key}= is new"),
                (_, None) => write!(out, "{key}= is gone"),
                _ => write!(out, "{key}= changes"),
            },
            Self::File { file } => write!(out, "{file} changes"),
            Self::Added => write!(out, "it is new"),
            Self::Removed => write!(out, "it is no longer in the bundle"),
            Self::Adopted { file } => write!(out, "{file} defined it until now"),
            Self::WantedBy { unit } => write!(out, "{unit} wants it"),
            Self::RequiredBy { unit } => write!(out, "{unit} needs it"),
            Self::DependsOn { unit } => write!(out, "it depends on {unit}"),
            Self::Template { unit } => write!(out, "it is an instance of {unit}"),
            Self::Conflicts { unit } => write!(out, "it cannot run together with {unit}"),
            Self::Socket { unit } => write!(out, "it belongs to {unit}"),
            Self::Port { address, port, unit } => write!(out, "{unit} takes over {address}:{port}"),
            Self::FailedBefore => write!(out, "it failed before"),
            Self::NotRunning => write!(out, "it does not run"),
            Self::OnDemand => write!(out, "it is started by hand or on demand"),
            Self::Unchanged => write!(out, "it is the same as before"),
            Self::Finishes => write!(out, "it ends by itself, and its next run uses the new definition"),
            Self::Connection { unit } => write!(out, "it serves one connection of {unit} and ends with it"),
            Self::Masked => write!(out, "it is masked on this host"),
            Self::Policy => write!(out, "the profile says so"),
            Self::RanBefore => write!(out, "it ran before"),
            Self::DidNotRunBefore => write!(out, "it did not run before"),
        }
    }
}

/// What happens to one unit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Step {
    pub action: Action,
    /// Why, the most important first; never empty.
    pub reasons: Vec<Reason>,
    /// The deployment phase in which it happens; none for what is in no phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// What a switch does to the units of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Plan {
    /// Every unit of both bundles, instances of their templates, and units of others that are touched.
    pub steps: BTreeMap<UnitName, Step>,
    /// The units that are acted on, in an order that agrees with phases and with `After=` and `Before=`.
    pub order: Vec<UnitName>,
    /// The phases that have something to do, in their order; a unit without a phase comes after all of them.
    pub phases: Vec<String>,
    /// Whether anything at all differs between the bundles.
    pub changes: bool,
}

impl Plan {
    /// Returns what happens to a unit.
    pub fn action(&self, unit: &UnitName) -> Action {
        self.steps.get(unit).map_or(Action::Nothing, |step| step.action)
    }

    /// Returns the units with this action, in order.
    pub fn with(&self, wanted: Action) -> impl Iterator<Item = &UnitName> {
        self.order.iter().filter(move |unit| self.action(unit) == wanted)
    }
}
