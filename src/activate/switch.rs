//! One switch from its request to its end: checks, plan, commit, phases, proof, or the way back.
//!
//! The order of the steps is what makes a switch safe. Nothing that counts changes before the trial is on disk; from there
//! on, whatever ends the process, the trial says how to come back.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::apply::{self, Host, say};
use super::error::DiskError;
use super::generation::Generation;
use super::history::{self, Entry, Kind};
use super::links::{self, Found};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::{BusError, Manager};
use super::places::Places;
use super::progress::{Event, Outcome};
use super::record::Record;
use super::trial::{self, SetAside, Stage, Trial};
use super::{admit, adopt, confirm, current, foreign, recover, rollback, store, system};
use crate::bundle::Bundle;
use crate::plan::{self, Plan, Snapshot};

/// How many generations a switch leaves; the current one and the one before it are always among them.
pub const KEEP: usize = 20;

/// What somebody asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Identifies the switch in progress, trial and history.
    pub id: String,
    /// Who asks.
    pub by: String,
    pub kind: Kind,
    pub target: Target,
    /// Set units and files of others that have the same names aside.
    pub adopt: bool,
    /// Try it at the next boot, and change nothing now.
    pub next_boot: bool,
    /// How long somebody has to confirm it, in seconds.
    pub confirm_within: Option<u64>,
    /// How long to wait for another switch to end, in seconds; 0 for not at all.
    pub wait_for_lock: u64,
}

/// Where to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A bundle, as a folder or an archive.
    Bundle(PathBuf),
    /// A generation that the host has.
    Generation(Generation),
}

/// The end of a switch: how, and what to tell people.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    pub outcome: Outcome,
    pub message: String,
}

impl End {
    /// The host runs it already.
    pub fn unchanged() -> Self {
        End::new(Outcome::Unchanged, "nothing to do: the host runs this already")
    }

    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        End { outcome, message: message.into() }
    }

    pub fn not_written(error: impl std::fmt::Display) -> Self {
        End::new(Outcome::NotWritten, error.to_string())
    }
}

/// What a switch would do, found out without changing anything.
#[derive(Debug)]
pub struct Prospect {
    pub from: Option<Generation>,
    pub old: Option<Bundle>,
    pub new: Bundle,
    pub before: Snapshot,
    pub plan: Plan,
    pub set_aside: Vec<SetAside>,
    /// What people should know and that stops nothing.
    pub warnings: Vec<String>,
}

impl Prospect {
    /// Whether the host is there already.
    pub fn is_done(&self) -> bool {
        !self.plan.changes && self.plan.order.is_empty() && self.set_aside.is_empty() && self.from.is_some()
    }
}

/// Carries a request out and returns how it ended; everything on the way is written to the log of the switch.
pub async fn run(places: &Places, request: &Request) -> Outcome {
    let begun = Instant::now();
    // Without its log a switch cannot be followed, and works all the same.
    let mut log = Log::create(places, &request.id).ok();
    let log = &mut log;
    let mut entry = Entry::new(&request.id, &request.by, request.kind);
    let end = match carry_out(places, request, log, &mut entry).await {
        Ok(end) | Err(end) => end,
    };
    finish(places, log, entry, end, begun)
}

/// Keeps the end of a switch in the history, and tells those who follow it.
pub fn finish(places: &Places, log: &mut Option<Log>, mut entry: Entry, end: End, begun: Instant) -> Outcome {
    entry.outcome = end.outcome;
    entry.message.clone_from(&end.message);
    entry.seconds = begun.elapsed().as_secs_f64();
    // What changed nothing is no part of the history.
    if matches!(end.outcome, Outcome::Done | Outcome::NextBoot | Outcome::RolledBack | Outcome::Broken)
        && let Err(error) = history::append(places, &entry)
    {
        say(log, &Event::Warning { message: format!("the history of switches is incomplete: {error}") });
    }
    say(log, &Event::Finished { outcome: end.outcome, summary: end.message, seconds: entry.seconds });
    end.outcome
}

