//! One switch from its request to its end: checks, plan, commit, phases, proof, or the way back.
//!
//! The order of the steps is what makes a switch safe. Nothing that counts changes before the trial is on disk; from there
//! on, whatever ends the process, the trial says how to come back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::apply::{self, Host};
use super::generation::Generation;
use super::history::{self, Entry, Kind};
use super::lock::{Lock, LockError};
use super::manager::Manager;
use super::places::Places;
use super::progress::{Event, Log, Outcome};
use super::trial::{self, SetAside, Stage, Trial};
use super::{admit, adopt, confirm, current, foreign, recover, rollback, store, system};
use crate::bundle::{Bundle, archive};
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
#[derive(Debug)]
pub struct End {
    pub outcome: Outcome,
    pub message: String,
}

impl End {
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        End { outcome, message: message.into() }
    }

    fn not_written(error: impl std::fmt::Display) -> Self {
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
    let mut log = Log::create(places, &request.id);
    let mut entry = Entry::new(&request.id, &request.by, request.kind);
    let end = match carry_out(places, request, &mut log, &mut entry).await {
        Ok(end) | Err(end) => end,
    };
    entry.finish(end.outcome, &end.message, begun.elapsed());
    history::keep(places, &entry, &mut log);
    log.write(&Event::Finished { outcome: end.outcome, summary: end.message, seconds: entry.seconds });
    end.outcome
}

async fn carry_out(places: &Places, request: &Request, log: &mut Log, entry: &mut Entry) -> Result<End, End> {
    log.write(&Event::Stage { name: "check".to_owned() });
    let _lock = lock(places, request.wait_for_lock).await?;
    let manager = Manager::connect().await.map_err(|error| End::new(Outcome::NotWritten, error.to_string()))?;
    recover::finish_earlier(places, &manager, log).await?;

    let new = load(places, &request.target)?;
    let prospect = look_ahead(places, &manager, new, Some(&request.id), request.adopt).await?;
    for message in &prospect.warnings {
        log.write(&Event::Warning { message: message.clone() });
    }
    if prospect.is_done() {
        return Ok(End::new(Outcome::Unchanged, "nothing to do: the host runs this already"));
    }
    system::check(&prospect.new, prospect.old.as_ref()).map_err(|error| End::new(Outcome::Refused, error.to_string()))?;

    log.write(&Event::Stage { name: "write".to_owned() });
    let to = store::import(places, &prospect.new).map_err(End::not_written)?;
    entry.describe(prospect.from, to, &prospect.new, &prospect.plan);
    let profile = Some(prospect.new.manifest.profile.clone());
    log.write(&Event::Begun { id: request.id.clone(), from: prospect.from, to: Some(to), profile });
    log.write(&Event::Planned { plan: prospect.plan.clone() });
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
        set_aside: prospect.set_aside,
    };
    let mut host = Host { places, manager: &manager, log, healthy: Vec::new() };
    if !request.next_boot {
        host.look_at_health(prospect.old.as_ref(), &trial.before).await;
    }
    trial.write(places).map_err(End::not_written)?;
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
            host.log.write(&Event::Failed { message: failure.clone() });
            let to = Some(&prospect.new);
            Err(rollback::roll_back(&mut host, trial, prospect.old.as_ref(), to, &failure).await)
        }
    }
}

/// Applies the new generation, waits until it is proven, and makes that final.
async fn try_out(host: &mut Host<'_>, trial: &Trial, old: Option<&Bundle>, new: &Bundle) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    adopt::set_aside(host.places, &trial.set_aside).map_err(|error| text(&error))?;
    apply::apply(host, trial, old, new).await?;
    if let Some(seconds) = trial.confirm_within {
        confirm::wait(host, trial, Duration::from_secs(seconds)).await?;
    } else {
        Trial::remove(host.places).map_err(|error| text(&error))?;
    }
    apply::tidy(host, trial, old, new);
    Ok(())
}

/// Reads what to switch to, and makes sure that it is whole.
pub fn load(places: &Places, target: &Target) -> Result<Bundle, End> {
    let invalid = |error: String| End::new(Outcome::Invalid, error);
    match target {
        Target::Generation(generation) => store::read(places, *generation).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) if path.is_dir() => Bundle::read(path).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) => archive::read(path).map_err(|error| invalid(error.to_string())),
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
    let refused = |message: String| End::new(Outcome::Refused, message);
    let mut warnings = Vec::new();
    let version = manager.version().await.map_err(|error| refused(error.to_string()))?;
    let problems = admit::check(&new.manifest, Some(version));
    if !problems.is_empty() {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(refused(format!("this host cannot take the bundle:\n- {}", problems.join("\n- "))));
    }

    let from = current::get(places).map_err(|error| refused(error.to_string()))?;
    let old = match from.map(|from| store::read(places, from)) {
        None => None,
        Some(Ok(bundle)) => Some(bundle),
        Some(Err(error)) => {
            warnings.push(format!("{error}; the units of the present generation count as somebody else's"));
            None
        }
    };
    let found = foreign::find(places, &new.manifest, old.as_ref().map(|bundle| &bundle.manifest))
        .map_err(|error| refused(error.to_string()))?;
    let mut set_aside = Vec::new();
    if !found.is_empty() {
        if !adopt {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            return Err(refused(format!(
                "others have these already:\n- {}\nremove them, or switch with --adopt, which sets them aside and brings \
                 them back when citadel is uninstalled",
                found.join("\n- ")
            )));
        }
        set_aside = adopt::plan(places, &found, id.unwrap_or("plan")).map_err(|error| refused(error.to_string()))?;
    }
    let before = apply::snapshot(manager, [old.as_ref(), Some(&new)]).await.map_err(|error| refused(error.to_string()))?;
    let plan = plan::forward(old.as_ref(), &new, &before);
    Ok(Prospect { from, old, new, before, plan, set_aside, warnings })
}

/// Makes this the only switch.
async fn lock(places: &Places, wait: u64) -> Result<Lock, End> {
    Lock::acquire(places, Duration::from_secs(wait)).await.map_err(|error| match error {
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
