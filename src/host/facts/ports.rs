//! TCP ports that somebody listens on.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;

/// Returns the ports by the name that `/etc/services` has for them. Who listens is not asked: on a machine with many
/// processes that would take longer than everything else.
pub(super) fn listening(tree: Tree<'_>, own: &BTreeSet<u16>) -> BTreeMap<String, u16> {
    let mut ports = BTreeSet::new();
    for file in ["proc/net/tcp", "proc/net/tcp6"] {
        ports.extend(tree.read(file).unwrap_or_default().lines().filter_map(listens));
    }
    let services = tree.read("etc/services").unwrap_or_default();
    let known = names(&services);
    let named = |port: &u16| {
        let name = known.get(port).map_or_else(|| format!("tcp-{port}"), |name| (*name).to_owned());
        (name, *port)
    };
    ports.difference(own).map(named).collect()
}

/// Returns the port of a line of proc_net_tcp(5) about a socket that listens.
fn listens(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace();
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    (words.nth(1)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
}

/// Reads services(5). The first name of a port counts, and the first port of a name.
fn names(text: &str) -> BTreeMap<u16, &str> {
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
        if taken.insert(name) {
            names.entry(port).or_insert(name);
        }
    }
    names
}
