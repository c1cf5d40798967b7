//! The transient service that carries out a switch, so that it outlives the terminal, and following it from there.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use super::log::Reader;
use super::manager::{BusError, BusErrorKind, JobResult, Manager, Variant};
use super::places::Places;
use super::progress::{Event, Outcome};
use crate::bundle::unit::UnitName;
use crate::plan::{ActiveState, LoadState};

/// Takes back a switch whose service died.
const RECOVERY: &str = "citadel-recover.service";

/// Between two looks into the log.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two questions whether the service is still there.
const ALIVE: Duration = Duration::from_millis(500);

/// How long a service that is asked to stop may take to leave a state that recovery can go on from.
const STOP: Duration = Duration::from_secs(120);

/// How the following of a switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The switch is over.
    Finished(Outcome),
    /// Whoever watched does not want to any more; the switch goes on.
    Left,
    /// The service ended, and neither it nor recovery said how.
    Vanished,
}

/// Why a switch cannot be followed. It goes on all the same.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
}

/// Returns the name of the service for a switch; none when the id does not fit into one.
pub fn unit(id: &str) -> Option<UnitName> {
    UnitName::parse(&format!("citadel-switch-{id}.service"))
}

/// Starts the service and returns when its program runs.
///
/// # Errors
///
/// When systemd does not take it, when it cannot execute the program, or when that ended at once.
pub async fn start(
    manager: &Manager,
    unit: &UnitName,
    argv: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<(), BusError> {
    let environment: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let stop = u64::try_from(STOP.as_micros()).unwrap_or(u64::MAX);
    let mut properties: Vec<(&str, Variant<'_>)> = vec![
        ("Type", "exec".into()),
        ("Environment", environment.into()),
        // The switch decides what becomes of the programs that it runs; what it leaves behind ends with it.
        ("KillMode", "mixed".into()),
        ("TimeoutStopUSec", stop.into()),
        // The one process that can put things right is the last to go when memory runs out.
        ("OOMScoreAdjust", (-900_i32).into()),
        // Its name says when it was; nobody has to clear away a failed one.
        ("CollectMode", "inactive-or-failed".into()),
        ("StandardInput", "null".into()),
        ("StandardOutput", "journal".into()),
        ("StandardError", "journal".into()),
    ];
    if let Some(recovery) = UnitName::parse(RECOVERY)
        && manager.unit(&recovery).await?.load == LoadState::Loaded
    {
        properties.push(("OnFailure", vec![RECOVERY.to_owned()].into()));
    }
    let outcome = manager.start_transient(unit, "Switch to another generation of citadel", argv, properties).await?;
    match outcome.result {
        JobResult::Done => Ok(()),
        _ => Err(BusError {
            call: "StartTransientUnit".to_owned(),
            unit: Some(unit.clone()),
            // systemd has forgotten the service by now; only the journal is left.
            kind: BusErrorKind::Ended(format!("it did not start; `journalctl --unit={unit}` says why")),
        }),
    }
}

/// Hands over the events of a switch as they come, from the first one to the last one.
///
/// Where the service ends without a last event, recovery takes the switch back and goes on with the log; it is waited
/// for, unless it is not there. An interrupt, or the end of the terminal, ends only the following.
pub async fn follow(
    places: &Places,
    id: &str,
    unit: &UnitName,
    observe: &mut dyn FnMut(&Event),
) -> Result<Followed, FollowError> {
    let mut left = Interrupts::new().map_err(FollowError::Signals)?;
    let mut log = Reader::new(places, id);
    let mut workers = Workers::new(unit);
    loop {
        // Asked before the last look into the log: what ended has written all that it will.
        let over = workers.are_over().await;
        let events = log.news().map_err(|source| FollowError::Read { path: log.path().to_owned(), source })?;
        for event in &events {
            observe(event);
            if let Event::Finished { outcome, .. } = event {
                return Ok(Followed::Finished(*outcome));
            }
        }
        if over {
            return Ok(Followed::Vanished);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = left.any() => return Ok(Followed::Left),
        }
    }
}

/// The ways in which somebody who watches goes away.
struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interrupts {
    fn new() -> io::Result<Self> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// The services that may write to the log of a switch.
struct Workers<'u> {
    units: Vec<UnitName>,
    unit: &'u UnitName,
    manager: Option<Manager>,
    asked: Instant,
    /// How often in a row none of them was there. Between the end of the one and the start of the other is a moment
    /// without both.
    absent: u32,
}

impl<'u> Workers<'u> {
    fn new(unit: &'u UnitName) -> Self {
        let units = std::iter::once(unit.clone()).chain(UnitName::parse(RECOVERY)).collect();
        Workers { units, unit, manager: None, asked: Instant::now(), absent: 0 }
    }

    /// Whether none of them runs any more. Where systemd cannot be asked, they count as there: it may be about to
    /// execute itself anew.
    async fn are_over(&mut self) -> bool {
        const TWICE: u32 = 2;
        if self.asked.elapsed() >= ALIVE {
            // While systemd reads its units it does not answer, and the log goes on.
            let there = timeout(ALIVE, self.is_there()).await.unwrap_or(true);
            self.absent = if there { 0 } else { self.absent + 1 };
            self.asked = Instant::now();
        }
        self.absent >= TWICE
    }

    async fn is_there(&mut self) -> bool {
        let manager = match self.manager.take() {
            Some(manager) => manager,
            None => match Manager::connect().await {
                Ok(manager) => manager,
                Err(_) => return true,
            },
        };
        for unit in &self.units {
            let Ok(state) = manager.unit(unit).await else { return true };
            let stops = state.active == ActiveState::Deactivating;
            if state.active.is_up() || stops || (unit != self.unit && state.job) {
                self.manager = Some(manager);
                return true;
            }
        }
        self.manager = Some(manager);
        false
    }
}
