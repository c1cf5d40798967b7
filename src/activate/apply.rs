//! From one generation to the next on a running host: stops, the commit, files outside systemd, and the phases.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::error::DiskError;
use super::host::{self, Host, say};
use super::manager::{Job, JobKind};
use super::progress::Event;
use super::record::Record;
use super::switch::KEEP;
use super::trial::{SetAside, Trial};
use super::{Generation, adopt, current, links, store, system};
use crate::bundle::Bundle;
use crate::bundle::quantity::Span;
use crate::bundle::unit::UnitName;
use crate::health::Subject;
use crate::plan::{Action, Plan};

/// The longest that stopping units may take in all; each unit has its own `TimeoutStopSec=` besides.
const STOPPING: Duration = Duration::from_secs(15 * 60);
/// For what is in no phase.
const WITHOUT_PHASE: Duration = Duration::from_secs(15 * 60);

/// Carries out the plan of a trial; an error says what went wrong.
pub async fn apply(host: &mut Host<'_>, trial: &Trial, old: Option<&Bundle>, new: &Bundle) -> Result<(), String> {
    let plan = &trial.plan;
    let occupied = links::make(host.places, &new.manifest).map_err(text)?;
    if let Some(link) = occupied.first() {
        return Err(format!("somebody else put a file at {}", link.path.display()));
    }

    let stops: Vec<Job> = jobs(plan, |action| action.stops_first().then_some(JobKind::Stop));
    if !stops.is_empty() {
        say(host.log, &Event::Stage { name: "stop".to_owned() });
    }
    host.run(&stops, STOPPING).await.map_err(text)?.complain()?;

    say(host.log, &Event::Stage { name: "commit".to_owned() });
    current::set(host.places, Some(trial.to)).map_err(text)?;
    enter(host, old, Some((trial.to, new))).await?;
    reset_failed(host, plan).await;

    // What became healthy in an earlier phase than the last one, and had time to change its mind.
    let (mut earlier, mut last) = (Vec::new(), Vec::new());
    for (name, deadline) in phases(new) {
        let of = name.map(|name| format!("phase {name}: ")).unwrap_or_default();
        let healthy = phase(host, plan, new, name, deadline).await.map_err(|failure| format!("{of}{failure}"))?;
        if !healthy.is_empty() {
            earlier.append(&mut last);
            last = healthy;
        }
    }
    still_healthy(host, trial, new, earlier).await
}

/// Has systemd do all that a phase has to do, and waits until its services are healthy; returns these.
async fn phase(
    host: &mut Host<'_>,
    plan: &Plan,
    new: &Bundle,
    name: Option<&str>,
    deadline: Duration,
) -> Result<Vec<Subject>, String> {
    let mut jobs = jobs(plan, run_kind);
    jobs.retain(|job| plan.steps.get(&job.unit).is_some_and(|step| step.phase.as_deref() == name));
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(name) = name {
        say(host.log, &Event::Phase { name: name.to_owned(), units: jobs.len() });
    }
    let begun = Instant::now();
    let ran = host.run(&jobs, deadline).await.map_err(text)?;
    ran.complain()?;
    let mut subjects =
        host::subjects(new, jobs.iter().map(|job| &job.unit).filter(|unit| !ran.skipped.contains(*unit)));
    for subject in &mut subjects {
        // It has only just begun to run: each restart by systemd is one too many.
        subject.restarts = (plan.action(&subject.unit) != Action::Reload).then_some(0);
    }
    let unhealthy = host.gate(&subjects, deadline.saturating_sub(begun.elapsed())).await;
    if unhealthy.is_empty() { Ok(subjects) } else { Err(unhealthy.join("; ")) }
}

/// Makes sure that what became healthy in earlier phases still is, and what was healthy before and was not touched.
async fn still_healthy(host: &mut Host<'_>, trial: &Trial, new: &Bundle, earlier: Vec<Subject>) -> Result<(), String> {
    let untouched: BTreeSet<&UnitName> =
        trial.healthy.iter().filter(|unit| !trial.plan.action(unit).stops_processes()).collect();
    let mut subjects = earlier;
    let again: BTreeSet<UnitName> = subjects.iter().map(|subject| subject.unit.clone()).collect();
    subjects.extend(host::subjects(new, untouched.into_iter().filter(|unit| !again.contains(*unit))));
    for probe in subjects.iter_mut().flat_map(|subject| subject.probes.values_mut()) {
        // It has been healthy already: a failure counts.
        probe.start_period = Span::default();
    }
    let unhealthy = host.gate(&subjects, WITHOUT_PHASE).await;
    if unhealthy.is_empty() {
        Ok(())
    } else {
        Err(format!("healthy before, and not any more: {}", unhealthy.join("; ")))
    }
}

