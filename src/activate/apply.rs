//! From one generation to the next on a running host: stops, the commit, files outside systemd, and the phases.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::error::DiskError;
use super::log::Log;
use super::manager::{BusError, Job, JobEvent, JobKind, Manager};
use super::places::Places;
use super::progress::{Event, UnitProgress};
use super::record::Record;
use super::trial::Trial;
use super::{Generation, adopt, current, links, store, switch, system};
use crate::bundle::Bundle;
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};
use crate::health::gate::Why;
use crate::health::{self, GateEvent, GpuProcesses, Subject, Verdict};
use crate::plan::{Action, Plan, Snapshot, UnitState};

/// The longest that stopping units may take in all; each unit has its own `TimeoutStopSec=` besides.
const STOPPING: Duration = Duration::from_secs(15 * 60);
/// For what is in no phase.
const WITHOUT_PHASE: Duration = Duration::from_secs(15 * 60);

/// The host that is being changed, and whoever watches.
pub struct Host<'a> {
    pub places: &'a Places,
    pub manager: &'a Manager,
    pub log: &'a mut Option<Log>,
    /// The services whose probes all passed before.
    pub healthy: Vec<UnitName>,
}

/// Tells those who follow the switch; that nobody can hear it stops nothing.
pub fn say(log: &mut Option<Log>, event: &Event) {
    if let Some(log) = log {
        let _ = log.append(event);
    }
}

/// Asks systemd about all units of some bundles, and about those of others that depend on them.
pub async fn snapshot<'a>(
    manager: &Manager,
    bundles: impl IntoIterator<Item = Option<&'a Bundle>>,
) -> Result<Snapshot, BusError> {
    let mut names = BTreeSet::new();
    for bundle in bundles.into_iter().flatten() {
        for (name, entry) in &bundle.manifest.units {
            names.extend(UnitName::parse(name));
            names.extend(entry.wanted_by.iter().filter_map(|name| UnitName::parse(name)));
        }
    }
    let mut snapshot = manager.units(&names).await?;
    let loaded = snapshot.units.keys().cloned().collect();
    manager.details(&mut snapshot, &loaded).await?;
    Ok(snapshot)
}

/// Returns what a gate needs to know of these units.
pub fn subjects<'a>(bundle: &Bundle, units: impl IntoIterator<Item = &'a UnitName>) -> Vec<Subject> {
    units.into_iter().filter_map(|unit| subject(bundle, unit)).collect()
}

fn subject(bundle: &Bundle, unit: &UnitName) -> Option<Subject> {
    if unit.kind() != UnitKind::Service {
        return None;
    }
    let entry = |name: &UnitName| bundle.manifest.units.get(name.as_str());
    let entry = entry(unit).or_else(|| entry(&unit.template()?))?;
    let text = bundle.files.get(&entry.file)?;
    let file = UnitFile::parse(&String::from_utf8_lossy(text)).ok()?;
    Subject::new(unit.clone(), entry, &file).ok()
}

