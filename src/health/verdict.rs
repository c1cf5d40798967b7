//! What answers over time say about a service. Pure: time comes in with every call.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::probe::Probe;
use super::run::Answer;

/// How soon a failed probe of a service that is starting runs again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How long that pause becomes at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Returns the pause after the given number of failures in a row while a service is starting, counted from 1.
pub(super) fn pause(failures: u32, most: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).min(most)
}

/// What is known about the health of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not every probe has passed yet, and that is no reason to worry yet.
    Starting,
    /// Every probe has passed at the same time, and none has failed too often since.
    Healthy,
    /// A probe has failed too often in a row.
    Unhealthy,
}

/// Follows the answers of one service.
///
/// It is starting until the last answers of all its probes are good at the same time. Until then failures within a
/// probe's start period do not count, and a probe that failed runs again soon. Failures count as soon as the start
/// period is over or the service was healthy once, and are counted at the probe's interval; `retries` of them in a row
/// make the service unhealthy, until all last answers are good again. A service without probes is healthy.
#[derive(Clone, Debug)]
pub struct Tracker {
    began: Instant,
    health: Health,
    was_healthy: bool,
    probes: BTreeMap<String, Track>,
}

#[derive(Clone, Debug)]
struct Track {
    interval: Duration,
    retries: u32,
    start_period: Duration,
    due: Instant,
    last: Option<Result<(), Failure>>,
    /// Failures in a row, whether they count or not.
    in_a_row: u32,
    /// Failures in a row that count.
    counted: u32,
}

impl Tracker {
    /// Begins with a service that was started at this moment.
    pub fn new(probes: &BTreeMap<String, Probe>, began: Instant) -> Self {
        let track = |probe: &Probe| Track {
            interval: probe.interval.0,
            retries: probe.retries,
            start_period: probe.start_period.0,
            due: began,
            last: None,
            in_a_row: 0,
            counted: 0,
        };
        let probes: BTreeMap<_, _> = probes.iter().map(|(name, probe)| (name.clone(), track(probe))).collect();
        let health = if probes.is_empty() { Health::Healthy } else { Health::Starting };
        Tracker { began, health, was_healthy: probes.is_empty(), probes }
    }

    /// Takes in an answer and returns what is known now. An unknown answer counts as a good one, since there is none to
    /// wait for.
    pub fn record(&mut self, probe: &str, now: Instant, answer: Result<Answer, Failure>) -> Health {
        let Some(track) = self.probes.get_mut(probe) else { return self.health };
        match answer {
            Ok(Answer::Passed | Answer::Unknown) => {
                (track.in_a_row, track.counted) = (0, 0);
                track.last = Some(Ok(()));
                track.due = now + track.interval;
            }
            Err(failure) => {
                let counts = self.was_healthy || now >= self.began + track.start_period;
                track.in_a_row = track.in_a_row.saturating_add(1);
                track.counted = track.counted.saturating_add(u32::from(counts));
                track.last = Some(Err(failure));
                track.due = now + if counts { track.interval } else { pause(track.in_a_row, track.interval) };
            }
        }
        if self.probes.values().all(|track| matches!(track.last, Some(Ok(())))) {
            self.health = Health::Healthy;
            self.was_healthy = true;
        } else if self.probes.values().any(|track| track.counted >= track.retries) {
            self.health = Health::Unhealthy;
        }
        self.health
    }

    /// Returns what is known now.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Returns when a probe runs next; it may be in the past.
    pub fn due(&self, probe: &str) -> Option<Instant> {
        self.probes.get(probe).map(|track| track.due)
    }

    /// Returns the probe that failed most often in a row, how often, and how it failed last.
    pub fn worst(&self) -> Option<(&str, u32, &Failure)> {
        let failing = self.probes.iter().filter_map(|(name, track)| match &track.last {
            Some(Err(failure)) => Some((track.counted, track.in_a_row, name.as_str(), failure)),
            _ => None,
        });
        let worst = failing.max_by_key(|(counted, in_a_row, ..)| (*counted, *in_a_row));
        worst.map(|(_, in_a_row, name, failure)| (name, in_a_row, failure))
    }
}

