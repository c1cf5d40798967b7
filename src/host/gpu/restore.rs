//! Gives GPUs back what they had.

use serde::Serialize;

use crate::host::driver::{Devices, Kind, RefusalKind, Setting, Trouble};

use super::saved::{Saved, State, StateError};
use super::seen::{Seen, identity};

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Restored {
    /// What got its old value.
    pub restored: Vec<Back>,
    /// What is worth knowing, for people.
    pub notes: Vec<String>,
    /// What did not get its old value, and why. It stays saved, so that it can be tried again.
    pub problems: Vec<String>,
}

/// A setting that has its old value again.
#[derive(Clone, Debug, Serialize)]
pub struct Back {
    pub gpu: u32,
    pub title: String,
    pub setting: Setting,
}

/// Gives GPUs back what is saved.
///
/// # Errors
///
/// When the state cannot be used. GPUs that cannot get their old values are reported as problems.
pub fn restore(devices: &mut impl Devices, state: &State, boot: &str) -> Result<Restored, StateError> {
    let mut restored = Restored::default();
    let Some(mut saved) = state.load()? else {
        restored.notes.push("there is nothing to take back".to_owned());
        return Ok(restored);
    };
    if saved.boot != boot {
        restored.notes.push("the host was restarted since, and that has taken back everything".to_owned());
        state.save(&Saved::new(boot))?;
        return Ok(restored);
    }
    match super::look(devices) {
        Ok(seen) => {
            take_back(devices, &seen, &mut saved, &mut restored);
            state.save(&saved)?;
        }
        Err(Trouble::NoDriver) => {
            restored.notes.push("the driver was unloaded, and that has taken back everything".to_owned());
            state.save(&Saved::new(boot))?;
        }
        Err(trouble) => restored.problems.push(trouble.to_string()),
    }
    Ok(restored)
}

/// Takes back what is saved and forgets what succeeded, in the opposite order of applying.
pub(super) fn take_back(devices: &mut impl Devices, seen: &Seen, saved: &mut Saved, restored: &mut Restored) {
    for (id, entries) in saved.gpus.clone() {
        let Some(gpu) = seen.gpus.iter().find(|gpu| identity(gpu) == Some(&id)) else {
            restored.problems.push(format!("the GPU {id} does not answer, so it keeps its settings"));
            restored.problems.extend(seen.silent.iter().map(|it| format!("GPU {}: {}", it.index, it.refusal)));
            continue;
        };
        for entry in entries.iter().rev() {
            let setting = entry.before;
            let kind = setting.kind();
            let done = match set(devices, gpu.index, setting) {
                Ok(true) => {
                    restored.restored.push(Back { gpu: gpu.index, title: gpu.title(), setting });
                    true
                }
                Ok(false) => true,
                Err(problem) => {
                    let what = format!("{}: the {kind} does not go back to {setting}", gpu.title());
                    restored.problems.push(format!("{what}: {problem}"));
                    false
                }
            };
            if done {
                saved.forget(&id, kind);
            }
        }
    }
}

/// Sets what is not so already, and looks whether it is so then; returns whether it had to.
fn set(devices: &mut impl Devices, gpu: u32, setting: Setting) -> Result<bool, String> {
    let readable = !matches!(setting.kind(), Kind::GraphicsClock | Kind::MemoryClock);
    let read = |devices: &mut dyn Devices| match devices.read(gpu) {
        Ok(gpu) => Ok(gpu.value(setting.kind())),
        Err(refusal) => Err(refusal.to_string()),
    };
    if readable && read(devices)? == Some(setting) {
        return Ok(false);
    }
    match devices.set(gpu, setting) {
        // What a GPU does not know it cannot have got either.
        Err(refusal) if refusal.kind == RefusalKind::Unsupported => return Ok(false),
        other => other.map_err(|refusal| refusal.to_string())?,
    }
    match if readable { read(devices)? } else { None } {
        Some(now) if now != setting => Err(format!("it is {now}")),
        _ => Ok(true),
    }
}