async fn carry_out(places: &Places, request: &Request, log: &mut Option<Log>, entry: &mut Entry) -> Result<End, End> {
    say(log, &Event::Stage { name: "check".to_owned() });
    let _lock = lock(places, request.wait_for_lock).await?;
    let manager = Manager::connect().await.map_err(|error| End::new(Outcome::NotWritten, error.to_string()))?;
    recover::finish_earlier(places, &manager, log).await?;

    let new = load(places, &request.target)?;
    let prospect = look_ahead(places, &manager, new, Some(&request.id), request.adopt).await?;
    for message in &prospect.warnings {
        say(log, &Event::Warning { message: message.clone() });
    }
    if prospect.is_done() {
        return Ok(End::unchanged());
    }
    let validated = system::validate_logrotate(places, prospect.old.as_ref(), &prospect.new).await;
    for message in validated.map_err(|error| End::new(Outcome::Refused, error.to_string()))? {
        say(log, &Event::Warning { message });
    }
    say(log, &Event::Stage { name: "write".to_owned() });
    let to = store::import(places, &prospect.new).map_err(End::not_written)?;
    entry.describe(prospect.from, to, &prospect.new, &prospect.plan);
    let profile = Some(prospect.new.manifest.profile.clone());
    say(log, &Event::Begun { id: request.id.clone(), from: prospect.from, to: Some(to), profile });
    say(log, &Event::Planned { plan: prospect.plan.clone() });
    let trial = Trial {
        version: trial::VERSION,
        id: request.id.clone(),
        from: prospect.from,
        to,
        stage: if request.next_boot { Stage::NextBoot } else { Stage::Applying },
        boot: trial::boot_id().map_err(End::not_written)?,
        started: jiff::Timestamp::now(),
        by: request.by.clone(),
        confirm_within: request.confirm_within,
        confirm_until: None,
        before: prospect.before,
        plan: prospect.plan,
        went_back: Vec::new(),
        set_aside: prospect.set_aside,
    };
    let mut host = Host { places, manager: &manager, log, healthy: Vec::new() };
    if !request.next_boot {
        host.look_at_health(prospect.old.as_ref(), &trial.before).await;
    }
    if request.next_boot {
        // The next boot needs them before anything of citadel runs.
        links::make(places, &prospect.new.manifest).map_err(End::not_written)?;
    }
    if let Err(error) = trial.write(places) {
        // It may be there all the same, and nothing has changed yet that it would have to take back.
        let _ = Trial::remove(places);
        return Err(End::not_written(error));
    }
    if request.next_boot {
        let message = format!("the next boot tries generation {to}, and goes back unless everything is healthy then");
        return Ok(End::new(Outcome::NextBoot, message));
    }

    let tried = tokio::select! {
        tried = try_out(&mut host, &trial, prospect.old.as_ref(), &prospect.new) => tried,
        () = terminated() => Err("it was told to stop".to_owned()),
    };
    match tried {
        Ok(()) => Ok(End::new(Outcome::Done, format!("generation {to} runs and is healthy"))),
        Err(failure) => {
            say(host.log, &Event::Failed { message: failure.clone() });
            let to = Some(&prospect.new);
            Err(rollback::roll_back(&mut host, trial, prospect.old.as_ref(), to, &failure).await)
        }
    }
}

/// Applies the new generation, waits until it is proven, and makes that final.
async fn try_out(host: &mut Host<'_>, trial: &Trial, old: Option<&Bundle>, new: &Bundle) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    Record::update(host.places, |record| record.adopted.extend(trial.set_aside.iter().cloned()))
        .and_then(|()| adopt::set_aside(host.places, &trial.set_aside))
        .map_err(|error| text(&error))?;
    apply::apply(host, trial, old, new).await?;
    if let Some(seconds) = trial.confirm_within {
        confirm::wait(host, trial, Duration::from_secs(seconds)).await?;
    } else {
        Trial::remove(host.places).map_err(|error| text(&error))?;
    }
    apply::tidy(host, new).await;
    Ok(())
}

/// Reads what to switch to, and makes sure that it is whole.
pub fn load(places: &Places, target: &Target) -> Result<Bundle, End> {
    let invalid = |error: String| End::new(Outcome::Invalid, error);
    match target {
        Target::Generation(generation) => store::read(places, *generation).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) if path.is_dir() => Bundle::read(path).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) => {
            let file =
                File::open(path).map_err(|error| invalid(format!("{} cannot be read: {error}", path.display())))?;
            Bundle::unpack(file).map_err(|error| invalid(format!("{}: {error}", path.display())))
        }
    }
}

