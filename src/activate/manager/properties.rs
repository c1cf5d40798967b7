//! What systemd says about units: its list of units, and their properties.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use zbus::{DeserializeDict, Message, ObjectPath, OwnedObjectPath, Type, Variant};

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

/// Properties of a unit of any kind.
#[derive(Debug, Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub(super) struct UnitProperties {
    load_state: Option<String>,
    active_state: Option<String>,
    sub_state: Option<String>,
    fragment_path: Option<String>,
    drop_in_paths: Option<Vec<String>>,
    #[zbus(rename = "InvocationID")]
    invocation_id: Option<Vec<u8>>,
    job: Option<(u32, OwnedObjectPath)>,
    condition_result: Option<bool>,
    condition_timestamp: Option<u64>,
    required_by: Option<Vec<String>>,
    requisite_of: Option<Vec<String>>,
    bound_by: Option<Vec<String>>,
    consists_of: Option<Vec<String>>,
    requires: Option<Vec<String>>,
    requisite: Option<Vec<String>>,
    binds_to: Option<Vec<String>>,
}

impl UnitProperties {
    /// Returns the units that this one cannot start without.
    pub fn needs(&self) -> impl Iterator<Item = UnitName> {
        names([&self.requires, &self.requisite, &self.binds_to])
    }

    /// Whether it was not started because a condition in its file does not hold. One that has left the memory since then
    /// has not been asked.
    pub fn is_skipped(&self) -> bool {
        self.condition_result == Some(false) && self.condition_timestamp.is_some_and(|time| time > 0)
    }

    fn state(self) -> UnitState {
        let dependants = names([&self.required_by, &self.requisite_of, &self.bound_by, &self.consists_of]);
        let invocation = self.invocation_id.unwrap_or_default();
        UnitState {
            load: load(self.load_state.as_deref().unwrap_or_default()),
            active: active(self.active_state.as_deref().unwrap_or_default()),
            dependants: dependants.collect(),
            sub: self.sub_state.unwrap_or_default(),
            invocation: invocation
                .iter()
                .any(|&byte| byte != 0)
                .then(|| invocation.iter().map(|byte| format!("{byte:02x}")).collect()),
            fragment: self.fragment_path.filter(|path| !path.is_empty()).map(Into::into),
            drop_ins: self.drop_in_paths.unwrap_or_default().into_iter().map(Into::into).collect(),
            job: self.job.is_some_and(|(id, _)| id != 0),
            ..UnitState::default()
        }
    }
}

fn names<const N: usize>(lists: [&Option<Vec<String>>; N]) -> impl Iterator<Item = UnitName> {
    lists.into_iter().flatten().flatten().filter_map(|name| UnitName::parse(name))
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

/// Returns the calls that ask for all about a unit; systemd reads the unit from disk for them if it has to.
pub(super) fn calls(unit: &UnitName) -> Result<Vec<Call>, BusError> {
    let path = object_path(unit);
    let mut calls = vec![Call::properties(&path, UNIT, Some(unit))?];
    // All properties of a service would have systemd read every file of its control group.
    if let Some(interface) = interface(unit.kind()) {
        for name in own_properties(unit.kind()) {
            calls.push(Call::property(&path, interface, name, Some(unit))?);
        }
    }
    Ok(calls)
}

fn own_properties(kind: UnitKind) -> &'static [&'static str] {
    match kind {
        UnitKind::Service => &["Result", "MainPID", "NRestarts"],
        UnitKind::Target | UnitKind::Slice | UnitKind::Device => &[],
        _ => &["Result"],
    }
}

/// Reads the replies to [`calls`]; none when systemd knows nothing of the unit.
pub(super) fn read(calls: &[Call], replies: Vec<Result<Message, BusError>>) -> Result<Option<UnitState>, BusError> {
    let mut replies = calls.iter().zip(replies);
    let Some((call, reply)) = replies.next() else { return Ok(None) };
    let body = match reply {
        Err(error) if error.is_no_such_unit() => return Ok(None),
        reply => reply?.body(),
    };
    let mut state = call.read::<UnitProperties>(&body)?.state();
    for (position, (_, reply)) in replies.enumerate() {
        // A unit that cannot be used has no properties of its kind.
        let Ok(reply) = reply else { continue };
        let body = reply.body();
        match (position, body.deserialize::<Variant<'_>>()) {
            (0, Ok(Variant::Str(result))) => state.result = result.to_string(),
            (1, Ok(Variant::U32(id))) => state.main_pid = id,
            (2, Ok(Variant::U32(count))) => state.restarts = count,
            _ => {}
        }
    }
    Ok(Some(state))
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
