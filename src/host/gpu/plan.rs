//! What has to change so that GPUs have the settings that they are to have.

use serde::Serialize;

use crate::host::driver::{Kind, Setting};

use super::desired::{Desired, Unsupported};
use super::limits::{Verdict, judge};
use super::saved::Saved;
use super::seen::{Seen, identity};

/// What there is to do, in this order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What is worth knowing, for people.
    pub notes: Vec<String>,
    /// Why nothing can be done; none when it can.
    pub problems: Vec<String>,
}

/// One setting of one GPU.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub gpu: u32,
    /// What to call the GPU in messages.
    pub title: String,
    /// What it is saved under.
    #[serde(skip)]
    pub id: String,
    pub setting: Setting,
    /// What it has now; none for clocks, which cannot be read.
    pub from: Option<Setting>,
    pub verdict: Verdict,
    /// Whether a GPU that does not know the setting is a failure.
    pub fatal: bool,
}

impl Step {
    pub fn kind(&self) -> Kind {
        self.setting.kind()
    }

    /// Returns what to take back: what citadel found, or, where nobody can read it, what a GPU does by itself.
    pub fn before(&self) -> Option<Setting> {
        match self.kind() {
            Kind::GraphicsClock => Some(Setting::GraphicsClockMhz(None)),
            Kind::MemoryClock => Some(Setting::MemoryClockMhz(None)),
            _ => self.from,
        }
    }
}

impl Plan {
    /// Returns the steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.verdict == Verdict::Change)
    }
}

/// Plans. What citadel changed earlier in this boot and is not wanted any more gets its old value.
pub fn plan(desired: &[Desired], seen: &Seen, saved: Option<&Saved>) -> Plan {
    let mut plan = Plan::default();
    for wanted in desired {
        let (mut settings, note) = wanted.settings();
        plan.notes.extend(note);
        let gpu = match wanted.find(&seen.gpus) {
            Ok(gpu) => gpu,
            Err(problem) => {
                plan.problems.push(problem);
                plan.problems.extend(seen.silent.iter().map(|it| format!("GPU {}: {}", it.index, it.refusal)));
                continue;
            }
        };
        let Some(id) = identity(gpu) else {
            plan.problems.push(format!("{} tells neither its UUID nor its PCI address", gpu.title()));
            continue;
        };
        let kept = |kind| settings.iter().any(|setting: &Setting| setting.kind() == kind);
        let unwanted = saved.map_or(&[][..], |saved| saved.of(gpu)).iter();
        let back: Vec<Setting> = unwanted.filter(|it| !kept(it.before.kind())).map(|it| it.before).collect();
        settings.extend(back);
        settings.sort_by_key(|setting| setting.kind());
        for setting in settings {
            let step = Step {
                gpu: gpu.index,
                title: gpu.title(),
                id: id.to_owned(),
                setting,
                from: gpu.value(setting.kind()),
                verdict: judge(gpu, setting),
                fatal: wanted.unsupported == Unsupported::Fail,
            };
            plan.judge(step);
        }
    }
    plan
}

impl Plan {
    fn judge(&mut self, step: Step) {
        let what = format!("{}: the {} cannot be {}", step.title, step.kind(), step.setting);
        match &step.verdict {
            Verdict::Unsupported { reason } if !step.fatal => self.notes.push(format!("{what}: {reason}")),
            Verdict::Unsupported { reason } | Verdict::Refused { reason } => {
                self.problems.push(format!("{what}: {reason}"));
            }
            Verdict::Same | Verdict::Change => {}
        }
        self.steps.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::gpu::desired;
    use crate::host::gpu::testing::{Machine, rtx4090};

    fn planned(config: &str, machine: Machine, saved: Option<&Saved>) -> Plan {
        plan(&desired::read(config.as_bytes()).unwrap(), &machine.seen(), saved)
    }

    fn words(plan: &Plan) -> Vec<String> {
        plan.changes().map(|step| format!("{} {} {}", step.gpu, step.kind(), step.setting)).collect()
    }

    const CONFIG: &str = r#"{ "version": 1, "gpus": [{ "name": "main", "index": 0, "persistence_mode": true,
        "power_limit_watts": 300, "graphics_clock_mhz": { "min": 210, "max": 2520 } }] }"#;

    #[test]
    fn only_what_differs_changes_and_persistence_comes_first() {
        let plan = planned(CONFIG, Machine::of([rtx4090(0)]), None);
        let expected = ["0 persistence mode on", "0 power limit 300 W", "0 graphics clock locked to 210 to 2520 MHz"];
        assert_eq!(words(&plan), expected);
        let mut gpu = rtx4090(0);
        gpu.persistence_mode = Some(true);
        gpu.power_limit_milliwatts = Some(300_000);
        let plan = planned(CONFIG, Machine::of([gpu]), None);
        assert_eq!(
            words(&plan),
            ["0 graphics clock locked to 210 to 2520 MHz"],
            "nobody can read what it is locked to"
        );
    }

    #[test]
    fn what_is_not_wanted_any_more_goes_back() {
        let mut gpu = rtx4090(0);
        gpu.power_limit_milliwatts = Some(300_000);
        let mut saved = Saved::new("boot");
        let id = gpu.uuid.clone().unwrap();
        saved.note(&id, Setting::PowerLimitMilliwatts(450_000), Setting::PowerLimitMilliwatts(300_000));
        let config = r#"{ "version": 1, "gpus": [{ "name": "main", "index": 0, "persistence_mode": true }] }"#;
        let plan = planned(config, Machine::of([gpu]), Some(&saved));
        assert_eq!(words(&plan), ["0 persistence mode on", "0 power limit 450 W"]);
    }

    #[test]
    fn one_value_that_is_not_accepted_stops_everything() {
        let config = CONFIG.replace("300", "700");
        let plan = planned(&config, Machine::of([rtx4090(0)]), None);
        let expected =
            ["GPU 0 (NVIDIA GeForce RTX 4090): the power limit cannot be 700 W: the GPU accepts 150 to 600 W"];
        assert_eq!(plan.problems, expected);
        let plan = planned(CONFIG, Machine::default(), None);
        assert!(plan.problems[0].contains("there is no GPU with the number 0"), "{:?}", plan.problems);
    }
}
