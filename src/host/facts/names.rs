//! Users, groups and units that are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Tree;
use crate::bundle::unit::UnitName;

/// Returns the first field of each line of a file such as `/etc/passwd`, and nothing else of it.
pub(super) fn accounts(tree: Tree<'_>, file: &str) -> BTreeMap<String, bool> {
    let text = tree.read(file).unwrap_or_default();
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0));
    let plain = names.filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']));
    plain.map(|name| (name.to_owned(), true)).collect()
}

/// Returns the units that somebody defined on this machine, or switched on. systemd's own need not be listed.
pub(super) fn units(tree: Tree<'_>) -> BTreeMap<String, bool> {
    const FOLDER: &str = "etc/systemd/system";
    let mut units = BTreeMap::new();
    for name in tree.names(FOLDER) {
        let below = format!("{FOLDER}/{name}");
        if [".wants", ".requires", ".upholds"].iter().any(|end| name.ends_with(end)) {
            units.extend(tree.names(&below).into_iter().filter(|name| is_unit(name)).map(|name| (name, true)));
        } else if is_unit(&name) && !is_masked(&tree.path(&below)) {
            units.insert(name, true);
        }
    }
    units
}

fn is_unit(name: &str) -> bool {
    UnitName::parse(name).is_some()
}

fn is_masked(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_somebody_wants() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/systemd/system");
        fs::create_dir_all(folder.join("multi-user.target.wants")).unwrap();
        fs::create_dir_all(folder.join("ssh.service.d")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        link("/lib/systemd/system/docker.service", "multi-user.target.wants/docker.service");
        link("/dev/null", "masked.service");
        link("/lib/systemd/system/redis-server.service", "redis.service");
        fs::write(folder.join("notes.txt"), "").unwrap();
        let found: Vec<String> = units(Tree(root.path())).into_keys().collect();
        assert_eq!(found, ["docker.service", "redis.service"]);
    }

    #[test]
    fn accounts_are_names_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n+nis::\n# note: none\n\n").unwrap();
        assert_eq!(accounts(Tree(root.path()), "etc/passwd"), BTreeMap::from([("root".to_owned(), true)]));
    }
}
