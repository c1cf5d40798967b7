//! What happens to a switch that nobody works on any more: its process was killed, or the machine went down.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::apply::{self, Host, say};
use super::history::{Entry, Kind};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::Manager;
use super::places::Places;
use super::progress::{Event, Outcome};
use super::record::Record;
use super::switch::{self, End};
use super::trial::{self, Stage, Trial};
use super::{Generation, adopt, current, rollback, store};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::{self, Snapshot};

/// When recovery runs, and so what it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// By its unit: early in a boot, before anything that the generation decides and so for files only; or at once when
    /// a switch of this boot was killed.
    Early,
    /// At the end of a boot that tries a generation.
    Booted,
    /// At any time later.
    Later,
}

/// Finishes what an earlier switch left, and returns how that ended; none when there is nothing to do.
pub async fn recover(places: &Places, moment: Moment) -> Option<End> {
    let begun = Instant::now();
    // Whoever is killed loses the lock; a recovery that another is quicker than has nothing left to do.
    let _lock = match Lock::try_take(places) {
        Ok(lock) => lock,
        Err(error @ LockError::Busy { .. }) => return Some(End::new(Outcome::Busy, error.to_string())),
        Err(error) => return Some(End::new(Outcome::NotWritten, error.to_string())),
    };
    let trial = match Trial::read(places) {
        Ok(trial) => trial?,
        Err(error) => return Some(End::new(Outcome::Broken, error.to_string())),
    };
    let mut log = Log::open(places, &trial.id).ok();
    let mut entry = Entry::new(&trial.id, &trial.by, Kind::Recover);
    entry.from = Some(trial.to);
    entry.to = trial.from;
    let end = finish(places, trial, moment, &mut log).await?;
    switch::finish(places, &mut log, entry, end.clone(), begun);
    Some(end)
}

/// Takes back what an earlier switch left, before another begins; the caller holds the lock.
pub async fn finish_earlier(places: &Places, manager: &Manager, log: &mut Option<Log>) -> Result<(), End> {
    let Some(trial) = Trial::read(places).map_err(|error| End::new(Outcome::Refused, error.to_string()))? else {
        return Ok(());
    };
    if trial.stage == Stage::NextBoot {
        return Trial::remove(places).map_err(|error| End::new(Outcome::NotWritten, error.to_string()));
    }
    say(log, &Event::Warning { message: format!("the switch {} was interrupted; it is taken back first", trial.id) });
    let end = take_back(places, manager, trial, "it was interrupted", log).await;
    if end.outcome == Outcome::RolledBack { Ok(()) } else { Err(end) }
}

async fn finish(places: &Places, trial: Trial, moment: Moment, log: &mut Option<Log>) -> Option<End> {
    let boot = match trial::boot_id() {
        Ok(boot) => boot,
        Err(error) => return Some(broken(&error)),
    };
    match (trial.stage, moment) {
        (Stage::NextBoot, Moment::Early) if trial.boot != boot => return Some(try_boot(places, trial, boot)),
        // The one who asked has not booted yet.
        (Stage::NextBoot, _) => return None,
        (_, Moment::Early) if trial.boot != boot => return Some(restore_files(places, &trial)),
        _ => {}
    }
    let manager = match Manager::connect().await {
        Ok(manager) => manager,
        Err(error) => return Some(broken(&error)),
    };
    if trial.boot != boot {
        // This boot began with the old generation: the generator saw to that.
        let end = restore_files(places, &trial);
        return Some(match manager.reload().await {
            Ok(()) => end,
            Err(error) => broken(&error),
        });
    }
    match (trial.stage, moment) {
        (Stage::Booting, Moment::Booted) => Some(judge_boot(places, &manager, trial, log).await),
        // Another switch has begun since the boot.
        (_, Moment::Booted) => None,
        _ => Some(take_back(places, &manager, trial, "its process was killed", log).await),
    }
}

/// Makes the generation that this boot has started with the current one.
///
/// The link comes first: between the two steps the trial still says that the next boot tries it, and so a reload of the
/// manager in this boot chooses it, too.
fn try_boot(places: &Places, mut trial: Trial, boot: String) -> End {
    let to = trial.to;
    trial.stage = Stage::Booting;
    trial.boot = boot;
    match current::set(places, Some(to)).and_then(|()| trial.write(places)) {
        Ok(()) => End::new(Outcome::NextBoot, format!("this boot tries generation {to}")),
        Err(error) => broken(&error),
    }
}

