//! What happens to a switch that nobody works on any more: its process was killed, or the machine went down.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::end::{self, End};
use super::error::DiskError;
use super::history::{Entry, Kind};
use super::host::{self, Host, say};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::Manager;
use super::places::Places;
use super::progress::{Event, Outcome};
use super::record::Record;
use super::trial::{self, Stage, Trial};
use super::{Generation, adopt, apply, current, links, rollback, store};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::{self, ActiveState, LoadState, Snapshot};

/// How long recovery waits for whoever has the lock, such as one that removes old generations.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// When recovery runs, and so what it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// By its unit: early in a boot, before anything that the generation decides and so for files only; or at once when
    /// a switch of this boot was killed.
    Early,
    /// At the end of a boot that tries a generation.
    Booted,
    /// Asked for by somebody, or by the next switch.
    Later,
}

/// Finishes what an earlier switch left, and returns how that ended; none when there is nothing to do.
pub async fn recover(places: &Places, moment: Moment) -> Option<End> {
    // Whoever is killed loses the lock; a recovery that another is quicker than has nothing left to do.
    let _lock = match Lock::take_within(places, PATIENCE).await {
        Ok(lock) => lock,
        Err(error @ LockError::Busy { .. }) => return Some(End::new(Outcome::Busy, error.to_string())),
        Err(error) => return Some(End::not_written(error)),
    };
    let trial = match Trial::read(places) {
        Ok(trial) => trial?,
        Err(error) => return Some(broken(&error)),
    };
    let mut log = Log::open(places, &trial.id).ok();
    let begun = Instant::now();
    let end = finish(places, trial, moment, &mut log, begun).await?;
    end::tell(&mut log, &end, begun);
    Some(end)
}

/// Takes back what an earlier switch left, before another begins; the caller holds the lock.
pub async fn finish_earlier(places: &Places, log: &mut Option<Log>) -> Result<(), End> {
    let Some(trial) = Trial::read(places).map_err(End::refused)? else { return Ok(()) };
    say(log, &Event::Warning { message: format!("the switch {} was not finished; that comes first", trial.id) });
    match finish(places, trial, Moment::Later, log, Instant::now()).await {
        Some(end) if end.outcome == Outcome::Broken => Err(end),
        _ => Ok(()),
    }
}

/// Does what has to be done about a trial, and keeps it in the history.
async fn finish(places: &Places, trial: Trial, moment: Moment, log: &mut Option<Log>, begun: Instant) -> Option<End> {
    let kind = if moment == Moment::Booted { Kind::Boot } else { Kind::Recover };
    let mut entry = Entry::new(&trial.id, &trial.by, kind);
    entry.from = trial.from;
    entry.to = Some(trial.to);
    let end = decide(places, trial, moment, log).await?;
    end::keep(places, log, entry, &end, begun, moment == Moment::Early);
    Some(end)
}

async fn decide(places: &Places, mut trial: Trial, moment: Moment, log: &mut Option<Log>) -> Option<End> {
    let boot = match trial::boot_id() {
        Ok(boot) => boot,
        Err(error) => return Some(broken(&error)),
    };
    let of_this_boot = trial.boot == boot;
    match (trial.stage, moment) {
        (Stage::NextBoot, Moment::Later) if of_this_boot => return Some(cancel(places, &trial)),
        // The one who asked has not booted yet.
        (Stage::NextBoot, _) if of_this_boot => return None,
        (Stage::NextBoot, _) => {
            let tried = try_boot(places, &mut trial, boot);
            if moment == Moment::Early || tried.outcome == Outcome::Broken {
                return Some(tried);
            }
        }
        (_, Moment::Early) if !of_this_boot => return Some(restore_files(places, &trial)),
        _ => {}
    }
    let manager = match Manager::connect().await {
        Ok(manager) => manager,
        Err(error) => return Some(broken(&error)),
    };
    if !of_this_boot && trial.stage != Stage::Booting {
        // This boot began with the old generation: the generator saw to that.
        let end = restore_files(places, &trial);
        return Some(match manager.reload().await {
            Ok(()) => end,
            Err(error) => broken(&error),
        });
    }
    let host = Host::new(places, manager, log);
    match (trial.stage, moment) {
        (Stage::Booting, Moment::Booted) => Some(judge_boot(host, trial).await),
        // Another switch has begun since the boot.
        (_, Moment::Booted) => None,
        _ => Some(take_back(host, trial, "it was interrupted").await),
    }
}

