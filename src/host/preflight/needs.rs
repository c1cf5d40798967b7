//! Units that a service needs, judged when the whole machine is looked at from outside of the service.
//!
//! When systemd itself starts the service, it has started these before, and knows better.

use std::collections::BTreeMap;

use super::answer::{Answer, Failure, Finding};
use super::check::Severity;
use super::service::{Read, Unusable, unit_file};
use crate::bundle::manifest::Manifest;
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};
use crate::health::run::describe;
use crate::health::{Host, Subject, once};
use crate::plan::{ActiveState, LoadState, UnitState};

/// A unit that a service needs.
#[derive(Clone, Debug)]
pub struct Need {
    pub unit: UnitName,
    /// Fatal where systemd would not start the service without it.
    pub severity: Severity,
    /// What tells whether it works, for a unit of the same bundle.
    pub subject: Option<Subject>,
}

const STRONG: [&str; 3] = ["Requires", "Requisite", "BindsTo"];

impl Need {
    /// Returns the services and mounts that the file of a unit names in `Requires=`, `Wants=` and their like.
    pub(super) fn of(manifest: &Manifest, file: &UnitFile, read: Read<'_>) -> Result<Vec<Self>, Unusable> {
        let mut units: BTreeMap<UnitName, Severity> = BTreeMap::new();
        let mut add = |key: &str, severity| {
            let names = file.values("Unit", key).flat_map(str::split_ascii_whitespace).filter_map(UnitName::parse);
            for name in names.filter(|name| matches!(name.kind(), UnitKind::Service | UnitKind::Mount)) {
                units.insert(name, severity);
            }
        };
        add("Wants", Severity::Warning);
        for key in STRONG {
            add(key, Severity::Fatal);
        }
        let need = |(unit, severity): (UnitName, Severity)| {
            let entry = manifest.units.get(unit.as_str());
            let subject = entry
                .map(|entry| Ok::<_, Unusable>(Subject::new(unit.clone(), entry, &unit_file(&unit, entry, read)?)?));
            Ok(Need { subject: subject.transpose()?, unit, severity })
        };
        units.into_iter().map(need).collect()
    }

    /// Asks systemd about the unit, and its own probes when it runs.
    pub async fn look(&self, host: &impl Host) -> Finding {
        let answer = match host.unit(&self.unit).await {
            Err(why) => Err(Failure::new(
                format!("the state of {} is not known: {why}", self.unit),
                format!("see `systemctl status {}`", self.unit),
            )),
            Ok(state) => match judge(&self.unit, &state, self.subject.is_some()) {
                Ok(found) if state.active == ActiveState::Active => self.answers(host, found).await,
                answer => answer,
            },
        };
        Finding { check: format!("needs {}", self.unit), severity: self.severity, answer }
    }

    /// Runs the probes of the unit, and returns the first that does not pass.
    async fn answers(&self, host: &impl Host, found: String) -> Answer {
        let Some(subject) = &self.subject else { return Ok(found) };
        let answers = once(std::slice::from_ref(subject), host).await;
        let failed = answers.into_values().flatten().find_map(|(_, answer)| answer.err());
        failed.map_or(Ok(found), |failure| {
            let unit = &self.unit;
            Err(Failure::new(
                format!("{unit} runs and does not answer: {failure}"),
                format!("see `journalctl -u {unit}`"),
            ))
        })
    }
}

/// Judges the state of a unit; `comes` when the bundle itself brings it.
fn judge(unit: &UnitName, state: &UnitState, comes: bool) -> Answer {
    let fail = |what: &str, help: String| Err(Failure::new(format!("{unit} {what}"), help));
    match (state.load, state.active) {
        (LoadState::NotFound, _) if comes => Ok(format!("{unit} comes with the bundle")),
        (LoadState::NotFound, _) => fail("does not exist on this machine", "install what brings it".to_owned()),
        (LoadState::Masked, _) => fail("is masked", format!("let it start again: systemctl unmask {unit}")),
        (LoadState::Broken, _) => fail("cannot be loaded", format!("see `systemctl status {unit}`")),
        (LoadState::Loaded, ActiveState::Failed) => {
            fail(&format!("is {}", describe(state)), format!("see `systemctl status {unit}`, then start it again"))
        }
        (LoadState::Loaded, active) if active.is_up() => Ok(format!("{unit} is {}", describe(state))),
        (LoadState::Loaded, _) => Ok(format!("{unit} is {}; it starts with the service", describe(state))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::reason;
    use super::*;

    #[test]
    fn a_unit_that_cannot_start_is_told() {
        let unit = UnitName::parse("docker.service").unwrap();
        let judged = |load, active, comes| judge(&unit, &UnitState { load, active, ..UnitState::default() }, comes);
        for (load, active, comes, expected) in [
            (LoadState::Loaded, ActiveState::Active, false, "docker.service is active"),
            (LoadState::Loaded, ActiveState::Inactive, false, "docker.service is inactive; it starts with the service"),
            (LoadState::NotFound, ActiveState::Inactive, true, "docker.service comes with the bundle"),
        ] {
            assert_eq!(judged(load, active, comes).as_deref(), Ok(expected));
        }
        for (load, active, expected) in [
            (LoadState::NotFound, ActiveState::Inactive, "docker.service does not exist on this machine"),
            (LoadState::Masked, ActiveState::Inactive, "docker.service is masked"),
            (LoadState::Broken, ActiveState::Inactive, "docker.service cannot be loaded"),
            (LoadState::Loaded, ActiveState::Failed, "docker.service is failed"),
        ] {
            assert_eq!(reason(judged(load, active, false)), expected);
        }
    }
}
