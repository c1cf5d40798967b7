//! Whether two bundles would leave a host in different states.

use crate::bundle::Bundle;
use crate::bundle::manifest::{FileEntry, FileKind, Manifest};

/// Whether a host would notice: everything but what only describes how a bundle was made.
pub(super) fn differs(old: &Bundle, new: &Bundle) -> bool {
    let (old, new) = (&old.manifest, &new.manifest);
    old.units != new.units
        || old.budget != new.budget
        || !installed(old).eq(installed(new))
        || on_the_host(old) != on_the_host(new)
}

fn installed(manifest: &Manifest) -> impl Iterator<Item = (&String, &FileEntry)> {
    manifest.files.iter().filter(|(_, file)| file.kind != FileKind::Profile)
}

fn on_the_host(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.without_lists();
    manifest.description = None;
    manifest.compiler.citadel.clear();
    manifest.compiler.nickel.clear();
    for phase in &mut manifest.phases {
        phase.description = None;
    }
    for credential in manifest.credentials.values_mut() {
        credential.description = None;
    }
    manifest
}
