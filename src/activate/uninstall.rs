//! Taking citadel off a host: stops what it started, and leaves what was there before.

use std::time::Duration;

use super::apply::{self, Host};
use super::install::{self, Uninstalled};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::{Job, JobKind, Manager};
use super::places::Places;
use super::progress::Outcome;
use super::record::Record;
use super::switch::{self, End};
use super::{current, recover, store, system};
use crate::bundle::unit::UnitName;
use crate::plan::Snapshot;

/// The longest that all units may take to stop.
const STOPPING: Duration = Duration::from_secs(15 * 60);

/// Stops the units of the present generation, and removes everything that citadel made.
pub async fn uninstall(places: &Places, purge: bool) -> Result<Uninstalled, End> {
    let _lock = Lock::try_take(places).map_err(|error| match error {
        LockError::Busy { .. } => End::new(Outcome::Busy, error.to_string()),
        LockError::Disk(error) => End::not_written(error),
    })?;
    if !places.is_live() {
        return install::uninstall_files(places, purge).await.map_err(End::not_written);
    }
    let manager = Manager::connect().await.map_err(End::not_written)?;
    let id = switch::new_id();
    let mut log = Log::create(places, &id).ok();
    recover::finish_earlier(places, &manager, &mut log).await?;

    let generation = current::get(places).map_err(End::not_written)?;
    let bundle = generation.and_then(|generation| store::read(places, generation).ok());
    let adopted = Record::read(places).map_err(End::not_written)?.adopted;
    let mut host = Host { places, manager: &manager, log: &mut log, healthy: Vec::new() };
    let mut running = Vec::new();
    if let Some(bundle) = &bundle {
        let snapshot = apply::snapshot(&manager, [Some(bundle)]).await.map_err(End::not_written)?;
        running = ours(&snapshot);
        let stops: Vec<Job> = running.iter().map(|unit| Job { unit: unit.clone(), kind: JobKind::Stop }).collect();
        let failures = host.run(&stops, STOPPING).await.map_err(End::not_written)?;
        if !failures.is_empty() {
            return Err(End::new(Outcome::NotWritten, format!("not everything stops: {}", failures.join("; "))));
        }
    }
    // Gone from here on: power may fail, and no boot starts any of it.
    current::set(places, None).map_err(End::not_written)?;
    let mut gone = install::uninstall_files(places, purge).await.map_err(End::not_written)?;
    if let Some(bundle) = &bundle {
        gone.kept.extend(system::leave(bundle).await);
    }
    manager.reload().await.map_err(End::not_written)?;
    for unit in &running {
        // One that failed would be remembered for ever.
        let _ = manager.reset_failed(unit).await;
    }
    // What ran under its old definition before it was set aside runs under it again.
    let names = adopted.iter().filter_map(|file| UnitName::parse(file.path.file_name()?.to_str()?));
    let starts: Vec<Job> =
        names.filter(|unit| running.contains(unit)).map(|unit| Job { unit, kind: JobKind::Start }).collect();
    let mut host = Host { places, manager: &manager, log: &mut log, healthy: Vec::new() };
    gone.kept.extend(host.run(&starts, STOPPING).await.map_err(End::not_written)?);
    Ok(gone)
}

/// Returns what runs out of a generation of citadel, and nothing of others.
fn ours(snapshot: &Snapshot) -> Vec<UnitName> {
    let ours = |unit: &&UnitName| {
        let fragment = snapshot.state(unit).fragment;
        fragment.is_some_and(|path| path.starts_with("/run/systemd/generator") || path.starts_with("/etc/citadel"))
    };
    snapshot.units.keys().filter(|unit| snapshot.is_up(unit)).filter(ours).cloned().collect()
}