/// Finds out what a switch to a bundle would do; `id` names the switch that would set files aside.
pub async fn look_ahead(
    places: &Places,
    manager: &Manager,
    new: Bundle,
    id: Option<&str>,
    adopt: bool,
) -> Result<Prospect, End> {
    let refused = |error: BusError| End::new(Outcome::Refused, error.to_string());
    let version = manager.version().await.map_err(refused)?;
    let mut prospect = look_at_files(places, new, Some(version), id, adopt)?;
    prospect.before = apply::snapshot(manager, [prospect.old.as_ref(), Some(&prospect.new)]).await.map_err(refused)?;
    prospect.plan = plan::forward(prospect.old.as_ref(), &prospect.new, &prospect.before);
    Ok(prospect)
}

/// The part of it that files tell; the plan is still empty.
pub fn look_at_files(
    places: &Places,
    new: Bundle,
    systemd: Option<u32>,
    id: Option<&str>,
    adopt: bool,
) -> Result<Prospect, End> {
    let refused = |error: DiskError| End::new(Outcome::Refused, error.to_string());
    let problems: Vec<String> = admit::problems(&new, systemd).iter().map(|it| format!("\n- {it}")).collect();
    if !problems.is_empty() {
        return Err(End::new(Outcome::Refused, format!("this host cannot take the bundle:{}", problems.concat())));
    }
    let mut warnings = Vec::new();
    let from = current::get(places).map_err(refused)?;
    let old = match from.map(|from| store::read(places, from)) {
        None => None,
        Some(Ok(bundle)) => Some(bundle),
        Some(Err(error)) => {
            warnings.push(format!("{error}; what runs counts as somebody else's"));
            None
        }
    };
    let found = foreign::find(places, old.as_ref().map(|old| &old.manifest), &new.manifest).map_err(refused)?;
    let mut set_aside = Vec::new();
    if found.is_in_the_way() {
        let immovable: Vec<String> = found.immovable().map(|it| format!("\n- {it}")).collect();
        if !immovable.is_empty() {
            let message =
                "these win over the units of the bundle, and are made by others that have to stop that first:";
            return Err(End::new(Outcome::Refused, format!("{message}{}", immovable.concat())));
        }
        if !adopt {
            let help = "remove them, or switch with --adopt, which sets them aside and brings them back when citadel is \
                        uninstalled";
            return Err(End::new(
                Outcome::Refused,
                format!("others have these already:{}\n{help}", found.in_the_way()),
            ));
        }
        set_aside = adopt::plan(id.unwrap_or("plan"), &found);
    }
    warnings.extend(found.warnings());
    Ok(Prospect { from, old, new, before: Snapshot::default(), plan: Plan::default(), set_aside, warnings })
}

/// Whether the host runs exactly this, whole, and nothing is under way.
///
/// This is all that a switch without a change costs: reading the bundle and the generation, and comparing.
pub fn is_current(places: &Places, target: &Target) -> bool {
    let Ok(Some(current)) = current::get(places) else { return false };
    let there = store::read(places, current);
    let (Ok(there), Ok(None)) = (there, Trial::read(places)) else { return false };
    let whole = store::check_store(places, &there).is_ok_and(|missing| missing.is_empty())
        && links::wanted(&there.manifest)
            .iter()
            .all(|link| links::look(places, link).is_ok_and(|it| it == Found::Right));
    whole
        && match target {
            Target::Generation(generation) => *generation == current,
            Target::Bundle(_) => load(places, target).is_ok_and(|bundle| bundle.digest() == there.digest()),
        }
}

/// Returns a name for a new switch: when it began, and which process began it.
pub fn new_id() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%S"), std::process::id())
}

/// Makes this the only switch.
async fn lock(places: &Places, wait: u64) -> Result<Lock, End> {
    Lock::take_within(places, Duration::from_secs(wait)).await.map_err(|error| match error {
        LockError::Busy { .. } => End::new(Outcome::Busy, error.to_string()),
        LockError::Disk(_) => End::not_written(error),
    })
}

/// Returns when somebody stops the unit in which the switch runs.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}
