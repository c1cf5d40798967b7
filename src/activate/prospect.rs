//! What a switch would do, found out without changing anything.

use std::fs::File;

use super::end::End;
use super::generation::Generation;
use super::host;
use super::links::{self, Found};
use super::manager::Manager;
use super::places::Places;
use super::progress::Outcome;
use super::switch::Target;
use super::trial::{SetAside, Trial};
use super::{admit, adopt, current, foreign, secrets, store};
use crate::bundle::Bundle;
use crate::plan::{self, Plan, Snapshot};

/// What a switch would do, found out without changing anything.
#[derive(Debug)]
pub struct Prospect {
    pub from: Option<Generation>,
    pub old: Option<Bundle>,
    pub new: Bundle,
    pub before: Snapshot,
    pub plan: Plan,
    pub set_aside: Vec<SetAside>,
    /// What people should know and that stops nothing.
    pub warnings: Vec<String>,
}

impl Prospect {
    /// Whether the host is there already.
    pub fn is_done(&self) -> bool {
        !self.plan.changes && self.plan.order.is_empty() && self.set_aside.is_empty() && self.from.is_some()
    }
}

/// Reads what to switch to, and makes sure that it is whole.
pub fn load(places: &Places, target: &Target) -> Result<Bundle, End> {
    let invalid = |error: String| End::new(Outcome::Invalid, error);
    match target {
        Target::Generation(generation) => store::read(places, *generation).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) if path.is_dir() => Bundle::read(path).map_err(|error| invalid(error.to_string())),
        Target::Bundle(path) => {
            let file =
                File::open(path).map_err(|error| invalid(format!("{} cannot be read: {error}", path.display())))?;
            Bundle::unpack(file).map_err(|error| invalid(format!("{}: {error}", path.display())))
        }
    }
}

/// Finds out what a switch to a bundle would do; `id` names the switch that would set files aside.
pub async fn look_ahead(
    places: &Places,
    manager: &Manager,
    new: Bundle,
    id: Option<&str>,
    adopt: bool,
) -> Result<Prospect, End> {
    let version = manager.version().await.map_err(End::refused)?;
    let mut prospect = look_at_files(places, new, Some(version), id, adopt)?;
    prospect.before =
        host::snapshot(manager, [prospect.old.as_ref(), Some(&prospect.new)]).await.map_err(End::refused)?;
    prospect.plan = plan::forward(prospect.old.as_ref(), &prospect.new, &prospect.before);
    Ok(prospect)
}

/// The part of it that files tell; the plan is still empty.
pub fn look_at_files(
    places: &Places,
    new: Bundle,
    systemd: Option<u32>,
    id: Option<&str>,
    adopt: bool,
) -> Result<Prospect, End> {
    let problems: Vec<String> = admit::problems(&new, systemd).iter().map(|it| format!("\n- {it}")).collect();
    if !problems.is_empty() {
        return Err(End::new(Outcome::Refused, format!("this host cannot take the bundle:{}", problems.concat())));
    }
    let mut warnings = Vec::new();
    if let Some(missing) = missing_secrets(places, &new)? {
        // What is below another root folder may get its secrets later, where its TPM is.
        if places.is_live() {
            return Err(End::new(Outcome::Refused, missing));
        }
        warnings.push(missing);
    }
    let from = current::get(places).map_err(End::refused)?;
    // What somebody changed in it is told by `verify`; what runs came from it all the same.
    let old = from.map(|from| store::read_as_is(places, from)).transpose().map_err(End::refused)?;
    let found = foreign::find(places, old.as_ref().map(|old| &old.manifest), &new.manifest).map_err(End::refused)?;
    let mut set_aside = Vec::new();
    if found.is_in_the_way() {
        let immovable: Vec<String> = found.immovable().map(|it| format!("\n- {it}")).collect();
        if !immovable.is_empty() {
            let message =
                "these win over the units of the bundle, and are made by others that have to stop that first:";
            return Err(End::new(Outcome::Refused, format!("{message}{}", immovable.concat())));
        }
        if !adopt {
            let help = "remove them, or switch with --adopt, which sets them aside and brings them back when citadel is \
                        uninstalled";
            return Err(End::new(
                Outcome::Refused,
                format!("others have these already:{}\n{help}", found.in_the_way()),
            ));
        }
        set_aside = adopt::plan(id.unwrap_or("plan"), &found);
    }
    warnings.extend(found.warnings());
    Ok(Prospect { from, old, new, before: Snapshot::default(), plan: Plan::default(), set_aside, warnings })
}

/// Says which secrets services would not start without; none when all are there.
fn missing_secrets(places: &Places, new: &Bundle) -> Result<Option<String>, End> {
    let missing = secrets::missing(places, new).map_err(End::refused)?;
    let line = |secret: &secrets::Wanted| {
        format!("\n- {} needs {}; set it with: {}", secret.units.join(", "), secret.name, secret.command())
    };
    let lines: String = missing.iter().map(line).collect();
    Ok((!lines.is_empty()).then(|| format!("this host does not have all secrets of the bundle:{lines}")))
}

/// Whether the host runs exactly this, whole, and nothing is under way.
///
/// This is all that a switch without a change costs: reading the bundle and the generation, and comparing.
pub fn is_current(places: &Places, target: &Target) -> bool {
    let Ok(Some(current)) = current::get(places) else { return false };
    let (Some(there), Ok(None)) = (whole(places, current), Trial::read(places)) else { return false };
    match target {
        Target::Generation(generation) => *generation == current,
        Target::Bundle(_) => load(places, target).is_ok_and(|bundle| bundle.digest() == there.digest()),
    }
}

/// Returns a generation when each of its files, in the store as well, and each link is as it has to be.
pub fn whole(places: &Places, generation: Generation) -> Option<Bundle> {
    let bundle = store::read(places, generation).ok()?;
    let stored = store::check_store(places, &bundle).is_ok_and(|missing| missing.is_empty());
    let is_right = |link| links::look(places, link).is_ok_and(|found| found == Found::Right);
    (stored && links::wanted(&bundle.manifest).iter().all(is_right)).then_some(bundle)
}
