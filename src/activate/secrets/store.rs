//! The credential store of a host: what is there, and how a value gets there.

use std::path::Path;

use rustix::fs::{Mode, fchmod};
use serde::Serialize;

use super::super::error::DiskError;
use super::super::files::{Access, Folder, Through, is_file, split};
use super::super::places::Places;

/// What is where a secret has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    Present,
    Missing,
    /// This user may not know.
    Hidden,
    /// Something is there that systemd would not take, or that others could read.
    Unusable(String),
}

/// Looks at the place of a secret, without reading it.
///
/// # Errors
///
/// When the folder cannot be looked at for another reason than the rights of this user.
pub fn state(places: &Places, path: impl AsRef<Path>) -> Result<State, DiskError> {
    let Some((folder, name)) = split(path.as_ref()) else { return Ok(State::Missing) };
    let looked = Folder::find(places, folder, Through::NoLinks)
        .and_then(|folder| folder.map(|folder| folder.stat(name)).transpose());
    let stat = match looked {
        Ok(stat) => stat.flatten(),
        Err(error) if error.is_denied() => return Ok(State::Hidden),
        Err(error @ DiskError::Unsafe { .. }) => return Ok(State::Unusable(error.to_string())),
        Err(error) => return Err(error),
    };
    let unusable = |reason: &str| State::Unusable(format!("{} {reason}", path.as_ref().display()));
    Ok(match stat {
        None => State::Missing,
        Some(stat) if !is_file(&stat) => unusable("is not a regular file"),
        Some(stat) if stat.st_mode & 0o077 != 0 => unusable("can be read or changed by others than root"),
        Some(stat) if stat.st_size == 0 => unusable("is empty"),
        Some(_) => State::Present,
    })
}

/// Durably puts content in the place of a secret, which only root may read then.
///
/// # Errors
///
/// When the folder of the store is a link, or somebody else could change it; nothing is written then.
pub fn put(places: &Places, path: impl AsRef<Path>, content: &[u8]) -> Result<(), DiskError> {
    let path = path.as_ref();
    let Some((folder, name)) = split(path) else {
        return Err(DiskError::Unsafe { path: path.to_owned(), reason: "is not the path of a file".to_owned() });
    };
    let mut made = Vec::new();
    let store = Folder::make(places, folder, Through::NoLinks, &mut made)?;
    if made.iter().any(|made| made == folder) {
        // As systemd makes it.
        fchmod(&store, Mode::from_raw_mode(0o700))
            .map_err(|error| DiskError::doing("close the folder", store.path())(error.into()))?;
    }
    store.check_owned()?;
    if store.stat(name)?.is_some_and(|stat| !is_file(&stat)) {
        let reason = "is not a regular file, so it is left alone".to_owned();
        return Err(DiskError::Unsafe { path: store.path().join(name), reason });
    }
    store.remove_abandoned()?;
    store.write(name, content, Access::PRIVATE)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::activate::testing::host_of;

    const PATH: &str = "/etc/credstore/token";

    #[test]
    fn a_value_is_for_root_only() {
        let (_root, places) = host_of(&["/etc"]);
        assert_eq!(state(&places, PATH).unwrap(), State::Missing);
        put(&places, PATH, b"one").unwrap();
        put(&places, PATH, b"two").unwrap();
        assert_eq!(state(&places, PATH).unwrap(), State::Present);
        let file = fs::metadata(places.host(PATH)).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(places.host("/etc/credstore")).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::read(places.host(PATH)).unwrap(), b"two");
        assert_eq!(fs::read_dir(places.host("/etc/credstore")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn no_link_is_followed() {
        let (_root, places) = host_of(&["/etc/credstore", "/elsewhere"]);
        symlink("/elsewhere/file", places.host(PATH)).unwrap();
        assert!(matches!(state(&places, PATH).unwrap(), State::Unusable(_)));
        assert!(put(&places, PATH, b"x").is_err());
        fs::remove_dir_all(places.host("/etc/credstore")).unwrap();
        symlink("/elsewhere", places.host("/etc/credstore")).unwrap();
        assert!(put(&places, PATH, b"x").is_err());
        assert!(matches!(state(&places, PATH).unwrap(), State::Unusable(_)));
        assert_eq!(fs::read_dir(places.host("/elsewhere")).unwrap().count(), 0);
    }

    #[test]
    fn a_store_that_others_can_change_is_refused() {
        let (_root, places) = host_of(&["/etc/credstore"]);
        fs::set_permissions(places.host("/etc/credstore"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(put(&places, PATH, b"x").is_err());
        assert_eq!(fs::read_dir(places.host("/etc/credstore")).unwrap().count(), 0);
    }

    #[test]
    fn what_everybody_can_read_is_no_secret() {
        let (_root, places) = host_of(&["/etc/credstore"]);
        fs::write(places.host(PATH), "x").unwrap();
        fs::set_permissions(places.host(PATH), fs::Permissions::from_mode(0o644)).unwrap();
        let found = State::Unusable(format!("{PATH} can be read or changed by others than root"));
        assert_eq!(state(&places, PATH).unwrap(), found);
    }
}