#[cfg(test)]
mod tests {
    use Health::{Healthy, Starting, Unhealthy};

    use super::*;
    use crate::bundle::quantity::Span;
    use crate::health::failure::Reason;
    use crate::health::probe::Test;

    fn probes(names: &[&str], start_period: u64) -> BTreeMap<String, Probe> {
        let probe = Probe {
            test: Test::GpuProcess,
            interval: Span::seconds(30),
            timeout: Span::seconds(10),
            retries: 3,
            start_period: Span::seconds(start_period),
        };
        names.iter().map(|name| ((*name).to_owned(), probe.clone())).collect()
    }

    fn bad() -> Result<Answer, Failure> {
        Err(Failure { what: "GPU".to_owned(), reason: Reason::NotOnGpu })
    }

    const GOOD: Result<Answer, Failure> = Ok(Answer::Passed);

    /// Takes in answers at seconds after the start and compares what is known after each.
    fn play(names: &[&str], start_period: u64, story: &[(u64, &str, Result<Answer, Failure>, Health)]) -> Tracker {
        let began = Instant::now();
        let mut tracker = Tracker::new(&probes(names, start_period), began);
        for (seconds, probe, answer, expected) in story {
            let now = began + Duration::from_secs(*seconds);
            assert_eq!(tracker.record(probe, now, answer.clone()), *expected, "at {seconds} s");
        }
        tracker
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let story = [
            (1, "a", bad(), Starting),
            (30, "a", bad(), Starting),
            (60, "a", bad(), Starting),
            (89, "a", bad(), Starting),
            (90, "a", bad(), Starting),
            (120, "a", bad(), Starting),
            (150, "a", bad(), Unhealthy),
        ];
        let tracker = play(&["a"], 90, &story);
        assert_eq!(tracker.worst().map(|(name, times, _)| (name, times)), Some(("a", 7)));
    }

    #[test]
    fn failures_of_what_was_healthy_count_even_in_the_start_period() {
        let story = [
            (1, "a", GOOD, Healthy),
            (31, "a", bad(), Healthy),
            (61, "a", bad(), Healthy),
            (91, "a", GOOD, Healthy),
            (121, "a", bad(), Healthy),
            (151, "a", bad(), Healthy),
            (181, "a", bad(), Unhealthy),
            (211, "a", bad(), Unhealthy),
            (241, "a", GOOD, Healthy),
        ];
        play(&["a"], 900, &story);
    }

    #[test]
    fn a_service_is_healthy_when_all_its_probes_are_at_the_same_time() {
        let story = [
            (1, "a", GOOD, Starting),
            (2, "b", bad(), Starting),
            (31, "a", bad(), Starting),
            (32, "b", GOOD, Starting),
            (33, "a", GOOD, Healthy),
            (63, "b", bad(), Healthy),
        ];
        play(&["a", "b"], 90, &story);
    }

    #[test]
    fn what_nothing_can_tell_does_not_count() {
        play(&["a", "b"], 90, &[(0, "a", Ok(Answer::Unknown), Starting), (0, "b", GOOD, Healthy)]);
    }

    #[test]
    fn a_service_without_probes_is_healthy() {
        assert_eq!(Tracker::new(&BTreeMap::new(), Instant::now()).health(), Healthy);
    }

    #[test]
    fn a_starting_service_is_asked_often_and_another_at_its_interval() {
        let began = Instant::now();
        let mut tracker = Tracker::new(&probes(&["a"], 5), began);
        assert_eq!(tracker.due("a"), Some(began));
        let mut now = began;
        let mut pauses = Vec::new();
        while pauses.len() < 11 {
            tracker.record("a", now, bad());
            let due = tracker.due("a").expect("it has this probe");
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 30_000]);
        tracker.record("a", now, GOOD);
        assert_eq!(tracker.due("a"), Some(now + Duration::from_secs(30)));
    }
}
