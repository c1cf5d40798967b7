//! The device nodes of the GPUs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use super::Tree;

/// Returns NVIDIA's device nodes, and whether each has the link below `/dev/char` without which a container loses its GPU
/// when systemd reloads (nvidia-container-toolkit#48).
pub(super) fn nvidia(tree: Tree<'_>) -> BTreeMap<String, bool> {
    let nodes = tree.names("dev").into_iter().filter(|name| name.starts_with("nvidia"));
    let node = |name: String| {
        let node = fs::symlink_metadata(tree.path("dev").join(&name)).ok()?;
        if !node.file_type().is_char_device() {
            return None;
        }
        let (major, minor) = (rustix::fs::major(node.rdev()), rustix::fs::minor(node.rdev()));
        let linked = fs::metadata(tree.path(format!("dev/char/{major}:{minor}")));
        Some((format!("/dev/{name}"), linked.is_ok_and(|linked| linked.rdev() == node.rdev())))
    };
    nodes.filter_map(node).collect()
}