/// Has everything but units follow the generation that is current now, and the manager read its units again.
///
/// The manager does so whatever else fails: units of another generation than the current one must not start.
pub async fn enter(
    host: &mut Host<'_>,
    old: Option<&Bundle>,
    new: Option<(Generation, &Bundle)>,
) -> Result<(), String> {
    say(host.log, &Event::Stage { name: "reload".to_owned() });
    let applied = match (old, new) {
        (old, Some((generation, new))) => system::apply(host.places, old, generation, new).await,
        (Some(old), None) => Ok(system::leave(old).await),
        (None, None) => Ok(Vec::new()),
    };
    let mut reloaded = host.manager.reload().await;
    if reloaded.is_err() && host.reconnect().await.is_ok() {
        reloaded = host.manager.reload().await;
    }
    for message in applied.map_err(text)? {
        say(host.log, &Event::Warning { message });
    }
    reloaded.map_err(text)
}

/// Lets systemd forget earlier failures of what is about to start, so that no start limit is in the way.
pub async fn reset_failed(host: &mut Host<'_>, plan: &Plan) {
    // A limit that is in the way all the same shows in the job.
    let _ = host.manager.reset_failed(plan.order.iter().filter(|unit| run_kind(plan.action(unit)).is_some())).await;
}

/// Removes what only the generation before needed; the new one is proven, so nothing here fails the switch.
pub async fn tidy(host: &mut Host<'_>, trial: &Trial, new: &Bundle) {
    let mut problems = Vec::new();
    problems.extend(give_back(host, trial, new).await.err());
    problems.extend(links::prune(host.places, Some(&new.manifest)).err().map(text));
    problems.extend(store::gc(host.places, KEEP, trial.from).err().map(text));
    for message in problems {
        say(host.log, &Event::Warning { message });
    }
}

/// Puts back files of others that the new generation leaves room for, and starts those that this switch has stopped.
async fn give_back(host: &mut Host<'_>, trial: &Trial, new: &Bundle) -> Result<(), String> {
    let mut free = Record::read(host.places).map_err(text)?.adopted;
    free.retain(|file| !adopt::is_needed(file, &new.manifest));
    if free.is_empty() {
        return Ok(());
    }
    put_back(host, &free).map_err(text)?;
    host.manager.reload().await.map_err(text)?;
    let names = free.iter().filter_map(|file| UnitName::parse(file.path.file_name()?.to_str()?));
    let stopped: BTreeSet<UnitName> = names.filter(|unit| trial.plan.action(unit) == Action::Stop).collect();
    let starts: Vec<Job> = stopped.into_iter().map(|unit| Job { unit, kind: JobKind::Start }).collect();
    host.run(&starts, STOPPING).await.map_err(text)?.complain()
}

/// Puts files of others back, and says so; what cannot come back stays in the record.
pub fn put_back(host: &mut Host<'_>, files: &[SetAside]) -> Result<(), DiskError> {
    let not_back = adopt::put_back(host.places, files)?;
    Record::update(host.places, |record| {
        record.adopted.retain(|file| !files.contains(file) || not_back.occupied.contains(file));
    })?;
    let is_back = |file: &&SetAside| !not_back.lost.contains(&file.path) && !not_back.occupied.contains(file);
    let back = files.iter().filter(is_back).map(|file| format!("{} is back where it was", file.path.display()));
    for message in not_back.messages().into_iter().chain(back) {
        say(host.log, &Event::Warning { message });
    }
    Ok(())
}

/// Returns what systemd has to do after the commit.
pub fn run_kind(action: Action) -> Option<JobKind> {
    match action {
        Action::Reload => Some(JobKind::Reload),
        // Somebody may have started what was stopped, under its old definition.
        Action::Restart | Action::StopStart => Some(JobKind::Restart),
        Action::Start => Some(JobKind::Start),
        Action::Nothing | Action::ReloadManager | Action::Keep | Action::Stop => None,
    }
}

/// Returns jobs for the units of a plan, in its order.
pub fn jobs(plan: &Plan, kind: impl Fn(Action) -> Option<JobKind>) -> Vec<Job> {
    let job = |unit: &UnitName| Some(Job { unit: unit.clone(), kind: kind(plan.action(unit))? });
    plan.order.iter().filter_map(job).collect()
}

/// Returns the phases of a bundle with the time that each has, and what is in none.
pub fn phases(bundle: &Bundle) -> Vec<(Option<&str>, Duration)> {
    let phases = bundle.manifest.phases.iter();
    let named = phases.map(|phase| (Some(phase.name.as_str()), Duration::from_secs(phase.deadline_seconds)));
    named.chain([(None, WITHOUT_PHASE)]).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
