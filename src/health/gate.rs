//! The gate: waits until services are healthy, or until one of them will not be.
//!
//! All services are followed at the same time, and each until the very end: one that was healthy and dies while another
//! still loads fails the gate. What systemd says comes before what probes say, since a service that systemd keeps
//! restarting may answer a probe in between.

mod case;
mod state;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use self::case::Case;
use super::failure::{Failure, times};
use super::host::Host;
use super::run::AT_ONCE;
use super::subject::Subject;
use crate::bundle::quantity::Span;
use crate::bundle::unit::UnitName;

/// How long the services that are not decided yet are looked at once more when another one has failed.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Something that happened while a gate waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// A service is not healthy yet, and why; said when the reason changes.
    Waiting { unit: UnitName, message: String },
    /// Something about a service that people should know; said once.
    Note { unit: UnitName, message: String },
    /// A service became healthy.
    Healthy { unit: UnitName, after: Duration },
    /// A service will not be healthy.
    Unhealthy { unit: UnitName, why: Why },
}

/// How a gate ended for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is healthy, and became so this long after the gate began.
    Healthy {
        after: Duration,
    },
    Unhealthy(Why),
    /// Another service failed first; what was known until then.
    Undecided {
        last: Option<String>,
    },
}

/// Why a service will not be healthy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The state of its unit, in the words of systemd.
    #[error("is {0}")]
    State(String),
    #[error("restarted {}", times(*.0))]
    Restarted(u32),
    /// Somebody else starts it again and again.
    #[error("was started anew {} while it was waited for", times(*.0))]
    StartedAnew(u32),
    #[error("{probe}: {failure} ({} in a row)", times(*.count))]
    Probe { probe: String, count: u32, failure: Failure },
    #[error("not healthy within {within}{}", .last.as_ref().map(|last| format!(": last answer: {last}")).unwrap_or_default())]
    Late { within: Span, last: Option<String> },
    /// systemd could not be asked.
    #[error("cannot find out how it is: {0}")]
    Unknown(String),
}

/// What the cases of one gate share.
struct Shared<'a> {
    observe: RefCell<&'a mut dyn FnMut(GateEvent)>,
    /// Probes that may run at once.
    slots: Semaphore,
    /// How many services are not healthy at this moment.
    missing: Cell<usize>,
    all_healthy: Notify,
}

impl Shared<'_> {
    fn tell(&self, event: GateEvent) {
        (self.observe.borrow_mut())(event);
    }
}

/// Waits until all services are healthy, one of them will not be, or the deadline has passed, and returns what became of
/// each, in their order. Events are told while it waits.
///
/// A service will not be healthy when its unit has failed or ended, systemd restarted it by itself, or a probe failed too
/// often (see [`Tracker`](super::Tracker)). A start by somebody else begins the probes anew. When all are healthy,
/// systemd is asked about each a last time.
pub async fn gate(
    services: &[Subject],
    host: &impl Host,
    deadline: Option<Instant>,
    observe: &mut dyn FnMut(GateEvent),
) -> Vec<(UnitName, Verdict)> {
    let began = Instant::now();
    let shared = Shared {
        observe: RefCell::new(observe),
        slots: Semaphore::new(AT_ONCE),
        missing: Cell::new(services.len()),
        all_healthy: Notify::new(),
    };
    let cases: Vec<Case> = services.iter().map(|subject| Case::new(subject, began)).collect();
    let mut failed = follow(&cases, host, &shared, deadline, began).await;
    if failed.is_empty() || deadline.is_none_or(|deadline| Instant::now() < deadline) {
        last_look(&cases, host, &mut failed).await;
    }
    let verdict = |(index, case): (usize, &Case<'_>)| {
        let unit = case.subject.unit.clone();
        let verdict = match failed.iter().find(|(at, _)| *at == index) {
            Some((_, why)) => {
                shared.tell(GateEvent::Unhealthy { unit: unit.clone(), why: why.clone() });
                Verdict::Unhealthy(why.clone())
            }
            None => match case.healthy_after() {
                Some(after) => Verdict::Healthy { after },
                None => Verdict::Undecided { last: case.last_answer() },
            },
        };
        (unit, verdict)
    };
    cases.iter().enumerate().map(verdict).collect()
}

/// Follows all cases until the first has failed or all are healthy; returns those that have failed, by their place.
async fn follow(
    cases: &[Case<'_>],
    host: &impl Host,
    shared: &Shared<'_>,
    deadline: Option<Instant>,
    began: Instant,
) -> Vec<(usize, Why)> {
    if cases.is_empty() {
        return Vec::new();
    }
    let mut running: FuturesUnordered<_> =
        cases.iter().enumerate().map(|(index, case)| async move { (index, case.follow(host, shared).await) }).collect();
    let late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        biased;
        failed = running.next() => failed.into_iter().collect(),
        () = shared.all_healthy.notified() => Vec::new(),
        () = late => {
            let within = deadline.unwrap_or(began).duration_since(began);
            let within = Span(Duration::from_millis(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)));
            let late = |(index, case): (usize, &Case<'_>)| {
                let missing = case.healthy_after().is_none();
                missing.then(|| (index, Why::Late { within, last: case.last_answer() }))
            };
            cases.iter().enumerate().filter_map(late).collect()
        }
    }
}

/// Asks systemd once more about every service that is not known to have failed, and adds those that have.
async fn last_look(cases: &[Case<'_>], host: &impl Host, failed: &mut Vec<(usize, Why)>) {
    let known: Vec<usize> = failed.iter().map(|(index, _)| *index).collect();
    let others = cases.iter().enumerate().filter(|(index, _)| !known.contains(index));
    let mut looks: FuturesUnordered<_> =
        others.map(|(index, case)| async move { (index, case.last_look(host).await) }).collect();
    let end = Instant::now() + LAST_LOOK;
    while let Ok(Some((index, why))) = timeout_at(end, looks.next()).await {
        failed.extend(why.map(|why| (index, why)));
    }
}
