//! One service that a gate waits for.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::state::{Look, Since};
use super::{GateEvent, Shared, Why};
use crate::health::host::Host;
use crate::health::run::{Answer, Restarts, run_again};
use crate::health::subject::Subject;
use crate::health::verdict::{Health, Tracker, pause};
use crate::plan::UnitState;

/// How long systemd may take to say how a unit is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may fail to: a manager that is being replaced (`daemon-reexec`) or reads many units is back within this.
const UNANSWERED: Duration = Duration::from_secs(30);

/// How often a unit is looked at that does not change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Case<'a> {
    pub(super) subject: &'a Subject,
    began: Instant,
    since: RefCell<Since>,
    healthy_after: Cell<Option<Duration>>,
    last: RefCell<Option<String>>,
}

impl<'a> Case<'a> {
    pub(super) fn new(subject: &'a Subject, began: Instant) -> Self {
        Case {
            subject,
            began,
            since: RefCell::new(Since::new(subject.restarts)),
            healthy_after: Cell::new(None),
            last: RefCell::new(None),
        }
    }

    /// Returns when it became healthy, counted from the beginning of the gate; none when it is not healthy.
    pub(super) fn healthy_after(&self) -> Option<Duration> {
        self.healthy_after.get()
    }

    /// Returns why it was not healthy when that was known last.
    pub(super) fn last_answer(&self) -> Option<String> {
        self.last.borrow().clone()
    }

    /// Follows the service and returns when it will not be healthy, and why.
    pub(super) async fn follow(&self, host: &impl Host, shared: &Shared<'_>) -> Why {
        let probes = &self.subject.probes;
        let mut tracker = Tracker::new(probes, self.began);
        // The counters of restarts of the probes that do not run at this moment.
        let idle = || probes.keys().map(|name| (name.as_str(), Restarts::default())).collect::<Vec<_>>();
        let (mut waiting, mut running) = (idle(), FuturesUnordered::new());
        let mut noted = false;
        let mut looks = 0;
        let mut answered = self.began;
        loop {
            let look = match ask(host, self.subject).await {
                Ok(state) => {
                    answered = Instant::now();
                    self.since.borrow_mut().judge(&state, self.subject)
                }
                Err(error) if answered.elapsed() > UNANSWERED => return Why::Unknown(error),
                Err(error) => Look::NotYet(format!("cannot find out how it is: {error}")),
            };
            looks += 1;
            match look {
                Look::Never(why) => return why,
                Look::Anew => {
                    tracker = Tracker::new(probes, Instant::now());
                    (waiting, running) = (idle(), FuturesUnordered::new());
                    looks = 1;
                    self.not_healthy(shared, "was started anew".to_owned());
                }
                Look::NotYet(message) => self.not_healthy(shared, message),
                Look::Up => match tracker.health() {
                    Health::Healthy => self.healthy(shared),
                    _ => self.not_healthy(shared, answer(&tracker)),
                },
            }
            if tracker.health() == Health::Unhealthy
                && let Some((probe, count, failure)) = tracker.worst()
            {
                return Why::Probe { probe: probe.to_owned(), count, failure: failure.clone() };
            }

            let now = Instant::now();
            let is_due = |name: &str| tracker.due(name).is_some_and(|due| due <= now);
            for (name, mut restarts) in waiting.extract_if(.., |(name, _)| is_due(name)) {
                let Some(probe) = probes.get(name) else { continue };
                running.push(async move {
                    // It is never closed.
                    let _slot = shared.slots.acquire().await;
                    (name, run_again(probe, self.subject, host, &mut restarts).await, restarts)
                });
            }
            let due = waiting.iter().filter_map(|(name, _)| tracker.due(name)).min();
            let next_look = now + pause(looks, LOOK_AGAIN);
            tokio::select! {
                Some((name, answer, restarts)) = running.next(), if !running.is_empty() => {
                    if answer == Ok(Answer::Unknown) && !noted {
                        noted = true;
                        let message = format!("nothing on this host can tell about the probe {name:?}, so it does not count");
                        shared.tell(GateEvent::Note { unit: self.subject.unit.clone(), message });
                    }
                    tracker.record(name, Instant::now(), answer);
                    waiting.push((name, restarts));
                }
                () = sleep_until(due.map_or(next_look, |due| due.min(next_look))) => {}
            }
        }
    }

    /// Asks systemd a last time and returns why the service is not healthy after all, if so.
    pub(super) async fn last_look(&self, host: &impl Host) -> Option<Why> {
        let healthy = self.healthy_after.get().is_some();
        let state = match ask(host, self.subject).await {
            Ok(state) => state,
            Err(error) => return healthy.then_some(Why::Unknown(error)),
        };
        match self.since.borrow_mut().judge(&state, self.subject) {
            Look::Never(why) => Some(why),
            Look::Up => None,
            // It has just been proven, and now it is something else.
            Look::Anew => healthy.then_some(Why::StartedAnew(1)),
            Look::NotYet(message) => healthy.then_some(Why::State(message.trim_start_matches("is ").to_owned())),
        }
    }

    fn healthy(&self, shared: &Shared<'_>) {
        if self.healthy_after.get().is_some() {
            return;
        }
        let after = self.began.elapsed();
        self.healthy_after.set(Some(after));
        *self.last.borrow_mut() = None;
        shared.tell(GateEvent::Healthy { unit: self.subject.unit.clone(), after });
        shared.missing.set(shared.missing.get() - 1);
        if shared.missing.get() == 0 {
            shared.all_healthy.notify_one();
        }
    }

    fn not_healthy(&self, shared: &Shared<'_>, message: String) {
        if self.healthy_after.take().is_some() {
            shared.missing.set(shared.missing.get() + 1);
        }
        if self.last.borrow().as_ref() == Some(&message) || message.is_empty() {
            return;
        }
        *self.last.borrow_mut() = Some(message.clone());
        shared.tell(GateEvent::Waiting { unit: self.subject.unit.clone(), message });
    }
}

async fn ask(host: &impl Host, subject: &Subject) -> Result<UnitState, String> {
    let late = |_| "systemd does not answer".to_owned();
    timeout(PATIENCE, host.unit(&subject.unit)).await.map_err(late)?
}

/// Returns how the probe that is worst off failed last; empty when none has failed.
fn answer(tracker: &Tracker) -> String {
    tracker.worst().map(|(probe, _, failure)| format!("{probe}: {failure}")).unwrap_or_default()
}