/// Brings back the files of the generation before; its units are there already, for the generator chose them.
fn restore_files(places: &Places, trial: &Trial) -> End {
    let restored = current::set(places, trial.from)
        .and_then(|()| adopt::put_back(places, &trial.set_aside))
        .and_then(|_| Record::update(places, |record| record.adopted.retain(|file| !trial.set_aside.contains(file))))
        .and_then(|()| Trial::remove(places));
    match restored {
        Ok(()) => {
            let back = trial.from.map_or("no generation".to_owned(), |from| format!("generation {from}"));
            let message = format!(
                "the machine went down before generation {} was proven, so it came up with {back} again",
                trial.to
            );
            End::new(Outcome::RolledBack, message)
        }
        Err(error) => broken(&error),
    }
}

/// Waits until everything that this boot started is healthy, and goes back otherwise.
async fn judge_boot(places: &Places, manager: &Manager, trial: Trial, log: &mut Option<Log>) -> End {
    let to = match store::read(places, trial.to) {
        Ok(to) => to,
        Err(error) => return take_back(places, manager, trial, &error.to_string(), log).await,
    };
    let mut host = Host { places, manager, log, healthy: Vec::new() };
    let units: Vec<UnitName> = Snapshot::assumed(&to).units.into_keys().collect();
    let deadline = to.manifest.phases.iter().map(|phase| phase.deadline_seconds).sum::<u64>();
    let subjects = apply::subjects(&to, &units);
    let unhealthy = host.gate(&subjects, Duration::from_secs(deadline)).await;
    if !unhealthy.is_empty() {
        return take_back(places, manager, trial, &unhealthy.join("; "), log).await;
    }
    if let Err(error) = Trial::remove(places) {
        return broken(&error);
    }
    apply::tidy(&mut host, &to).await;
    End::new(Outcome::Done, format!("the machine booted with generation {}, and everything is healthy", trial.to))
}

async fn take_back(places: &Places, manager: &Manager, trial: Trial, why: &str, log: &mut Option<Log>) -> End {
    let mut problems = Vec::new();
    let from = trial.from.and_then(|from| read(places, from, &mut problems));
    let to = read(places, trial.to, &mut problems);
    let mut host = Host { places, manager, log, healthy: Vec::new() };
    for message in problems {
        say(host.log, &Event::Warning { message });
    }
    match (trial.stage, trial.from, &from, &to) {
        (Stage::Booting, Some(generation), Some(from), Some(to)) => {
            back_from_boot(&mut host, trial, (generation, from), to, why).await
        }
        _ => rollback::roll_back(&mut host, trial, from.as_ref(), to.as_ref(), why).await,
    }
}

/// Goes back from a generation that a boot has tried.
///
/// What ran before that boot says nothing about what runs now, so this is a move like any other, from the new generation
/// to the old one. Until it is done the trial stays as it is: another boot would choose the old one.
async fn back_from_boot(
    host: &mut Host<'_>,
    trial: Trial,
    (generation, from): (Generation, &Bundle),
    to: &Bundle,
    why: &str,
) -> End {
    let failed = format!("generation {} failed at boot: {why}", trial.to);
    let moved = match apply::snapshot(host.manager, [Some(to), Some(from)]).await {
        Ok(now) => {
            let plan = plan::forward(Some(to), from, &now);
            let back = Trial { from: Some(trial.to), to: generation, plan, before: now, ..trial };
            apply::apply(host, &back, Some(to), from).await
        }
        Err(error) => Err(error.to_string()),
    };
    let removed = moved.and_then(|()| Trial::remove(host.places).map_err(|error| error.to_string()));
    match removed {
        Ok(()) => {
            apply::tidy(host, from).await;
            End::new(
                Outcome::RolledBack,
                format!("{failed}. Back to generation {generation}, and all of it is healthy."),
            )
        }
        Err(error) => {
            End::new(Outcome::Broken, format!("{failed}. Going back to generation {generation} failed: {error}."))
        }
    }
}

fn read(places: &Places, generation: super::Generation, problems: &mut Vec<String>) -> Option<Bundle> {
    store::read(places, generation).map_err(|error| problems.push(error.to_string())).ok()
}

fn broken(error: &impl Display) -> End {
    End::new(Outcome::Broken, error.to_string())
}
