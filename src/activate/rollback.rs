//! The way back: the files, the units and what ran before a switch.
//!
//! It looks at what is there and not at how far the switch came, so it may be repeated from any point: after a failure,
//! after a kill, and after its own kill.

use std::time::Duration;

use super::apply::{self, Host, say};
use super::error::DiskError;
use super::manager::{Job, JobKind};
use super::progress::{Event, Outcome};
use super::record::Record;
use super::switch::End;
use super::trial::{SetAside, Stage, Trial};
use super::{adopt, current, links};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::{self, Plan};

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
    let now = apply::snapshot(host.manager, [from, to]).await;
    let stops = match &now {
        Ok(now) => {
            let plan = match to {
                Some(to) => plan::rollback(&trial.plans().collect::<Vec<_>>(), from, to, &trial.before, now),
                None => Plan::default(),
            };
            // On disk before it happens: after a kill, the next one has to know what this one started.
            trial.stage = Stage::RollingBack;
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

    // From here on a boot finds the old generation by itself, so files come before everything that can take long.
    let files = [
        current::set(host.places, trial.from).err(),
        put_back(host, trial).err(),
        from.and_then(|from| links::make(host.places, &from.manifest).err()),
    ];
    let whole = files.iter().all(Option::is_none);
    problems.extend(files.into_iter().flatten().map(|error| error.to_string()));
    problems.extend(apply::enter(host, to, trial.from.zip(from)).await.err());

    if let Some(plan) = stops {
        apply::reset_failed(host, &plan).await;
        run(host, &apply::jobs(&plan, apply::run_kind), &mut problems).await;
        let started = plan.order.iter().filter(|unit| apply::run_kind(plan.action(unit)).is_some());
        let healthy: Vec<_> = started.filter(|unit| host.healthy.contains(unit)).collect();
        let subjects = from.map(|from| apply::subjects(from, healthy)).unwrap_or_default();
        problems.extend(host.gate(&subjects, PART).await);
        problems.extend(settle(host, trial, from, to).await);
    }
    if whole {
        problems.extend(Trial::remove(host.places).err().map(|error| error.to_string()));
        let pruned = links::prune(host.places, from.map(|from| &from.manifest));
        problems.extend(pruned.err().map(|error| error.to_string()));
    }
    problems
}

/// Brings back what was set aside; what cannot come back is said and stops nothing.
fn put_back(host: &mut Host<'_>, trial: &Trial) -> Result<(), DiskError> {
    let not_back = adopt::put_back(host.places, &trial.set_aside)?;
    let kept = |file: &SetAside| !trial.set_aside.contains(file) || not_back.occupied.contains(file);
    Record::update(host.places, |record| record.adopted.retain(kept))?;
    for message in not_back.messages() {
        say(host.log, &Event::Warning { message });
    }
    Ok(())
}

async fn run(host: &mut Host<'_>, jobs: &[Job], problems: &mut Vec<String>) {
    match host.run(jobs, PART).await {
        Ok(failures) => problems.extend(failures),
        Err(error) => problems.push(error.to_string()),
    }
}

/// Stops what else the switch started, and compares what runs with what ran.
async fn settle(host: &mut Host<'_>, trial: &Trial, from: Option<&Bundle>, to: Option<&Bundle>) -> Vec<String> {
    let plans: Vec<&Plan> = trial.plans().collect();
    let mut problems = Vec::new();
    let surplus = match apply::snapshot(host.manager, [from, to]).await {
        Ok(now) => plan::surplus(from, &trial.before, &now, &plans),
        Err(error) => return vec![error.to_string()],
    };
    let stops: Vec<Job> = surplus.into_iter().map(|unit| Job { unit, kind: JobKind::Stop }).collect();
    run(host, &stops, &mut problems).await;
    match apply::snapshot(host.manager, [from, to]).await {
        Ok(now) => {
            let wrong = plan::mismatch(from, &trial.before, &now, &plans);
            problems.extend(wrong.iter().map(ToString::to_string));
        }
        Err(error) => problems.push(error.to_string()),
    }
    problems
}
