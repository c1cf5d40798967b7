//! The commit point: the link to the generation that counts.

use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::files::{Folder, optional};
use super::generation::Generation;
use super::places::Places;

/// Returns the generation that the link names; none when there is no link, so citadel manages nothing.
pub fn get(places: &Places) -> Result<Option<Generation>, DiskError> {
    let Some(home) = optional(Folder::own(places, places.home()))? else { return Ok(None) };
    let Some(text) = home.link_text(NAME)? else {
        return match home.stat(NAME)? {
            None => Ok(None),
            Some(_) => Err(broken(places, "is not a link")),
        };
    };
    parse(&text).map(Some).ok_or_else(|| broken(places, &format!("leads to {}", text.display())))
}

/// Returns the generation that a text of the link names.
pub(super) fn parse(text: &Path) -> Option<Generation> {
    Generation::parse(text.to_str()?.strip_prefix("generations/")?)
}

/// Durably makes another generation the one that counts, or none.
///
/// The rename of the new link over the old one is the only moment at which a host changes from one to the other.
pub fn set(places: &Places, generation: Option<Generation>) -> Result<(), DiskError> {
    let home = Folder::own(places, places.home())?;
    match generation {
        Some(generation) => home.link(NAME, text(generation)),
        None => home.remove(NAME).map(|_| ()),
    }
}

const NAME: &str = "current";

fn text(generation: Generation) -> PathBuf {
    PathBuf::from(format!("generations/{generation}"))
}

fn broken(places: &Places, reason: &str) -> DiskError {
    DiskError::Broken {
        path: places.current(),
        reason: format!("{reason}, and has to be a link to `generations/N`"),
        help: "see `citadel generations` and link it to the one that has to count".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_was_set_is_there() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(root.path());
        assert_eq!(get(&places).unwrap(), None);
        Folder::make_own(&places, places.home()).unwrap();
        for wanted in [Some(Generation(1)), Some(Generation(12)), None, None, Some(Generation(3))] {
            set(&places, wanted).unwrap();
            assert_eq!(get(&places).unwrap(), wanted);
        }
        assert_eq!(fs::read_dir(places.home()).unwrap().count(), 1, "no temporary link is left");
    }

    #[test]
    fn another_link_is_not_taken_for_a_generation() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(root.path());
        Folder::make_own(&places, places.home()).unwrap();
        for text in
            ["generations/01", "generations/0", "generations/1/", "/etc/citadel/generations/1", "x", "generations/"]
        {
            symlink(text, places.current()).unwrap();
            assert!(get(&places).is_err(), "{text}");
            fs::remove_file(places.current()).unwrap();
        }
        fs::create_dir(places.current()).unwrap();
        assert!(get(&places).is_err());
    }

    #[test]
    fn a_home_that_leads_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink(elsewhere.path(), root.path().join("etc/citadel")).unwrap();
        let places = Places::new(root.path());
        assert!(matches!(set(&places, Some(Generation(1))), Err(DiskError::Unsafe { .. })));
        assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
    }
}
