//! Giving a bundle to a host that does not run, such as an image: files only, and no proof.

use super::end::End;
use super::error::DiskError;
use super::lock::{Lock, LockError};
use super::places::Places;
use super::progress::Outcome;
use super::prospect::{self, Prospect};
use super::record::Record;
use super::switch::Target;
use super::trial::{Stage, Trial};
use super::{adopt, current, links, recover, setup, store};
use crate::plan::{self, Snapshot};

/// Makes a bundle what the host below the root folder starts with.
pub fn switch(places: &Places, target: &Target, adopt: bool) -> End {
    match try_switch(places, target, adopt) {
        Ok(end) | Err(end) => end,
    }
}

/// Finds out what that would do.
pub fn look_ahead(places: &Places, target: &Target, adopt: bool) -> Result<Prospect, End> {
    let new = prospect::load(places, target)?;
    let mut prospect = prospect::look_at_files(places, new, None, None, adopt)?;
    prospect.plan = plan::forward(prospect.old.as_ref(), &prospect.new, &Snapshot::default());
    Ok(prospect)
}

fn try_switch(places: &Places, target: &Target, adopt: bool) -> Result<End, End> {
    let not_written = |error: &dyn std::fmt::Display| End::new(Outcome::NotWritten, error.to_string());
    let _lock = Lock::try_take(places).map_err(|error| match error {
        LockError::Busy { .. } => End::new(Outcome::Busy, error.to_string()),
        LockError::Disk(error) => not_written(&error),
    })?;
    take_back(places).map_err(|error| not_written(&error))?;
    let prospect = look_ahead(places, target, adopt)?;
    let written = || -> Result<_, DiskError> {
        setup::prepare(places)?;
        let to = store::import(places, &prospect.new)?;
        Record::update(places, |record| record.adopted.extend(prospect.set_aside.iter().cloned()))?;
        adopt::set_aside(places, &prospect.set_aside)?;
        links::make(places, &prospect.new.manifest)?;
        current::set(places, Some(to))?;
        links::prune(places, Some(&prospect.new.manifest))?;
        Ok(to)
    };
    let to = written().map_err(|error| not_written(&error))?;
    if prospect.from == Some(to) {
        return Ok(End::unchanged());
    }
    Ok(End::new(Outcome::Done, format!("generation {to} is what the host starts with")))
}

/// Takes back the files of a switch that was not proven before the host went down; otherwise the next boot would take this
/// one back with it.
fn take_back(places: &Places) -> Result<(), DiskError> {
    let Some(trial) = Trial::read(places)? else { return Ok(()) };
    match trial.stage {
        Stage::NextBoot => Trial::remove(places),
        _ => recover::files_back(places, &trial),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::activate::Generation;
    use crate::activate::testing::{self, host, place};
    use crate::activate::trial::SetAside;

    #[test]
    fn what_was_not_proven_is_taken_back_first() {
        let (_root, places) = host();
        place(&places, "/etc/x", "theirs");
        let file = SetAside { path: "/etc/x".into(), kept: "/etc/citadel/adopted/1/etc/x".into() };
        let trial = || Trial { set_aside: vec![file.clone()], ..testing::trial(Some(Generation(1)), Generation(2)) };
        trial().write(&places).unwrap();
        adopt::set_aside(&places, std::slice::from_ref(&file)).unwrap();
        Record::update(&places, |record| record.adopted.push(file.clone())).unwrap();
        current::set(&places, Some(Generation(2))).unwrap();
        take_back(&places).unwrap();
        assert_eq!(current::get(&places).unwrap(), Some(Generation(1)));
        assert_eq!(fs::read_to_string(places.host("/etc/x")).unwrap(), "theirs");
        assert_eq!((Trial::read(&places).unwrap(), Record::read(&places).unwrap().adopted), (None, Vec::new()));

        Trial { stage: Stage::NextBoot, from: None, ..trial() }.write(&places).unwrap();
        take_back(&places).unwrap();
        assert_eq!(current::get(&places).unwrap(), Some(Generation(1)), "nothing of it had happened");
        assert_eq!(Trial::read(&places).unwrap(), None);
    }
}
