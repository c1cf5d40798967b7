//! The storage check: what has to be in place, as assertions that systemd itself evaluates at each start.

use super::draft::Draft;
use crate::bundle::unit::Value;
use crate::compile::system::System;

/// Asserts that required mounts, links and directories of the profile are there.
pub(super) fn asserts(draft: &mut Draft, system: &System) {
    let profile = &system.profile;
    for (path, mount) in &profile.storage.mounts {
        if mount.required {
            draft.unit("AssertPathIsMountPoint", Value::Path(path.clone()), "");
        }
    }
    for path in profile.storage.links.keys() {
        draft.unit("AssertPathIsSymbolicLink", Value::Path(path.clone()), "");
    }
    let optional = |path: &str| {
        let mut mounts = profile.storage.mounts.iter().filter(|(_, mount)| !mount.required);
        mounts.any(|(mount, _)| super::sandbox::is_below(path, mount))
    };
    for path in profile.directories.keys().filter(|path| !optional(path)) {
        draft.unit("AssertPathIsDirectory", Value::Path(path.clone()), "");
    }
}
