//! Giving a bundle to a host that does not run, such as an image: files only, and no proof.

use super::end::End;
use super::lock::Lock;
use super::places::Places;
use super::progress::Outcome;
use super::prospect::{self, Prospect};
use super::record::Record;
use super::switch::Target;
use super::{adopt, current, links, setup, store};
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
    let _lock = Lock::try_take(places).map_err(|error| End::new(Outcome::Busy, error.to_string()))?;
    let prospect = look_ahead(places, target, adopt)?;
    let written = || -> Result<_, super::error::DiskError> {
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
