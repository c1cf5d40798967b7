//! Taking citadel off a host: stops what it started, and leaves what was there before.
//!
//! It can be killed at any point and run again. What it has to know for that, which units ran, is on disk before the first
//! of them stops, in the record, and the record goes last.

mod files;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::end::End;
use super::host::{self, Host};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::{Job, JobKind, Manager};
use super::places::Places;
use super::progress::Outcome;
use super::record::{Leaving, Record};
use super::switch;
use super::{Generation, current, recover, store, system};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::Snapshot;
pub use files::Uninstalled;

/// The longest that all units may take to stop.
const STOPPING: Duration = Duration::from_secs(15 * 60);

/// Stops the units of the present generation, and removes everything that citadel made.
pub async fn uninstall(places: &Places, purge: bool) -> Result<Uninstalled, End> {
    // A terminal that goes away must not end this half-way: asking for the signal is what keeps it from doing so.
    let _hangup = signal(SignalKind::hangup());
    let _lock = Lock::try_take(places).map_err(|error| match error {
        LockError::Busy { .. } => End::new(Outcome::Busy, error.to_string()),
        LockError::Disk(error) => End::not_written(error),
    })?;
    if !places.is_live() {
        return files::remove(places, purge).await.map_err(End::not_written);
    }
    let manager = Manager::connect().await.map_err(End::not_written)?;
    let id = switch::new_id();
    let mut log = Log::create(places, &id).ok();
    recover::finish_earlier(places, &mut log).await?;

    let generation = current::get(places).map_err(End::not_written)?;
    let bundle = generation.map(|generation| store::read_as_is(places, generation)).transpose().map_err(|error| {
        let message = format!(
            "{error}. Without it nobody knows which units to stop, so nothing was done; switch to a bundle or to \
             another generation first"
        );
        End::new(Outcome::NotWritten, message)
    })?;
    let mut host = Host::new(places, manager, &mut log);
    if let Some((generation, bundle)) = generation.zip(bundle.as_ref()) {
        stop(&mut host, generation, bundle).await?;
    }
    let record = Record::read(places).map_err(End::not_written)?;
    let mut gone = files::take_away(places, &record, purge).await.map_err(End::not_written)?;
    if let Some(bundle) = &bundle {
        gone.kept.extend(system::leave(bundle).await);
    }
    host.manager.reload().await.map_err(End::not_written)?;
    let leaving = record.leaving.unwrap_or_default();
    // One that failed would be remembered for ever.
    let _ = host.manager.reset_failed(leaving.running.iter()).await;
    // What ran under its old definition before it was set aside runs under it again.
    let starts: Vec<Job> = jobs(&leaving.again, JobKind::Start);
    gone.kept.extend(host.run(&starts, STOPPING).await.map_err(End::not_written)?.failed);
    files::forget(places, &mut gone).map_err(End::not_written)?;
    Ok(gone)
}

/// Records what runs, and stops it.
async fn stop(host: &mut Host<'_>, generation: Generation, bundle: &Bundle) -> Result<(), End> {
    let snapshot = host::snapshot(&host.manager, [Some(bundle)]).await.map_err(End::not_written)?;
    let running = ours(&snapshot);
    Record::update(host.places, |record| {
        let adopted = record.adopted.iter().filter_map(|file| UnitName::parse(file.path.file_name()?.to_str()?));
        let again = adopted.filter(|unit| running.contains(unit)).collect();
        record.leaving = Some(Leaving { generation: Some(generation), running: running.clone(), again }.after(record));
    })
    .map_err(End::not_written)?;
    let failures = host.run(&jobs(&running, JobKind::Stop), STOPPING).await.map_err(End::not_written)?.failed;
    if failures.is_empty() {
        return Ok(());
    }
    let now = host::snapshot(&host.manager, [Some(bundle)]).await.map_err(End::not_written)?;
    let stopped: Vec<&str> = running.iter().filter(|unit| !now.is_up(unit)).map(UnitName::as_str).collect();
    Err(not_stopped(&failures, &stopped))
}

/// Says what did not stop, and what did.
fn not_stopped(failures: &[String], stopped: &[&str]) -> End {
    let failed = format!("not everything stops: {}", failures.join("; "));
    let help = "No file was removed. Stop by hand what does not stop, and uninstall again.";
    if stopped.is_empty() {
        return End::new(Outcome::NotWritten, format!("{failed}. Everything still runs. {help}"));
    }
    let message = format!(
        "{failed}. These have stopped: {}. {help} To keep citadel instead, start them with `systemctl start`.",
        stopped.join(", ")
    );
    End::new(Outcome::Broken, message)
}

fn jobs(units: &BTreeSet<UnitName>, kind: JobKind) -> Vec<Job> {
    units.iter().map(|unit| Job { unit: unit.clone(), kind }).collect()
}

/// Returns what runs out of a generation of citadel, and nothing of others.
fn ours(snapshot: &Snapshot) -> BTreeSet<UnitName> {
    let ours = |unit: &&UnitName| {
        let fragment = snapshot.state(unit).fragment;
        fragment.is_some_and(|path| path.starts_with("/run/systemd/generator") || path.starts_with("/etc/citadel"))
    };
    snapshot.units.keys().filter(|unit| snapshot.is_up(unit)).filter(ours).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stop_says_what_stopped() {
        let failures = ["a.service: timeout".to_owned()];
        assert_eq!(not_stopped(&failures, &[]).outcome, Outcome::NotWritten);
        let end = not_stopped(&failures, &["b.service"]);
        assert_eq!(end.outcome, Outcome::Broken);
        assert!(end.message.contains("These have stopped: b.service."), "{}", end.message);
    }
}
