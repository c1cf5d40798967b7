//! What a host runs, at a glance.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::error::DiskError;
use super::history::{self, Entry};
use super::manager::Manager;
use super::trial::{Stage, Trial};
use super::{Generation, Places, current, host, store};
use crate::bundle::digest::Digest;
use crate::bundle::unit::UnitName;
use crate::plan::{ActiveState, Snapshot};

/// The state of a host.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub generation: Option<Generation>,
    pub profile: Option<String>,
    pub bundle: Option<Digest>,
    /// The switch that is not proven yet.
    pub trial: Option<TrialStatus>,
    /// The units of the generation; none when systemd does not answer.
    pub units: Option<BTreeMap<UnitName, Unit>>,
    /// The last switch.
    pub last: Option<Entry>,
}

/// A switch that is not proven yet.
#[derive(Clone, Debug, Serialize)]
pub struct TrialStatus {
    pub id: String,
    pub from: Option<Generation>,
    pub to: Generation,
    pub stage: Stage,
    pub confirm_until: Option<jiff::Timestamp>,
}

/// The state of a unit.
#[derive(Clone, Debug, Serialize)]
pub struct Unit {
    pub active: ActiveState,
    pub sub: String,
    pub restarts: u32,
}

/// Looks at the host.
pub async fn look(places: &Places) -> Result<Status, DiskError> {
    let generation = current::get(places)?;
    let bundle = generation.map(|generation| store::read(places, generation)).transpose()?;
    let trial = Trial::read(places)?.map(|trial| TrialStatus {
        id: trial.id,
        from: trial.from,
        to: trial.to,
        stage: trial.stage,
        confirm_until: trial.confirm_until,
    });
    let snapshot = match &bundle {
        Some(bundle) if places.is_live() => match Manager::connect().await {
            Ok(manager) => host::snapshot(&manager, [Some(bundle)]).await.ok(),
            Err(_) => None,
        },
        _ => None,
    };
    let units = bundle.as_ref().zip(snapshot).map(|(bundle, snapshot)| {
        let names = bundle.manifest.units.keys().filter_map(|name| UnitName::parse(name));
        names.filter(|name| !name.is_template()).map(|name| (name.clone(), unit(&snapshot, &name))).collect()
    });
    Ok(Status {
        generation,
        profile: bundle.as_ref().map(|bundle| bundle.manifest.profile.clone()),
        bundle: bundle.map(|bundle| bundle.digest()),
        trial,
        units,
        last: history::read(places).unwrap_or_default().pop(),
    })
}

fn unit(snapshot: &Snapshot, name: &UnitName) -> Unit {
    let state = snapshot.state(name);
    Unit { active: state.active, sub: state.sub, restarts: state.restarts }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.generation, &self.profile, self.bundle) {
            (Some(generation), Some(profile), Some(bundle)) => {
                writeln!(out, "generation {generation}: {profile} (bundle {})", bundle.short())?;
            }
            _ => writeln!(out, "no generation yet; `citadel switch` makes the first")?,
        }
        if let Some(trial) = &self.trial {
            writeln!(out, "switch {} to generation {} {}", trial.id, trial.to, stage(trial))?;
        }
        if let Some(units) = &self.units {
            let width = units.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
            writeln!(out)?;
            for (name, unit) in units {
                let state = format!("{} ({})", unit.active.words(), unit.sub);
                let state = if unit.sub.is_empty() { unit.active.words().to_owned() } else { state };
                let restarts =
                    if unit.restarts > 0 { format!("  restarted {} times", unit.restarts) } else { String::new() };
                writeln!(out, "  {:<width$}  {state}{restarts}", name.as_str())?;
            }
        }
        if let Some(last) = &self.last {
            writeln!(out, "\nlast: {last}")?;
        }
        Ok(())
    }
}

fn stage(trial: &TrialStatus) -> String {
    match (trial.stage, trial.confirm_until) {
        (Stage::NextBoot, _) => "is tried at the next boot".to_owned(),
        (Stage::Booting, _) => "is being tried by this boot".to_owned(),
        (Stage::Applying, _) => "is at work".to_owned(),
        (Stage::Confirming, Some(until)) => {
            format!("waits for `citadel confirm` until {}", until.strftime("%H:%M:%S UTC"))
        }
        (Stage::Confirming, None) => "waits for `citadel confirm`".to_owned(),
        (Stage::RollingBack, _) => "is being taken back".to_owned(),
    }
}