impl Host<'_> {
    /// Probes what runs, so that an old wound does not fail the switch.
    pub async fn look_at_health(&mut self, old: Option<&Bundle>, before: &Snapshot) {
        let Some(old) = old else { return };
        let running: Vec<UnitName> = before.units.keys().filter(|unit| before.is_up(unit)).cloned().collect();
        let subjects = subjects(old, &running);
        let answers = health::once(&subjects, self.manager).await;
        self.healthy = answers
            .into_iter()
            .filter(|(_, probes)| probes.iter().all(|(_, answer)| answer.is_ok()))
            .map(|(unit, _)| unit)
            .collect();
    }

    /// Has systemd do something, and returns what did not succeed.
    pub async fn run(&mut self, jobs: &[Job], within: Duration) -> Result<Vec<String>, BusError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let log = &mut *self.log;
        let mut observe = |event: JobEvent| {
            let (unit, kind, state) = match event {
                JobEvent::Queued { unit, kind } => (unit, kind, UnitProgress::Begun),
                JobEvent::Ended { unit, kind, outcome } if outcome.is_ok() => {
                    (unit, kind, UnitProgress::Done { seconds: outcome.took.as_secs_f64() })
                }
                JobEvent::Ended { unit, kind, outcome } => {
                    (unit, kind, UnitProgress::Failed { message: outcome.to_string() })
                }
            };
            say(log, &Event::Unit { unit, action: action(kind), state });
        };
        let outcomes = self.manager.run(jobs, within, &mut observe).await?;
        let failed = outcomes.iter().filter(|(_, outcome)| !outcome.is_ok());
        Ok(failed.map(|(unit, outcome)| format!("{unit}: {outcome}")).collect())
    }

    /// Waits until services are healthy, and returns what is not.
    pub async fn gate(&mut self, subjects: &[Subject], within: Duration) -> Vec<String> {
        let log = &mut *self.log;
        let mut observe = |event: GateEvent| match event {
            GateEvent::Waiting { unit, message } => say(log, &Event::Waiting { unit, message }),
            GateEvent::Healthy { unit, .. } => say(log, &Event::Healthy { unit }),
            GateEvent::Note { unit, message } => {
                say(log, &Event::Warning { message: format!("{unit}: {message}") });
            }
            // The verdict says it, too.
            GateEvent::Unhealthy { .. } => {}
        };
        let deadline = tokio::time::Instant::now() + within;
        let verdicts = health::gate(subjects, self.manager, Some(deadline), &mut observe).await;
        let unhealthy = |(unit, verdict): (UnitName, Verdict)| match verdict {
            Verdict::Unhealthy(why @ Why::Probe { .. }) => Some(format!("{unit} is not healthy: {why}")),
            Verdict::Unhealthy(why) => Some(format!("{unit} {why}")),
            Verdict::Healthy { .. } | Verdict::Undecided { .. } => None,
        };
        verdicts.into_iter().filter_map(unhealthy).collect()
    }
}

impl health::Host for Manager {
    async fn unit(&self, unit: &UnitName) -> Result<UnitState, String> {
        Manager::unit(self, unit).await.map_err(|error| error.to_string())
    }

    fn gpu(&self) -> Option<&dyn GpuProcesses> {
        None
    }
}

/// Carries out the plan of a trial; an error says what went wrong.
pub async fn apply(host: &mut Host<'_>, trial: &Trial, old: Option<&Bundle>, new: &Bundle) -> Result<(), String> {
    let plan = &trial.plan;
    let occupied = links::make(host.places, &new.manifest).map_err(|error| error.to_string())?;
    if let Some(link) = occupied.first() {
        return Err(format!("somebody else put a file at {}", link.path.display()));
    }

    let stops: Vec<Job> = jobs(plan, |action| action.stops_first().then_some(JobKind::Stop));
    if !stops.is_empty() {
        say(host.log, &Event::Stage { name: "stop".to_owned() });
    }
    complain(host.run(&stops, STOPPING).await)?;

    say(host.log, &Event::Stage { name: "commit".to_owned() });
    current::set(host.places, Some(trial.to)).map_err(|error| error.to_string())?;
    enter(host, old, Some((trial.to, new))).await?;
    reset_failed(host, plan).await;

    for (name, deadline) in phases(new) {
        let of_phase = |unit: &UnitName| plan.steps.get(unit).is_some_and(|step| step.phase.as_deref() == name);
        let units: Vec<&UnitName> = plan.order.iter().filter(|unit| of_phase(unit)).collect();
        let jobs: Vec<Job> = units
            .iter()
            .filter_map(|unit| Some(Job { unit: (*unit).clone(), kind: run_kind(plan.action(unit))? }))
            .collect();
        if jobs.is_empty() {
            continue;
        }
        if let Some(name) = name {
            say(host.log, &Event::Phase { name: name.to_owned(), units: jobs.len() });
        }
        let begun = Instant::now();
        let of = name.map(|name| format!("phase {name}: ")).unwrap_or_default();
        complain(host.run(&jobs, deadline).await).map_err(|failure| format!("{of}{failure}"))?;
        let mut subjects = subjects(new, jobs.iter().map(|job| &job.unit));
        for subject in &mut subjects {
            // It has only just begun to run: each restart by systemd is one too many.
            subject.restarts = (plan.action(&subject.unit) != Action::Reload).then_some(0);
        }
        let unhealthy = host.gate(&subjects, deadline.saturating_sub(begun.elapsed())).await;
        if !unhealthy.is_empty() {
            return Err(format!("{of}{}", unhealthy.join("; ")));
        }
    }
    still_healthy(host, plan, new).await
}

