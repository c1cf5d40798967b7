//! The state and the restart counter of a unit.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::health::failure::Reason;
use crate::health::probe::Unit;
use crate::health::subject::Subject;
use crate::plan::{ActiveState, UnitState};

/// When systemd restarted a unit by itself, as far as the counter was looked at.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    last: Option<u32>,
    /// When a higher counter was seen, and by how much.
    seen: VecDeque<(Instant, u32)>,
}

impl Restarts {
    /// Notes what the counter says and returns how many restarts there were within the window.
    ///
    /// What was counted before the first look has no time, so it does not count. A counter that is lower than before
    /// belongs to a new start by somebody.
    pub fn observe(&mut self, now: Instant, counter: u32, window: Duration) -> u32 {
        match self.last.replace(counter) {
            Some(last) if counter > last => self.seen.push_back((now, counter - last)),
            Some(last) if counter < last => {
                self.seen.clear();
                if counter > 0 {
                    self.seen.push_back((now, counter));
                }
            }
            _ => {}
        }
        while self.seen.front().is_some_and(|(seen, _)| now.duration_since(*seen) > window) {
            self.seen.pop_front();
        }
        self.seen.iter().fold(0, |sum, (_, restarts)| sum.saturating_add(*restarts))
    }
}

pub(super) fn judge(probe: &Unit, subject: &Subject, state: &UnitState, restarts: &mut Restarts) -> Result<(), Reason> {
    let count = restarts.observe(Instant::now(), state.restarts, probe.window.0);
    if !is_up(state, subject) {
        return Err(Reason::State(describe(state)));
    }
    if count > probe.max_restarts {
        return Err(Reason::Restarted { count, window: probe.window });
    }
    Ok(())
}

/// Whether a unit is where it belongs: active, or ended well where that is all that it does.
///
/// `activating` is not enough, not even while only `ExecStartPost=` runs (`start-post`): that is where a start waits until
/// the service is ready.
pub(crate) fn is_up(state: &UnitState, subject: &Subject) -> bool {
    match state.active {
        ActiveState::Active | ActiveState::Reloading | ActiveState::Refreshing => true,
        ActiveState::Inactive => subject.oneshot && !state.job && matches!(state.result.as_str(), "" | "success"),
        _ => false,
    }
}

/// Whether systemd waits to restart a unit that has died.
pub(crate) fn is_restarting(state: &UnitState) -> bool {
    state.sub.contains("auto-restart")
}

/// Returns a state in the words of systemd, such as `failed (exit-code)` or `activating (start-post)`.
pub(crate) fn describe(state: &UnitState) -> String {
    let name = match state.active {
        ActiveState::Active => "active",
        ActiveState::Reloading => "reloading",
        ActiveState::Refreshing => "refreshing",
        ActiveState::Activating => "activating",
        ActiveState::Deactivating => "deactivating",
        ActiveState::Failed => "failed",
        ActiveState::Inactive => "inactive",
        ActiveState::Maintenance => "in maintenance",
    };
    let ended = !matches!(state.result.as_str(), "" | "success");
    match (ended, is_restarting(state), state.sub.as_str()) {
        (true, true, sub) => format!("{name} ({sub}, {})", state.result),
        (true, false, _) if !state.active.is_up() => format!("{name} ({})", state.result),
        (_, _, "") => name.to_owned(),
        (_, _, sub) => format!("{name} ({sub})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_count_within_the_window_only() {
        let begin = Instant::now();
        let window = Duration::from_secs(600);
        let mut restarts = Restarts::default();
        let table = [
            (0, 7, 0, "what was before the first look has no time"),
            (60, 8, 1, ""),
            (120, 10, 3, ""),
            (600, 10, 3, ""),
            (661, 10, 2, "the first is out of the window"),
            (700, 0, 0, "somebody started it anew"),
            (710, 1, 1, ""),
            (1400, 1, 0, ""),
        ];
        for (seconds, counter, expected, why) in table {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(restarts.observe(now, counter, window), expected, "at {seconds} s: {why}");
        }
    }
}
