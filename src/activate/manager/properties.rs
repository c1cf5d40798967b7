//! What systemd says about units: its list of units, and their properties.

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use zbus::{Message, ObjectPath, OwnedObjectPath, Type, as_variant};

use super::bus::Call;
use super::error::BusError;
use crate::bundle::unit::{UnitKind, UnitName};
use crate::plan::{ActiveState, LoadState, UnitState};

pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// An entry of `ListUnits`: name, description, load state, active state, sub-state, the unit that it follows, path, and
/// number, type and path of its job.
pub(super) type Row<'m> =
    (&'m str, &'m str, &'m str, &'m str, &'m str, &'m str, ObjectPath<'m>, u32, &'m str, ObjectPath<'m>);

/// Reads an entry of the list of units.
pub(super) fn state_of(row: &Row<'_>) -> UnitState {
    UnitState {
        load: load(row.2),
        active: active(row.3),
        sub: row.4.to_owned(),
        job: row.7 != 0,
        ..UnitState::default()
    }
}

/// Whether there is anything to say about a unit.
pub(super) fn is_known(state: &UnitState) -> bool {
    state.load != LoadState::NotFound || state.active != ActiveState::Inactive || state.job
}

/// How much is asked about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Whether and how it runs.
    Run,
    /// Its files and dependants as well.
    All,
}

/// What says whether a unit runs. The job comes first: one that ends between two answers is seen, or what it left is.
const RUN: &[&str] = &["Job", "LoadState", "ActiveState", "SubState", "InvocationID"];
const DEFINITION: &[&str] = &["FragmentPath", "DropInPaths", "RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf"];

/// Calls that ask about one unit, each with the property that it asks for.
///
/// They ask for single properties. For all of them at once systemd would look through folders for drop-ins that are not
/// loaded, and read every file of the control group.
#[derive(Debug)]
pub(super) struct Query {
    properties: Vec<&'static str>,
    pub calls: Vec<Call>,
}

impl Query {
    /// Asks about a unit; systemd reads it from disk for that if it has to.
    pub fn new(unit: &UnitName, depth: Depth) -> Result<Self, BusError> {
        let path = object_path(unit);
        let definition = if depth == Depth::All { DEFINITION } else { &[] };
        let common = RUN.iter().chain(definition).map(|name| (UNIT, *name));
        let own =
            interface(unit.kind()).map(|interface| own_properties(unit.kind()).iter().map(move |it| (interface, *it)));
        let (mut properties, mut calls) = (Vec::new(), Vec::new());
        for (interface, name) in common.chain(own.into_iter().flatten()) {
            calls.push(Call::property(&path, interface, name, Some(unit))?);
            properties.push(name);
        }
        Ok(Query { properties, calls })
    }

    /// Reads the replies; none when systemd knows nothing of the unit.
    pub fn read(
        &self,
        replies: impl IntoIterator<Item = Result<Message, BusError>>,
    ) -> Result<Option<UnitState>, BusError> {
        let mut state = UnitState::default();
        for (position, (property, reply)) in self.properties.iter().zip(replies).enumerate() {
            match reply {
                Err(error) if error.is_no_such_unit() && position == 0 => return Ok(None),
                // A unit that cannot be used has no properties of its kind.
                Err(_) if position >= RUN.len() => {}
                reply => set(&mut state, property, &reply?),
            }
        }
        Ok(Some(state))
    }
}

fn set(state: &mut UnitState, property: &str, reply: &Message) {
    match property {
        "Job" => state.job = value::<(u32, OwnedObjectPath)>(reply).is_some_and(|(id, _)| id != 0),
        "LoadState" => state.load = load(&text(reply)),
        "ActiveState" => state.active = active(&text(reply)),
        "SubState" => state.sub = text(reply),
        "InvocationID" => {
            let id: Vec<u8> = value(reply).unwrap_or_default();
            let hex = || id.iter().map(|byte| format!("{byte:02x}")).collect();
            state.invocation = id.iter().any(|&byte| byte != 0).then(hex);
        }
        "FragmentPath" => state.fragment = Some(text(reply)).filter(|path| !path.is_empty()).map(Into::into),
        "DropInPaths" => state.drop_ins = strings(reply).into_iter().map(Into::into).collect(),
        "RequiredBy" | "RequisiteOf" | "BoundBy" | "ConsistsOf" => state.dependants.extend(names(reply)),
        "Result" => state.result = text(reply),
        "MainPID" => state.main_pid = value(reply).unwrap_or_default(),
        "NRestarts" => state.restarts = value(reply).unwrap_or_default(),
        _ => {}
    }
}

