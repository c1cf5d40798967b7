//! What the kernel says of processors, memory and control groups.

use std::collections::BTreeMap;

use super::{FactsError, MIB, Node, Tree, rounded};
use crate::bundle::quantity::Size;

/// Returns the version in the first line of `systemctl --version`, such as `systemd 252 (252.39-1~deb12u2)`.
pub(super) fn systemd(text: &str) -> Option<u32> {
    let word = text.lines().next()?.strip_prefix("systemd ")?.split_whitespace().next()?;
    let digits = word.find(|character: char| !character.is_ascii_digit()).unwrap_or(word.len());
    word[..digits].parse().ok()
}

/// Returns the version of control groups, and the controllers.
pub(super) fn control_groups(tree: Tree<'_>) -> (u32, BTreeMap<String, bool>) {
    if let Ok(text) = tree.read("sys/fs/cgroup/cgroup.controllers") {
        return (2, text.split_whitespace().map(|name| (name.to_owned(), true)).collect());
    }
    let text = tree.read("proc/cgroups").unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let enabled = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        (words.nth(2)? == "1").then(|| (name.to_owned(), true))
    });
    (1, enabled.collect())
}

/// Returns how many processors are online.
pub(super) fn cpus(tree: Tree<'_>) -> Result<u32, FactsError> {
    const ONLINE: &str = "sys/devices/system/cpu/online";
    count(&tree.word(ONLINE)?).ok_or_else(|| tree.unclear(ONLINE))
}

/// Counts a list such as `0-15,32-47`.
fn count(list: &str) -> Option<u32> {
    list.split(',').try_fold(0u32, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// Returns the RAM that the kernel has to give.
pub(super) fn memory(tree: Tree<'_>) -> Result<Size, FactsError> {
    const MEMINFO: &str = "proc/meminfo";
    total(&tree.read(MEMINFO)?).ok_or_else(|| tree.unclear(MEMINFO))
}

/// Finds the total in a list of the kernel, in KiB there.
fn total(text: &str) -> Option<Size> {
    let rest = text.lines().find_map(|line| line.split_once("MemTotal:"))?.1;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(rounded(kib.checked_mul(1024)?, MIB))
}

/// Returns the NUMA nodes; none where the kernel knows no such thing.
pub(super) fn numa(tree: Tree<'_>) -> Vec<Node> {
    const NODES: &str = "sys/devices/system/node";
    let node = |name: String| {
        let node = name.strip_prefix("node")?.parse().ok()?;
        let cpus = tree.word(&format!("{NODES}/{name}/cpulist")).ok()?;
        let memory = total(&tree.read(&format!("{NODES}/{name}/meminfo")).ok()?)?;
        Some(Node { node, cpus, memory })
    };
    let mut nodes: Vec<Node> = tree.names(NODES).into_iter().filter_map(node).collect();
    nodes.sort_by_key(|node| node.node);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_systemd_are_numbers() {
        let table = [
            ("systemd 252 (252.39-1~deb12u2)\n+PAM", Some(252)),
            ("systemd 258~rc1 (258~rc1)\n", Some(258)),
            ("systemd 257.13\n", Some(257)),
            ("", None),
        ];
        for (text, version) in table {
            assert_eq!(systemd(text), version, "{text}");
        }
    }

    #[test]
    fn processors_are_counted() {
        assert_eq!(count("0-15,32-47"), Some(32));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count(""), None);
    }
}
