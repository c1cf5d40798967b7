//! What a start waits for: that the service is ready, asked from inside its sandbox.
//!
//! A unit with a `ready` probe runs this as `ExecStartPost=`, as the service's user and in its sandbox. There is no D-Bus
//! there, and nothing is written. How long it may take is `TimeoutStartSec=` of the unit. systemd does not end a start
//! whose main process is gone while this runs, so it watches that process itself.

use std::future::{self, Future};
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use tokio::time::sleep;

use super::failure::{Failure, plain};
use super::host::{GpuProcesses, Host};
use super::probe::{InvalidProbe, Probe, probes};
use super::process::Watched;
use super::run::{Answer, run};
use super::subject::Subject;
use super::verdict::pause;
use crate::bundle::manifest::{Manifest, UnitEntry};
use crate::bundle::unit::{UnitKind, UnitName};
use crate::plan::{ActiveState, LoadState, UnitState};

/// How long the pause between two probes becomes at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    subject: Subject,
    /// The name of the probe.
    name: String,
    probe: Probe,
}

/// How a wait ended, other than by a probe that passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the current generation has no service {0:?}; if it was removed, stop it with: systemctl stop {0}")]
    NoService(String),
    #[error("{unit} is to be ready when its probe {probe:?} passes, and it has no such probe; build the bundle again")]
    NoProbe { unit: UnitName, probe: String },
    #[error(transparent)]
    Invalid(#[from] InvalidProbe),
    #[error("the main process is gone{}", last_answer(.0.as_ref()))]
    Gone(Option<Failure>),
    #[error("given up{}", last_answer(.0.as_ref()))]
    GivenUp(Option<Failure>),
    /// The main process cannot be watched.
    #[error("cannot watch the main process: {0}")]
    Unwatched(String),
}

fn last_answer(failure: Option<&Failure>) -> String {
    failure.map(|failure| format!("; last answer: {failure}")).unwrap_or_default()
}

impl Wait {
    /// Finds a service by its name in the profile or the name of its unit; none when it has nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`NotReady::NoService`], [`NotReady::NoProbe`], or [`NotReady::Invalid`].
    pub fn find(manifest: &Manifest, service: &str) -> Result<Option<Self>, NotReady> {
        let (unit, entry) = find(manifest, service).ok_or_else(|| NotReady::NoService(service.to_owned()))?;
        let Some(name) = &entry.ready else { return Ok(None) };
        let missing = || NotReady::NoProbe { unit: unit.clone(), probe: name.clone() };
        let probe = probes(&unit, entry)?.remove(name).ok_or_else(missing)?;
        // Commands run as whom this runs.
        let subject = Subject {
            unit,
            user: None,
            group: None,
            supplementary: Vec::new(),
            oneshot: false,
            restarts: None,
            probes: [(name.clone(), probe.clone())].into(),
        };
        Ok(Some(Wait { name: name.clone(), probe, subject }))
    }

    /// Returns what is waited for, in words.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.name, self.probe.test)
    }

    /// Asks until the probe passes.
    ///
    /// # Errors
    ///
    /// When the main process, if one is given, has ended, or when `give_up` has.
    pub async fn until_ready(&self, main: Option<Pid>, give_up: impl Future<Output = ()>) -> Result<(), NotReady> {
        let gone = gone(main)?;
        let mut last = None;
        let passed = async {
            let mut failures = 0;
            loop {
                match run(&self.probe, &self.subject, &Sandbox).await {
                    Ok(Answer::Passed | Answer::Unknown) => return,
                    Err(failure) => last = Some(failure),
                }
                failures += 1;
                sleep(pause(failures, LONGEST_PAUSE)).await;
            }
        };
        let ended = tokio::select! {
            biased;
            () = gone => NotReady::Gone,
            () = give_up => NotReady::GivenUp,
            () = passed => return Ok(()),
        };
        Err(ended(last))
    }
}

/// Finds the unit that has something to be ready for, or else the service itself.
fn find<'a>(manifest: &'a Manifest, service: &str) -> Option<(UnitName, &'a UnitEntry)> {
    let named = |(name, entry): (&'a String, &'a UnitEntry)| {
        let same = name == service || entry.service.as_deref() == Some(service);
        Some((UnitName::parse(name).filter(|_| same)?, entry))
    };
    let found = manifest.units.iter().filter_map(named);
    found
        .max_by_key(|(unit, entry)| (unit.as_str() == service, entry.ready.is_some(), unit.kind() == UnitKind::Service))
}

/// Returns what ends when the process does; never without one.
fn gone(main: Option<Pid>) -> Result<impl Future<Output = ()>, NotReady> {
    let unwatched = |error: io::Error| NotReady::Unwatched(plain(&error));
    let watched = match main.map(Watched::open) {
        None => None,
        Some(Ok(pidfd)) => Some(Watched::new(&pidfd).map_err(unwatched)?),
        Some(Err(error)) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
            return Err(NotReady::Gone(None));
        }
        Some(Err(error)) => return Err(unwatched(error)),
    };
    Ok(async move {
        match &watched {
            Some(watched) => watched.ended().await,
            None => future::pending().await,
        }
    })
}

/// The host as it is seen from inside a sandbox.
struct Sandbox;

impl Host for Sandbox {
    /// Returns that the unit is active: systemd cannot be asked, and the main process is watched.
    async fn unit(&self, _: &UnitName) -> Result<UnitState, String> {
        Ok(UnitState { load: LoadState::Loaded, active: ActiveState::Active, ..UnitState::default() })
    }

    fn gpu(&self) -> Option<&dyn GpuProcesses> {
        None
    }
}
