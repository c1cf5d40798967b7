//! Restarting several units in one step with systemd's markers.
//!
//! `RestartUnit` for one unit after the other could stop the first before systemd knows that another one, which depends
//! on it, restarts too. Marked units are all queued by one call, so that they stop in the reverse of their order and
//! start in it. The call takes whatever is marked on the host, so marks of others (package managers set them) are put
//! away for the moment. A mark that somebody sets within these few milliseconds gets the restart that it asks for.
//!
//! Only units that run are marked: systemd before 253 leaves out those that are just starting.

use std::collections::BTreeMap;

use zbus::{OwnedObjectPath, Variant};

use super::bus::{Bus, Call};
use super::error::BusError;
use super::jobs::{Job, JobKind};
use super::properties::{Row, UNIT};
use crate::bundle::unit::UnitName;

/// The units that are marked for one transaction.
#[derive(Debug)]
pub(super) struct Marks {
    /// Ours, and the names that systemd has for them.
    ours: BTreeMap<UnitName, String>,
    /// Marks that others had set.
    others: Vec<(UnitName, Vec<String>)>,
}

/// An entry of `ListJobs`: number, unit, type, state, path of the job, path of the unit.
type JobRow = (u32, String, String, String, OwnedObjectPath, OwnedObjectPath);

impl Marks {
    /// Marks the units that restart; none where that makes no difference or does not work.
    pub async fn set(bus: &Bus, jobs: &[Job]) -> Result<Option<Self>, BusError> {
        let restarts: Vec<&UnitName> =
            jobs.iter().filter(|job| job.kind == JobKind::Restart).map(|job| &job.unit).collect();
        if restarts.len() < 2 {
            return Ok(None);
        }
        let list = Call::manager("ListUnits", None, &())?;
        let body = bus.call(&list).await?.body();
        let rows: Vec<Row<'_>> = list.read(&body)?;
        let running = rows.iter().filter(|row| ["active", "reloading"].contains(&row.3));
        let running: BTreeMap<&str, &str> = running.map(|row| (row.6.as_str(), row.0)).collect();
        let paths = bus.paths(&restarts).await?;
        let known = restarts.iter().zip(paths).filter_map(|(unit, path)| {
            let id = running.get(path?.as_str())?;
            Some(((*unit).clone(), (*id).to_owned()))
        });
        let mut marks = Marks { ours: known.collect(), others: Vec::new() };
        if marks.ours.len() < 2 {
            return Ok(None);
        }
        let loaded = rows.iter().filter(|row| row.2 == "loaded" && row.3 != "inactive");
        let loaded = loaded.filter(|row| !marks.ours.values().any(|id| id == row.0));
        let loaded = loaded.filter_map(|row| Some((UnitName::parse(row.0)?, row.6.as_str())));
        marks.others = marks_of(bus, loaded.collect()).await?;
        put(bus, '-', marks.others()).await?;
        if put(bus, '+', marks.restarts()).await? {
            return Ok(Some(marks));
        }
        marks.clear(bus).await?;
        Ok(None)
    }

    pub fn has(&self, unit: &UnitName) -> bool {
        self.ours.contains_key(unit)
    }

    pub fn units(&self) -> impl Iterator<Item = (&UnitName, &str)> {
        self.ours.iter().map(|(unit, id)| (unit, id.as_str()))
    }

    /// Returns the paths of jobs that are queued, by the name that systemd has for their unit.
    pub async fn queued(bus: &Bus) -> Result<BTreeMap<String, String>, BusError> {
        let call = Call::manager("ListJobs", None, &())?;
        let body = bus.call(&call).await?.body();
        let rows: Vec<JobRow> = call.read(&body)?;
        Ok(rows.into_iter().map(|row| (row.1, row.4.to_string())).collect())
    }

    /// Takes our marks away, and sets those of others again.
    pub async fn clear(&self, bus: &Bus) -> Result<(), BusError> {
        put(bus, '-', self.restarts()).await?;
        put(bus, '+', self.others()).await?;
        Ok(())
    }

    fn restarts(&self) -> impl Iterator<Item = (&UnitName, Vec<&str>)> {
        self.ours.keys().map(|unit| (unit, vec!["needs-restart"]))
    }

    fn others(&self) -> impl Iterator<Item = (&UnitName, Vec<&str>)> {
        self.others.iter().map(|(unit, marks)| (unit, marks.iter().map(String::as_str).collect()))
    }
}

/// Returns the marks of units, given with the paths of their objects, without those that have none.
async fn marks_of(bus: &Bus, units: Vec<(UnitName, &str)>) -> Result<Vec<(UnitName, Vec<String>)>, BusError> {
    let calls: Result<Vec<Call>, BusError> =
        units.iter().map(|(unit, path)| Call::property(path, UNIT, "Markers", Some(unit))).collect();
    let mut marked = Vec::new();
    for ((unit, _), reply) in units.into_iter().zip(bus.all(&calls?).await?) {
        // A unit that is gone by now, or a systemd without markers.
        let Ok(reply) = reply else { continue };
        let body = reply.body();
        let Ok(Variant::Array(marks)) = body.deserialize() else { continue };
        let marks: Vec<String> = Vec::try_from(marks).unwrap_or_default();
        if !marks.is_empty() {
            marked.push((unit, marks));
        }
    }
    Ok(marked)
}

/// Sets (`+`) or takes away (`-`) marks of units; returns whether that worked for all of them.
async fn put<'u>(
    bus: &Bus,
    sign: char,
    units: impl Iterator<Item = (&'u UnitName, Vec<&'u str>)>,
) -> Result<bool, BusError> {
    let call = |(unit, marks): (&UnitName, Vec<&str>)| {
        let marks: Vec<String> = marks.into_iter().map(|mark| format!("{sign}{mark}")).collect();
        let properties = [("Markers", Variant::from(marks))];
        Call::manager("SetUnitProperties", Some(unit), &(unit.as_str(), true, &properties[..]))
    };
    let calls: Result<Vec<Call>, BusError> = units.map(call).collect();
    Ok(bus.all(&calls?).await?.iter().all(Result::is_ok))
}
