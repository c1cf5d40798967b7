//! One switch from its request to its end: checks, plan, commit, phases, proof, or the way back.
//!
//! The order of the steps is what makes a switch safe. Nothing that counts changes before the trial is on disk; from there
//! on, whatever ends the process, the trial says how to come back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::end::{self, End};
use super::generation::Generation;
use super::history::{Entry, Kind};
use super::host::{Host, say};
use super::lock::{Lock, LockError};
use super::log::Log;
use super::manager::Manager;
use super::places::Places;
use super::progress::{Event, Outcome};
use super::prospect::{self, Prospect};
use super::record::Record;
use super::trial::{self, Stage, Trial};
use super::{adopt, apply, confirm, recover, rollback, store, system};
use crate::bundle::Bundle;

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

/// Carries a request out and returns how it ended; everything on the way is written to the log of the switch.
///
/// A switch that could be taken back neither now nor by itself later leaves its trial, and its end to recovery.
pub async fn run(places: &Places, request: &Request) -> Outcome {
    let begun = Instant::now();
    let mut signals = Signals::catch();
    // Without its log a switch cannot be followed, and works all the same.
    let mut log = Log::create(places, &request.id).ok();
    let mut entry = Entry::new(&request.id, &request.by, request.kind);
    let end = match carry_out(places, request, &mut signals, &mut log, &mut entry).await {
        Ok(end) | Err(end) => end,
    };
    end::keep(places, &mut log, entry, &end, begun, false);
    if end.outcome == Outcome::Broken && Trial::read(places).is_ok_and(|trial| trial.is_some()) {
        say(&mut log, &Event::Failed { message: end.message });
    } else {
        end::tell(&mut log, &end, begun);
    }
    end.outcome
}

async fn carry_out(
    places: &Places,
    request: &Request,
    signals: &mut Signals,
    log: &mut Option<Log>,
    entry: &mut Entry,
) -> Result<End, End> {
    say(log, &Event::Stage { name: "check".to_owned() });
    let _lock = lock(places, request.wait_for_lock).await?;
    recover::finish_earlier(places, log).await?;
    let manager = Manager::connect().await.map_err(End::not_written)?;

    let new = prospect::load(places, &request.target)?;
    let prospect = prospect::look_ahead(places, &manager, new, Some(&request.id), request.adopt).await?;
    for message in &prospect.warnings {
        say(log, &Event::Warning { message: message.clone() });
    }
    let whole = prospect.from.is_some_and(|from| prospect::whole(places, from).is_some());
    if prospect.is_done() && whole && !request.next_boot {
        return Ok(End::unchanged());
    }
    let validated = system::validate_logrotate(places, prospect.old.as_ref(), &prospect.new).await;
    for message in validated.map_err(End::refused)? {
        say(log, &Event::Warning { message });
    }

    say(log, &Event::Stage { name: "write".to_owned() });
    let to = store::import(places, &prospect.new).map_err(End::not_written)?;
    entry.describe(prospect.from, to, &prospect.new, &prospect.plan);
    let profile = Some(prospect.new.manifest.profile.clone());
    say(log, &Event::Begun { id: request.id.clone(), from: prospect.from, to: Some(to), profile });
    say(log, &Event::Planned { plan: prospect.plan.clone() });
    let mut host = Host::new(places, manager, log);
    let healthy = match request.next_boot {
        true => Default::default(),
        false => host.healthy(prospect.old.as_ref(), &prospect.before).await,
    };
    let Prospect { from, old, new, before, plan, set_aside, .. } = prospect;
    let trial = Trial {
        version: trial::VERSION,
        id: request.id.clone(),
        from,
        to,
        stage: if request.next_boot { Stage::NextBoot } else { Stage::Applying },
        boot: trial::boot_id().map_err(End::not_written)?,
        started: jiff::Timestamp::now(),
        by: request.by.clone(),
        confirm_within: request.confirm_within,
        confirm_until: None,
        before,
        healthy,
        plan,
        went_back: Vec::new(),
        set_aside,
    };
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
        tried = try_out(&mut host, &trial, old.as_ref(), &new) => tried,
        () = signals.any() => Err("it was told to stop".to_owned()),
    };
    let end = match tried {
        Ok(()) => {
            apply::tidy(&mut host, &trial, &new).await;
            Ok(End::new(Outcome::Done, format!("generation {to} runs and is healthy")))
        }
        Err(failure) => {
            say(host.log, &Event::Failed { message: failure.clone() });
            Err(rollback::roll_back(&mut host, trial, old.as_ref(), Some(&new), &failure).await)
        }
    };
    entry.started(&host.starts);
    end
}

/// Applies the new generation, waits until it is proven, and makes that final.
async fn try_out(host: &mut Host<'_>, trial: &Trial, old: Option<&Bundle>, new: &Bundle) -> Result<(), String> {
    Record::update(host.places, |record| record.adopted.extend(trial.set_aside.iter().cloned()))
        .and_then(|()| adopt::set_aside(host.places, &trial.set_aside))
        .map_err(|error| error.to_string())?;
    apply::apply(host, trial, old, new).await?;
    match trial.confirm_within {
        Some(seconds) => confirm::wait(host, trial, Duration::from_secs(seconds)).await,
        None => Trial::remove(host.places).map_err(|error| error.to_string()),
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

/// What asks the process to end. Left alone, systemd would take each of them for a good end, and not start recovery.
struct Signals(Vec<Signal>);

impl Signals {
    fn catch() -> Self {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        Signals(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    /// Returns when one of them comes.
    async fn any(&mut self) {
        std::future::poll_fn(|context| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}
