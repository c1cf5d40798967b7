//! Gives GPUs the settings that they are to have, all or none.

use serde::Serialize;

use crate::host::driver::{Devices, Kind, Refusal, RefusalKind, Trouble};

use super::desired::Desired;
use super::plan::{Plan, Step, plan};
use super::restore::{Restored, take_back};
use super::saved::{Saved, State, StateError};

/// What was done.
#[derive(Debug, Serialize)]
pub struct Applied {
    #[serde(flatten)]
    pub plan: Plan,
    /// Settings that the GPU turned out not to know, for people.
    pub left_out: Vec<String>,
}

/// Why the GPUs do not have the settings.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was changed.
    #[error("{0}")]
    Driver(#[from] Trouble),
    /// Nothing was changed.
    #[error("{}", .0.problems.join("; "))]
    Refused(Plan),
    /// Nothing was changed, or it is saved what to take back.
    #[error("{0}")]
    State(#[from] StateError),
    /// It was taken back, as far as `back` says.
    #[error("{problem}")]
    Failed { problem: String, back: Restored },
}

/// Applies. What was there before is on disk before anything changes, and comes back when something fails.
pub fn apply(
    devices: &mut impl Devices,
    desired: &[Desired],
    state: &State,
    boot: &str,
) -> Result<Applied, ApplyError> {
    let mut saved = state.load()?.filter(|saved| saved.boot == boot).unwrap_or_else(|| Saved::new(boot));
    let seen = super::look(devices)?;
    let plan = plan(desired, &seen, Some(&saved));
    if !plan.problems.is_empty() {
        return Err(ApplyError::Refused(plan));
    }
    for step in plan.changes() {
        if let Some(before) = step.before() {
            saved.note(&step.id, before, step.setting);
        }
    }
    state.save(&saved)?;
    let mut left_out = Vec::new();
    let mut failure = None;
    for step in plan.changes() {
        match set(devices, step) {
            Ok(()) => {}
            Err(refusal) if refusal.kind == RefusalKind::Unsupported && !step.fatal => {
                left_out.push(said(step, &refusal));
                saved.forget(&step.id, step.kind());
            }
            Err(refusal) => {
                failure = Some(said(step, &refusal));
                break;
            }
        }
    }
    if let Some(problem) = failure {
        let mut back = Restored::default();
        take_back(devices, &seen, &mut saved, &mut back);
        state.save(&saved)?;
        return Err(ApplyError::Failed { problem, back });
    }
    // What went back to its old value is not citadel's any more.
    for (id, entries) in saved.gpus.clone() {
        for entry in entries.iter().filter(|entry| entry.applied == entry.before) {
            saved.forget(&id, entry.applied.kind());
        }
    }
    state.save(&saved)?;
    Ok(Applied { plan, left_out })
}

/// Sets, and looks whether it is so then.
fn set(devices: &mut impl Devices, step: &Step) -> Result<(), Refusal> {
    devices.set(step.gpu, step.setting)?;
    if matches!(step.kind(), Kind::GraphicsClock | Kind::MemoryClock) {
        return Ok(());
    }
    match devices.read(step.gpu)?.value(step.kind()) {
        Some(now) if now != step.setting => {
            Err(Refusal::new(RefusalKind::Failed, format!("the driver accepts it, and then it is {now}")))
        }
        _ => Ok(()),
    }
}

fn said(step: &Step, refusal: &Refusal) -> String {
    format!("{}: the {} cannot be {}: {refusal}", step.title, step.kind(), step.setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::driver::{Range, Setting};
    use crate::host::gpu::restore;
    use crate::host::gpu::testing::{Machine, rtx4090};

    fn desired(fields: &str) -> Vec<Desired> {
        let text = format!(r#"{{ "version": 1, "gpus": [{{ "name": "main", "index": 0, {fields} }}] }}"#);
        super::super::read_desired(text.as_bytes()).unwrap()
    }

    const ALL: &str = r#""persistence_mode": true, "power_limit_watts": 300, "compute_mode": "exclusive_process",
        "graphics_clock_mhz": { "min": 210, "max": 2520 }"#;

    #[test]
    fn what_was_there_before_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::take(folder.path()).unwrap();
        let mut machine = Machine::of([rtx4090(0)]);
        let before = machine.clone();
        apply(&mut machine, &desired(ALL), &state, "boot").unwrap();
        assert_eq!(machine.gpus[0].power_limit_milliwatts, Some(300_000));
        assert_eq!(machine.locked[0].0, Some(Range { min: 210, max: 2520 }));
        // Applying other settings keeps what was found first, and takes back what is not wanted any more.
        apply(&mut machine, &desired(r#""power_limit_watts": 200"#), &state, "boot").unwrap();
        assert_eq!(machine.gpus[0].persistence_mode, Some(false));
        assert_eq!(machine.locked[0].0, None);
        let back = restore(&mut machine, &state, "boot").unwrap();
        assert!(back.problems.is_empty(), "{back:?}");
        assert_eq!((&machine.gpus, &machine.locked), (&before.gpus, &before.locked));
        assert_eq!(restore(&mut machine, &state, "boot").unwrap().notes, ["there is nothing to take back"]);
    }

    #[test]
    fn a_failure_takes_everything_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::take(folder.path()).unwrap();
        let mut machine = Machine::of([rtx4090(0)]);
        let before = machine.clone();
        machine.fail_at = Some(2);
        let error = apply(&mut machine, &desired(ALL), &state, "boot").unwrap_err();
        let ApplyError::Failed { problem, back } = error else { panic!("{error}") };
        assert!(problem.contains("graphics clock"), "{problem}");
        assert!(back.problems.is_empty(), "{back:?}");
        assert_eq!((machine.gpus, machine.locked), (before.gpus, before.locked));
        assert_eq!(state.load().unwrap(), None);
    }

    #[test]
    fn a_crash_between_any_two_settings_can_be_taken_back() {
        for point in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let state = State::take(folder.path()).unwrap();
            let mut machine = Machine::of([rtx4090(0)]);
            let before = machine.clone();
            machine.gone_at = Some(point);
            let _ = apply(&mut machine, &desired(ALL), &state, "boot");
            machine.gone_at = None;
            let back = restore(&mut machine, &state, "boot").unwrap();
            assert!(back.problems.is_empty(), "{point}: {back:?}");
            assert_eq!((machine.gpus, machine.locked), (before.gpus, before.locked), "{point}");
        }
    }

    #[test]
    fn what_another_boot_saved_counts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::take(folder.path()).unwrap();
        let mut machine = Machine::of([rtx4090(0)]);
        let mut old = Saved::new("earlier");
        let id = machine.gpus[0].uuid.clone().unwrap();
        old.note(&id, Setting::PowerLimitMilliwatts(200_000), Setting::PowerLimitMilliwatts(300_000));
        state.save(&old).unwrap();
        let back = restore(&mut machine, &state, "boot").unwrap();
        assert!(back.restored.is_empty() && back.notes[0].contains("restarted"), "{back:?}");
        assert_eq!((machine.gpus[0].power_limit_milliwatts, state.load().unwrap()), (Some(450_000), None));
        state.save(&old).unwrap();
        apply(&mut machine, &desired(r#""power_limit_watts": 300"#), &state, "boot").unwrap();
        assert_eq!(state.load().unwrap().unwrap().gpus[&id][0].before, Setting::PowerLimitMilliwatts(450_000));
    }

    #[test]
    fn an_unknown_setting_is_left_out_or_fatal_as_the_profile_says() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::take(folder.path()).unwrap();
        let mut machine = Machine::of([rtx4090(0)]);
        let before = machine.clone();
        machine.unsupported = Some(Kind::GraphicsClock);
        let wanted = r#""power_limit_watts": 300, "graphics_clock_mhz": { "min": 210, "max": 2520 }"#;
        let applied = apply(&mut machine, &desired(wanted), &state, "boot").unwrap();
        assert_eq!(applied.left_out.len(), 1);
        assert_eq!(state.load().unwrap().unwrap().gpus.values().next().unwrap().len(), 1);
        let wanted = format!(r#"{wanted}, "unsupported": "fail""#);
        assert!(matches!(apply(&mut machine, &desired(&wanted), &state, "boot"), Err(ApplyError::Failed { .. })));
        assert_eq!(machine.gpus, before.gpus);
    }
}
