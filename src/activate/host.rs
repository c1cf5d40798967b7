//! The running host while it is changed: what systemd says and does, and what probes say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::log::Log;
use super::manager::{BusError, Job, JobEvent, JobKind, JobResult, Manager};
use super::places::Places;
use super::progress::{Event, UnitProgress};
use crate::bundle::Bundle;
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};
use crate::health::gate::Why;
use crate::health::{self, GateEvent, GpuProcesses, Subject, Verdict};
use crate::plan::{Action, ActiveState, Snapshot, UnitState};

/// The host that is being changed, and whoever watches.
pub struct Host<'a> {
    pub places: &'a Places,
    pub manager: Manager,
    pub log: &'a mut Option<Log>,
    /// How long each unit that was started took until it was ready: its own start, and what its probes were waited for
    /// after that.
    pub starts: BTreeMap<UnitName, Duration>,
}

/// What became of jobs that did not simply succeed.
#[derive(Debug, Default)]
pub struct Ran {
    /// What failed, and why, for people.
    pub failed: Vec<String>,
    /// Units that did not start because a condition in their definition does not hold: nobody has to wait for them.
    pub skipped: BTreeSet<UnitName>,
}

impl Ran {
    /// Returns an error that says all that failed.
    pub fn complain(&self) -> Result<(), String> {
        if self.failed.is_empty() { Ok(()) } else { Err(self.failed.join("; ")) }
    }
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
    snapshot_of(manager, &names(bundles)).await
}

/// Returns the units of some bundles, and those of others that start them.
pub fn names<'a>(bundles: impl IntoIterator<Item = Option<&'a Bundle>>) -> BTreeSet<UnitName> {
    let mut names = BTreeSet::new();
    for bundle in bundles.into_iter().flatten() {
        for (name, entry) in &bundle.manifest.units {
            names.extend(UnitName::parse(name));
            names.extend(entry.wanted_by.iter().filter_map(|name| UnitName::parse(name)));
        }
    }
    names
}

/// Asks systemd about these units, instances of those that are templates, and units of others that depend on them.
pub async fn snapshot_of(manager: &Manager, names: &BTreeSet<UnitName>) -> Result<Snapshot, BusError> {
    let mut snapshot = manager.units(names).await?;
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

impl<'a> Host<'a> {
    pub fn new(places: &'a Places, manager: Manager, log: &'a mut Option<Log>) -> Self {
        Host { places, manager, log, starts: BTreeMap::new() }
    }

    /// Connects to systemd anew: it may have been executed anew itself since, and then the old connection is dead.
    pub async fn reconnect(&mut self) -> Result<(), BusError> {
        self.manager = Manager::connect().await?;
        Ok(())
    }

    /// Probes what runs, and returns the services that are healthy, so that an old wound does not fail the switch.
    pub async fn healthy(&self, old: Option<&Bundle>, before: &Snapshot) -> BTreeSet<UnitName> {
        let Some(old) = old else { return BTreeSet::new() };
        let runs = |state: &UnitState| matches!(state.active, ActiveState::Active | ActiveState::Reloading);
        // Without a probe, one that systemd had to restart may be on its way to the next end.
        let well = |unit: &&UnitName| {
            let state = before.state(unit);
            runs(&state) && (state.restarts == 0 || subject(old, unit).is_some_and(|it| !it.probes.is_empty()))
        };
        let running: Vec<&UnitName> = before.units.keys().filter(well).collect();
        let subjects = subjects(old, running);
        let answers = health::once(&subjects, &self.manager).await;
        let healthy =
            |subject: &Subject| answers.get(&subject.unit).is_none_or(|it| it.iter().all(|(_, it)| it.is_ok()));
        subjects.iter().filter(|subject| healthy(subject)).map(|subject| subject.unit.clone()).collect()
    }

    /// Has systemd do something, and returns what did not succeed.
    pub async fn run(&mut self, jobs: &[Job], within: Duration) -> Result<Ran, BusError> {
        let mut ran = Ran::default();
        if jobs.is_empty() {
            return Ok(ran);
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
        for (unit, outcome) in self.manager.run(jobs, within, &mut observe).await? {
            if !outcome.is_ok() {
                ran.failed.push(format!("{unit}: {outcome}"));
            } else if outcome.result == JobResult::Skipped {
                ran.skipped.insert(unit);
            } else if let Some(start) = outcome.start {
                self.starts.insert(unit, start);
            }
        }
        Ok(ran)
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
        let mut verdicts = health::gate(subjects, &self.manager, Some(deadline), &mut observe).await;
        let lost = |(_, verdict): &(UnitName, Verdict)| matches!(verdict, Verdict::Unhealthy(Why::Unknown(_)));
        if verdicts.iter().any(lost)
            && let Ok(manager) = Manager::connect().await
        {
            self.manager = manager;
            verdicts = health::gate(subjects, &self.manager, Some(deadline), &mut observe).await;
        }
        let mut unhealthy = Vec::new();
        for (unit, verdict) in verdicts {
            match verdict {
                Verdict::Unhealthy(why @ Why::Probe { .. }) => unhealthy.push(format!("{unit} is not healthy: {why}")),
                Verdict::Unhealthy(why) => unhealthy.push(format!("{unit} {why}")),
                Verdict::Healthy { after } => {
                    if let Some(start) = self.starts.get_mut(&unit) {
                        *start += after;
                    }
                }
                Verdict::Undecided { .. } => {}
            }
        }
        unhealthy
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

/// Returns the word of a plan for what systemd does.
fn action(kind: JobKind) -> Action {
    match kind {
        JobKind::Start => Action::Start,
        JobKind::Stop => Action::Stop,
        JobKind::Restart => Action::Restart,
        JobKind::Reload => Action::Reload,
    }
}
