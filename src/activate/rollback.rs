//! The way back: the files, the units and what ran before a switch.
//!
//! It looks at what is there and not at how far the switch came, so it may be repeated from any point: after a failure,
//! after a kill, and after its own kill. The trial goes only when every step was carried out; until then systemd starts
//! recovery again, and a boot chooses the old generation.

use std::time::Duration;

use super::apply;
use super::confirm;
use super::end::End;
use super::error::DiskError;
use super::host::{self, Host, say};
use super::manager::{BusError, Job, JobKind};
use super::progress::{Event, Outcome};
use super::trial::Trial;
use super::{current, links};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::{self, Plan, Snapshot};

/// The longest that each part may take in all; units have their own limits besides.
const PART: Duration = Duration::from_secs(30 * 60);

/// Takes a switch back, and says in one paragraph what failed, what was restored, and how to look further.
pub async fn roll_back(
    host: &mut Host<'_>,
    mut trial: Trial,
    from: Option<&Bundle>,
    to: Option<&Bundle>,
    failure: &str,
) -> End {
    match confirm::claim(host.places, &mut trial) {
        Ok(true) => {}
        Ok(false) => {
            return End::new(Outcome::Done, format!("generation {} was confirmed in the last moment", trial.to));
        }
        // What cannot be written now may well be renamed and removed.
        Err(error) => say(host.log, &Event::Warning { message: error.to_string() }),
    }
    say(host.log, &Event::Stage { name: "roll back".to_owned() });
    let problems = restore(host, &mut trial, from, to).await;
    let back = match trial.from {
        Some(generation) => format!("generation {generation}"),
        None => "no generation, as before".to_owned(),
    };
    let look =
        format!("`citadel-activate history {}` has the details, `journalctl -u UNIT` what a unit said", trial.id);
    if problems.is_empty() {
        let restored = restored(&trial);
        return End::new(
            Outcome::RolledBack,
            format!("generation {} failed: {failure}. Back to {back}: {restored}. {look}.", trial.to),
        );
    }
    End::new(
        Outcome::Broken,
        format!(
            "generation {} failed: {failure}. Going back to {back} did not wholly work: {}. {look}.",
            trial.to,
            problems.join("; ")
        ),
    )
}

fn restored(trial: &Trial) -> String {
    let ours = |unit: &&UnitName| trial.plan.steps.contains_key(unit.as_str());
    let running = trial.before.units.keys().filter(ours).filter(|unit| trial.before.is_up(unit)).count();
    let touched = trial.plan.order.iter().any(|unit| trial.plan.action(unit).stops_processes());
    match (running, touched) {
        (0, _) => "nothing of it ran before, and nothing of it runs now".to_owned(),
        (running, false) => format!("all {running} units that ran before still run"),
        (running, true) => format!("all {running} units that ran before run again"),
    }
}

/// Brings back files and run state, and returns what could not be brought back.
async fn restore(host: &mut Host<'_>, trial: &mut Trial, from: Option<&Bundle>, to: Option<&Bundle>) -> Vec<String> {
    let mut problems = Vec::new();
    // What failed may have been the connection.
    let now = match host.reconnect().await {
        Ok(()) => look(host, trial, from, to).await,
        Err(error) => Err(error),
    };
    let plan = match now {
        Ok(now) => {
            let plan = plan::rollback(&trial.plans().collect::<Vec<_>>(), from, to, &trial.before, &now);
            // On disk before it happens: after a kill, the next attempt has to know what this one started.
            trial.went_back.push(plan.clone());
            if let Err(error) = trial.write(host.places) {
                say(host.log, &Event::Warning { message: error.to_string() });
            }
            run(host, &apply::jobs(&plan, |action| action.stops_first().then_some(JobKind::Stop)), &mut problems).await;
            Some(plan)
        }
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };

    if let Err(error) = files(host, trial, from) {
        // The new generation counts still, and nothing may start as if the old one did.
        problems.push(error.to_string());
        return problems;
    }
    let entered = apply::enter(host, to, trial.from.zip(from)).await;
    let whole = plan.is_some() && entered.is_ok();
    problems.extend(entered.err());

    if let Some(plan) = plan {
        apply::reset_failed(host, &plan).await;
        run(host, &apply::jobs(&plan, apply::run_kind), &mut problems).await;
        let started = plan.order.iter().filter(|unit| apply::run_kind(plan.action(unit)).is_some());
        let healthy: Vec<_> = started.filter(|unit| trial.healthy.contains(*unit)).collect();
        let subjects = from.map(|from| host::subjects(from, healthy)).unwrap_or_default();
        problems.extend(host.gate(&subjects, PART).await);
        problems.extend(settle(host, trial, from, to).await);
    }
    if whole {
        problems.extend(Trial::remove(host.places).err().map(|error| error.to_string()));
    }
    problems
}

/// Asks systemd about all units of the switch. What only a bundle that cannot be read has, the plans name.
async fn look(
    host: &Host<'_>,
    trial: &Trial,
    from: Option<&Bundle>,
    to: Option<&Bundle>,
) -> Result<Snapshot, BusError> {
    let mut names = host::names([from, to]);
    if to.is_none() {
        names.extend(trial.plans().flat_map(|plan| plan.steps.keys()).cloned());
    }
    host::snapshot_of(&host.manager, &names).await
}

/// Brings back the files of the generation before. From here on a boot finds it by itself.
fn files(host: &mut Host<'_>, trial: &Trial, from: Option<&Bundle>) -> Result<(), DiskError> {
    // A disk that refuses once may take it the next time, and much depends on this step.
    current::set(host.places, trial.from).or_else(|_| current::set(host.places, trial.from))?;
    apply::put_back(host, &trial.set_aside)?;
    if let Some(from) = from {
        links::make(host.places, &from.manifest)?;
    }
    links::prune(host.places, from.map(|from| &from.manifest))?;
    Ok(())
}

async fn run(host: &mut Host<'_>, jobs: &[Job], problems: &mut Vec<String>) {
    match host.run(jobs, PART).await {
        Ok(ran) => problems.extend(ran.failed),
        Err(error) => problems.push(error.to_string()),
    }
}

/// Stops what else the switch started, and compares what runs with what ran.
async fn settle(host: &mut Host<'_>, trial: &Trial, from: Option<&Bundle>, to: Option<&Bundle>) -> Vec<String> {
    let plans: Vec<&Plan> = trial.plans().collect();
    let mut problems = Vec::new();
    let surplus = match look(host, trial, from, to).await {
        Ok(now) => plan::surplus(from, &trial.before, &now, &plans),
        Err(error) => return vec![error.to_string()],
    };
    let stops: Vec<Job> = surplus.into_iter().map(|unit| Job { unit, kind: JobKind::Stop }).collect();
    run(host, &stops, &mut problems).await;
    match look(host, trial, from, to).await {
        Ok(now) => {
            let wrong = plan::mismatch(from, &trial.before, &now, &plans);
            problems.extend(wrong.iter().map(ToString::to_string));
        }
        Err(error) => problems.push(error.to_string()),
    }
    problems
}
