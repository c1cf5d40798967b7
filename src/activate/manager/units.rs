//! Asking about units.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use zbus::{ObjectPath, Variant};

use super::Manager;
use super::bus::{Bus, Call, MANAGER, ROOT};
use super::error::{BusError, BusErrorKind};
use super::properties::{self, Depth, Query, Row, UNIT};
use crate::bundle::unit::UnitName;
use crate::plan::{Snapshot, UnitState};

/// All generators run and all units are read, which has taken minutes on hosts with slow disks.
const RELOAD: Duration = Duration::from_secs(300);

impl Manager {
    /// Returns the release of systemd, such as 257.
    pub async fn version(&self) -> Result<u32, BusError> {
        let call = Call::property(ROOT, MANAGER, "Version", None)?;
        let body = self.bus.call(&call).await?.body();
        let strange = |value: String| call.error(BusErrorKind::Strange(format!("version {value}")));
        match call.read::<Variant<'_>>(&body)? {
            Variant::Str(version) => release(&version).ok_or_else(|| strange(version.to_string())),
            other => Err(strange(format!("{other:?}"))),
        }
    }

    /// Returns the states of these units, and of the instances of templates among them, as far as systemd has them in
    /// memory. Invocation, files and dependants are left out.
    ///
    /// A unit that is in memory under another name is there under the name that was asked for.
    pub async fn units(&self, wanted: &BTreeSet<UnitName>) -> Result<Snapshot, BusError> {
        let call = Call::manager("ListUnits", None, &())?;
        let body = self.bus.call(&call).await?.body();
        let rows: Vec<Row<'_>> = call.read(&body)?;
        let mut snapshot = Snapshot::default();
        for row in &rows {
            if let Some(unit) = UnitName::parse(row.0)
                && (wanted.contains(&unit) || unit.template().is_some_and(|template| wanted.contains(&template)))
            {
                snapshot.units.insert(unit, properties::state_of(row));
            }
        }
        let missing: Vec<&UnitName> =
            wanted.iter().filter(|unit| !unit.is_template() && !snapshot.units.contains_key(*unit)).collect();
        let paths: BTreeMap<&str, &Row<'_>> = rows.iter().map(|row| (row.6.as_str(), row)).collect();
        for (unit, path) in missing.iter().zip(self.bus.paths(&missing).await?) {
            if let Some(row) = path.as_deref().and_then(|path| paths.get(path)) {
                snapshot.units.insert((*unit).clone(), properties::state_of(row));
            }
        }
        snapshot.units.retain(|_, state| properties::is_known(state));
        Ok(snapshot)
    }

    /// Completes a snapshot with all that is known about these units, reading them from disk where needed, and adds the
    /// units of others that depend on them and are up.
    pub async fn details(&self, snapshot: &mut Snapshot, units: &BTreeSet<UnitName>) -> Result<(), BusError> {
        let instance = |unit: &&UnitName| unit.template().is_some_and(|template| units.contains(&template));
        let instances: Vec<UnitName> = snapshot.units.keys().filter(instance).cloned().collect();
        let mut asked: BTreeSet<UnitName> = units.iter().cloned().chain(instances).collect();
        asked.retain(|unit| !unit.is_template());
        for (unit, state) in self.bus.states(&asked, Depth::All).await? {
            snapshot.units.insert(unit, state);
        }
        loop {
            let dependants = snapshot.units.values().flat_map(|state| &state.dependants);
            let unknown: BTreeSet<UnitName> = dependants.filter(|unit| !asked.contains(*unit)).cloned().collect();
            if unknown.is_empty() {
                return Ok(());
            }
            for (unit, state) in self.bus.states(&unknown, Depth::All).await? {
                if state.active.is_up() {
                    snapshot.units.insert(unit, state);
                }
            }
            asked.extend(unknown);
        }
    }

    /// Returns whether and how a unit runs now; files and dependants are left out.
    pub async fn unit(&self, unit: &UnitName) -> Result<UnitState, BusError> {
        Ok(self.bus.states(&BTreeSet::from([unit.clone()]), Depth::Run).await?.remove(unit).unwrap_or_default())
    }

    /// Returns those of the units whose files changed since systemd read them.
    pub async fn outdated(&self, units: &BTreeSet<UnitName>) -> Result<BTreeSet<UnitName>, BusError> {
        let units: Vec<&UnitName> = units.iter().filter(|unit| !unit.is_template()).collect();
        let calls: Result<Vec<Call>, BusError> = units
            .iter()
            .map(|unit| Call::property(&properties::object_path(unit), UNIT, "NeedDaemonReload", Some(unit)))
            .collect();
        let mut outdated = BTreeSet::new();
        for (unit, reply) in units.into_iter().zip(self.bus.all(&calls?).await?) {
            let reply = match reply {
                Err(error) if error.is_no_such_unit() => continue,
                reply => reply?,
            };
            if matches!(reply.body().deserialize(), Ok(Variant::Bool(true))) {
                outdated.insert(unit.clone());
            }
        }
        Ok(outdated)
    }

    /// Makes systemd run its generators and read all units again, and waits until it has.
    pub async fn reload(&self) -> Result<(), BusError> {
        self.bus.call_within(&Call::manager("Reload", None, &())?, RELOAD).await.map(|_| ())
    }

    /// Forgets that units failed; one that is not in memory has nothing to forget.
    pub async fn reset_failed(&self, units: impl Iterator<Item = &UnitName>) -> Result<(), BusError> {
        let calls: Result<Vec<Call>, BusError> =
            units.map(|unit| Call::manager("ResetFailedUnit", Some(unit), &(unit.as_str(),))).collect();
        for reply in self.bus.all(&calls?).await? {
            match reply {
                Err(error) if !error.is_no_such_unit() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Bus {
    /// Returns the objects of units that are in memory, also under another name.
    pub(super) async fn paths(&self, units: &[&UnitName]) -> Result<Vec<Option<String>>, BusError> {
        let calls: Result<Vec<Call>, BusError> =
            units.iter().map(|unit| Call::manager("GetUnit", Some(unit), &(unit.as_str(),))).collect();
        let calls = calls?;
        let replies = calls.iter().zip(self.all(&calls).await?);
        let path = |(call, reply): (&Call, Result<zbus::Message, BusError>)| match reply {
            Err(error) if error.is_no_such_unit() => Ok(None),
            reply => {
                let body = reply?.body();
                Ok(Some(call.read::<ObjectPath<'_>>(&body)?.to_string()))
            }
        };
        replies.map(path).collect()
    }

    /// Returns the states of units, without those that there is nothing to say about.
    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
        depth: Depth,
    ) -> Result<BTreeMap<UnitName, UnitState>, BusError> {
        let queries: Result<Vec<Query>, BusError> = units.iter().map(|unit| Query::new(unit, depth)).collect();
        let queries = queries?;
        let calls: Vec<Call> = queries.iter().flat_map(|query| query.calls.iter().cloned()).collect();
        let mut replies = self.all(&calls).await?.into_iter();
        let mut states = BTreeMap::new();
        for (unit, query) in units.iter().zip(&queries) {
            let own: Vec<_> = replies.by_ref().take(query.calls.len()).collect();
            if let Some(state) = query.read(own)?.filter(properties::is_known) {
                states.insert(unit.clone(), state);
            }
        }
        Ok(states)
    }
}

/// Returns the first number of a version, such as 252 of `252.39-1~deb12u2`.
fn release(version: &str) -> Option<u32> {
    let digits = version.trim_start_matches(|character: char| !character.is_ascii_digit());
    digits.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn a_version_begins_with_the_release() {
        assert_eq!(release("252.39-1~deb12u2"), Some(252));
        assert_eq!(release("257 (257.8-1)"), Some(257));
        assert_eq!(release("v258~rc1"), Some(258));
        assert_eq!(release("unknown"), None);
    }
}