/// Forgets a switch that the next boot would have tried.
fn cancel(places: &Places, trial: &Trial) -> End {
    match Trial::remove(places) {
        Ok(()) => End::new(Outcome::RolledBack, format!("the next boot does not try generation {} any more", trial.to)),
        Err(error) => broken(&error),
    }
}

/// Makes the generation that this boot has started with the current one.
///
/// The link comes before the trial: between the two, the trial still says that the next boot tries it, and so a reload of
/// the manager in this boot chooses it, too.
fn try_boot(places: &Places, trial: &mut Trial, boot: String) -> End {
    let to = trial.to;
    trial.stage = Stage::Booting;
    trial.boot = boot;
    let entered = || -> Result<(), DiskError> {
        links::make(places, &store::read_as_is(places, to)?.manifest)?;
        current::set(places, Some(to))?;
        trial.write(places)
    };
    match entered() {
        Ok(()) => End::new(Outcome::NextBoot, format!("this boot tries generation {to}")),
        Err(error) => broken(&error),
    }
}

/// Says how the machine came up again; its units are there already, for the generator chose them.
fn restore_files(places: &Places, trial: &Trial) -> End {
    match files_back(places, trial) {
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

/// Brings back the files of the generation before a switch that was not proven, on a host that runs nothing of the new one.
pub fn files_back(places: &Places, trial: &Trial) -> Result<(), DiskError> {
    current::set(places, trial.from)?;
    let not_back = adopt::put_back(places, &trial.set_aside)?;
    Record::update(places, |record| {
        record.adopted.retain(|file| !trial.set_aside.contains(file) || not_back.occupied.contains(file));
    })?;
    match trial.from.map(|from| store::read_as_is(places, from)) {
        None => drop(links::prune(places, None)?),
        Some(Ok(from)) => {
            links::make(places, &from.manifest)?;
            links::prune(places, Some(&from.manifest))?;
        }
        // Which links it needs is not known, and one too many does less harm than one too few.
        Some(Err(_)) => {}
    }
    Trial::remove(places)
}

/// Waits until everything that this boot started is healthy, and goes back otherwise.
async fn judge_boot(mut host: Host<'_>, trial: Trial) -> End {
    let to = match store::read(host.places, trial.to) {
        Ok(to) => to,
        Err(error) => return take_back(host, trial, &error.to_string()).await,
    };
    let unhealthy = match host::snapshot(&host.manager, [Some(&to)]).await {
        Ok(now) => {
            let units = expected(&to, &now);
            let deadline = apply::phases(&to).iter().map(|(_, deadline)| *deadline).sum();
            host.gate(&host::subjects(&to, &units), deadline).await
        }
        Err(error) => vec![error.to_string()],
    };
    if !unhealthy.is_empty() {
        return take_back(host, trial, &unhealthy.join("; ")).await;
    }
    if let Err(error) = Trial::remove(host.places) {
        return broken(&error);
    }
    apply::tidy(&mut host, &trial, &to).await;
    End::new(Outcome::Done, format!("the machine booted with generation {}, and everything is healthy", trial.to))
}

/// Returns the units that a boot should have started. What did not even begin has a mask, a condition that does not hold,
/// or needs another unit that failed and is here itself.
fn expected(bundle: &Bundle, now: &Snapshot) -> Vec<UnitName> {
    let began = |unit: &UnitName| {
        let state = now.state(unit);
        state.load == LoadState::Loaded && (state.active != ActiveState::Inactive || state.job)
    };
    Snapshot::assumed(bundle).units.into_keys().filter(began).collect()
}

async fn take_back(mut host: Host<'_>, trial: Trial, why: &str) -> End {
    let mut problems = Vec::new();
    let from = trial.from.and_then(|from| read(host.places, from, &mut problems));
    let to = read(host.places, trial.to, &mut problems);
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
    let now = match host::snapshot(&host.manager, [Some(to), Some(from)]).await {
        Ok(now) => now,
        Err(error) => return End::new(Outcome::Broken, format!("{failed}. {error}.")),
    };
    let plan = plan::forward(Some(to), from, &now);
    let back = Trial { from: Some(trial.to), to: generation, plan, before: now, ..trial };
    let moved = apply::apply(host, &back, Some(to), from).await;
    let removed = moved.and_then(|()| Trial::remove(host.places).map_err(|error| error.to_string()));
    match removed {
        Ok(()) => {
            apply::tidy(host, &back, from).await;
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

fn read(places: &Places, generation: Generation, problems: &mut Vec<String>) -> Option<Bundle> {
    store::read_as_is(places, generation).map_err(|error| problems.push(error.to_string())).ok()
}

fn broken(error: &impl Display) -> End {
    End::new(Outcome::Broken, error.to_string())
}