/// Makes sure that what the switch did not touch and what was healthy before still is.
async fn still_healthy(host: &mut Host<'_>, plan: &Plan, new: &Bundle) -> Result<(), String> {
    let untouched: Vec<UnitName> =
        host.healthy.iter().filter(|unit| !plan.action(unit).stops_processes()).cloned().collect();
    let mut subjects = subjects(new, &untouched);
    for probe in subjects.iter_mut().flat_map(|subject| subject.probes.values_mut()) {
        // It runs for long: a failure counts.
        probe.start_period = crate::bundle::quantity::Span::default();
    }
    let unhealthy = host.gate(&subjects, WITHOUT_PHASE).await;
    if unhealthy.is_empty() {
        Ok(())
    } else {
        Err(format!("healthy before, and not any more: {}", unhealthy.join("; ")))
    }
}

/// Has everything but units follow the generation that is current now, and the manager read its units again.
pub async fn enter(
    host: &mut Host<'_>,
    old: Option<&Bundle>,
    new: Option<(Generation, &Bundle)>,
) -> Result<(), String> {
    say(host.log, &Event::Stage { name: "reload".to_owned() });
    let warnings = match (old, new) {
        (old, Some((generation, new))) => {
            system::apply(host.places, old, generation, new).await.map_err(|error| error.to_string())?
        }
        (Some(old), None) => system::leave(old).await,
        (None, None) => Vec::new(),
    };
    for message in warnings {
        say(host.log, &Event::Warning { message });
    }
    host.manager.reload().await.map_err(|error| error.to_string())
}

/// Lets systemd forget earlier failures of what is about to start, so that no start limit is in the way.
pub async fn reset_failed(host: &mut Host<'_>, plan: &Plan) {
    for unit in plan.order.iter().filter(|unit| run_kind(plan.action(unit)).is_some()) {
        // A unit that systemd has not loaded has no failure to forget.
        let _ = host.manager.reset_failed(unit).await;
    }
}

/// Removes what only the generation before needed.
pub async fn tidy(host: &mut Host<'_>, new: &Bundle) {
    let mut problems = Vec::new();
    problems.extend(give_back(host, new).await.err());
    problems.extend(links::prune(host.places, Some(&new.manifest)).err());
    problems.extend(store::gc(host.places, switch::KEEP).err());
    for problem in problems {
        say(host.log, &Event::Warning { message: problem.to_string() });
    }
}

/// Puts back files of others that the new generation leaves room for.
async fn give_back(host: &mut Host<'_>, new: &Bundle) -> Result<(), DiskError> {
    let mut free = Record::read(host.places)?.adopted;
    free.retain(|file| !adopt::is_needed(file, &new.manifest));
    if free.is_empty() {
        return Ok(());
    }
    let not_back = adopt::put_back(host.places, &free)?;
    Record::update(host.places, |record| {
        record.adopted.retain(|file| !free.contains(file) || not_back.occupied.contains(file));
    })?;
    let back = free.iter().filter(|file| !not_back.lost.contains(&file.path) && !not_back.occupied.contains(file));
    let back: Vec<String> = back.map(|file| format!("{} is back where it was", file.path.display())).collect();
    for message in not_back.messages().into_iter().chain(back) {
        say(host.log, &Event::Warning { message });
    }
    if let Err(error) = host.manager.reload().await {
        say(host.log, &Event::Warning { message: error.to_string() });
    }
    Ok(())
}

/// Returns the word of a plan for what systemd does.
fn action(kind: JobKind) -> Action {
    match kind {
        JobKind::Start => Action::Start,
        JobKind::Stop => Action::Stop,
        JobKind::Restart => Action::Restart,
        JobKind::Reload => Action::Reload,
    }
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
fn phases(bundle: &Bundle) -> Vec<(Option<&str>, Duration)> {
    let phases = bundle.manifest.phases.iter();
    let named = phases.map(|phase| (Some(phase.name.as_str()), Duration::from_secs(phase.deadline_seconds)));
    named.chain([(None, WITHOUT_PHASE)]).collect()
}

fn complain(failures: Result<Vec<String>, BusError>) -> Result<(), String> {
    match failures {
        Ok(failures) if failures.is_empty() => Ok(()),
        Ok(failures) => Err(failures.join("; ")),
        Err(error) => Err(error.to_string()),
    }
}
