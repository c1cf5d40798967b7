//! What the state of a unit says while a gate waits. Pure.

use super::Why;
use crate::health::run::{describe, is_restarting, is_up};
use crate::health::subject::Subject;
use crate::plan::{ActiveState, LoadState, UnitState};

/// How often others may start a service anew while a gate waits for it.
const ANEW: u32 = 2;

/// What one look at a unit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It runs, or has ended well where that is all that it does.
    Up,
    /// It may still come up.
    NotYet(String),
    /// Somebody has started it anew: what was known no longer counts.
    Anew,
    /// It will not come up.
    Never(Why),
}

/// The run of the unit that is followed.
#[derive(Clone, Debug, Default)]
pub struct Since {
    restarts: Option<u32>,
    invocation: Option<String>,
    anew: u32,
}

impl Since {
    /// Begins with the restart counter that is known from before, if any.
    pub fn new(restarts: Option<u32>) -> Self {
        Since { restarts, ..Self::default() }
    }

    /// Judges what systemd says now.
    pub fn judge(&mut self, state: &UnitState, subject: &Subject) -> Look {
        let before = *self.restarts.get_or_insert(state.restarts);
        // While systemd starts a unit for the first time it has no run yet.
        let another = self.invocation.is_some() && state.invocation.is_some() && self.invocation != state.invocation;
        if state.restarts > before {
            return Look::Never(Why::Restarted(state.restarts - before));
        }
        if state.invocation.is_some() {
            self.invocation.clone_from(&state.invocation);
        }
        if state.active == ActiveState::Failed || is_restarting(state) {
            return Look::Never(Why::State(describe(state)));
        }
        if another || state.restarts < before {
            self.restarts = Some(state.restarts);
            self.anew += 1;
            return if self.anew > ANEW { Look::Never(Why::StartedAnew(self.anew)) } else { Look::Anew };
        }
        if is_up(state, subject) {
            return Look::Up;
        }
        match (state.active, state.load) {
            (ActiveState::Inactive, LoadState::NotFound) => Look::Never(Why::State("not known to systemd".to_owned())),
            (ActiveState::Inactive, LoadState::Masked) => Look::Never(Why::State("masked".to_owned())),
            (ActiveState::Inactive, _) if !state.job => Look::Never(Why::State(describe(state))),
            _ => Look::NotYet(format!("is {}", describe(state))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bundle::unit::UnitName;

    fn subject(oneshot: bool, restarts: Option<u32>) -> Subject {
        Subject {
            unit: UnitName::parse("a.service").expect("a name"),
            user: None,
            group: None,
            supplementary: Vec::new(),
            oneshot,
            restarts,
            probes: BTreeMap::new(),
        }
    }

    fn state(active: ActiveState, sub: &str, restarts: u32, run: &str) -> UnitState {
        UnitState {
            load: LoadState::Loaded,
            active,
            sub: sub.to_owned(),
            restarts,
            invocation: (!run.is_empty()).then(|| run.to_owned()),
            ..UnitState::default()
        }
    }

    fn play(subject: &Subject, states: &[UnitState]) -> Look {
        let mut since = Since::new(subject.restarts);
        states.iter().map(|state| since.judge(state, subject)).last().expect("a state")
    }

    #[test]
    fn one_look() {
        use ActiveState::{Activating, Active, Deactivating, Failed, Inactive, Reloading};
        let never = |text: &str| Look::Never(Why::State(text.to_owned()));
        let not_yet = |text: &str| Look::NotYet(text.to_owned());
        let table = [
            (Active, "running", Look::Up),
            (Reloading, "reload", Look::Up),
            (Activating, "start-post", not_yet("is activating (start-post)")),
            (Deactivating, "stop-sigterm", not_yet("is deactivating (stop-sigterm)")),
            (Activating, "auto-restart", never("activating (auto-restart)")),
            (Activating, "auto-restart-queued", never("activating (auto-restart-queued)")),
            (Inactive, "dead-before-auto-restart", never("inactive (dead-before-auto-restart)")),
            (Failed, "failed", never("failed (failed)")),
            (Inactive, "dead", never("inactive (dead)")),
        ];
        for (active, sub, expected) in table {
            assert_eq!(play(&subject(false, None), &[state(active, sub, 3, "x")]), expected);
        }
    }

    #[test]
    fn a_oneshot_may_end_well() {
        let ended =
            |result: &str| UnitState { result: result.to_owned(), ..state(ActiveState::Inactive, "dead", 0, "x") };
        assert_eq!(play(&subject(true, None), &[ended("success")]), Look::Up);
        assert_eq!(
            play(&subject(true, None), &[ended("exit-code")]),
            Look::Never(Why::State("inactive (exit-code)".to_owned()))
        );
        assert_eq!(
            play(&subject(false, None), &[ended("success")]),
            Look::Never(Why::State("inactive (dead)".to_owned()))
        );
    }

    #[test]
    fn what_is_queued_may_still_come() {
        let queued = UnitState { job: true, ..state(ActiveState::Inactive, "dead", 0, "") };
        assert_eq!(play(&subject(true, None), &[queued]), Look::NotYet("is inactive (dead)".to_owned()));
    }

    #[test]
    fn restarts_by_systemd_count_from_the_first_look_or_from_what_is_known() {
        let running = |restarts, run| state(ActiveState::Active, "running", restarts, run);
        assert_eq!(play(&subject(false, None), &[running(5, "x"), running(5, "x")]), Look::Up);
        assert_eq!(play(&subject(false, None), &[running(5, "x"), running(7, "y")]), Look::Never(Why::Restarted(2)));
        assert_eq!(play(&subject(false, Some(0)), &[running(1, "x")]), Look::Never(Why::Restarted(1)));
    }

    #[test]
    fn a_start_by_somebody_begins_anew_but_not_for_ever() {
        let running = |run| state(ActiveState::Active, "running", 0, run);
        let runs: Vec<_> = ["x", "y", "z", "a"].map(running).into();
        assert_eq!(play(&subject(false, None), &runs[..2]), Look::Anew);
        assert_eq!(play(&subject(false, None), &runs[..3]), Look::Anew);
        assert_eq!(play(&subject(false, None), &runs), Look::Never(Why::StartedAnew(3)));
        // The first run is no other run.
        let starting = state(ActiveState::Activating, "start", 0, "");
        assert_eq!(play(&subject(false, None), &[starting, running("x")]), Look::Up);
    }
}