/// Returns what the reply to a question for a property says; none when it is of another type.
pub(super) fn value<T: DeserializeOwned + Type>(reply: &Message) -> Option<T> {
    reply.body().deserialize::<as_variant::Deserialize<'_, T>>().ok().map(|value| value.0)
}

/// Returns the word that is a property.
pub(super) fn text(reply: &Message) -> String {
    value(reply).unwrap_or_default()
}

fn strings(reply: &Message) -> Vec<String> {
    value(reply).unwrap_or_default()
}

/// Returns the units that a property lists.
pub(super) fn names(reply: &Message) -> Vec<UnitName> {
    strings(reply).iter().filter_map(|name| UnitName::parse(name)).collect()
}

fn load(word: &str) -> LoadState {
    parse(word).unwrap_or_default()
}

fn active(word: &str) -> ActiveState {
    // In a state that is unknown here, something may run.
    parse(word).unwrap_or(ActiveState::Active)
}

fn parse<'w, T: Deserialize<'w>>(word: &'w str) -> Option<T> {
    let word: StrDeserializer<'w, Error> = word.into_deserializer();
    T::deserialize(word).ok()
}

fn own_properties(kind: UnitKind) -> &'static [&'static str] {
    match kind {
        UnitKind::Service => &["Result", "MainPID", "NRestarts"],
        UnitKind::Target | UnitKind::Slice | UnitKind::Device => &[],
        _ => &["Result"],
    }
}

/// Returns the interface that units of this kind have beside the common one.
pub(super) fn interface(kind: UnitKind) -> Option<&'static str> {
    match kind {
        UnitKind::Automount => Some("org.freedesktop.systemd1.Automount"),
        UnitKind::Mount => Some("org.freedesktop.systemd1.Mount"),
        UnitKind::Path => Some("org.freedesktop.systemd1.Path"),
        UnitKind::Scope => Some("org.freedesktop.systemd1.Scope"),
        UnitKind::Service => Some("org.freedesktop.systemd1.Service"),
        UnitKind::Socket => Some("org.freedesktop.systemd1.Socket"),
        UnitKind::Swap => Some("org.freedesktop.systemd1.Swap"),
        UnitKind::Timer => Some("org.freedesktop.systemd1.Timer"),
        UnitKind::Device | UnitKind::Slice | UnitKind::Target => None,
    }
}

/// Returns the path of a unit's object: letters and digits stand for themselves, all else is written as `_` and two
/// hexadecimal digits (`bus_label_escape` of systemd).
pub(super) fn object_path(unit: &UnitName) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (position, byte) in unit.as_str().bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (position > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_path_has_only_letters_digits_and_escapes() {
        let path = |name: &str| object_path(&UnitName::parse(name).expect("a name"));
        assert_eq!(path("citadel-a.service"), "/org/freedesktop/systemd1/unit/citadel_2da_2eservice");
        assert_eq!(path("7up@a_b.socket"), "/org/freedesktop/systemd1/unit/_37up_40a_5fb_2esocket");
    }

    #[test]
    fn words_of_systemd_are_read() {
        assert_eq!(load("loaded"), LoadState::Loaded);
        assert_eq!(load("not-found"), LoadState::NotFound);
        assert_eq!(load("bad-setting"), LoadState::Broken);
        assert_eq!(active("deactivating"), ActiveState::Deactivating);
        assert_eq!(active("of a later systemd"), ActiveState::Active);
    }
}
