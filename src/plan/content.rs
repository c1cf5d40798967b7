//! Whether two bundles would leave a host in different states.

use crate::bundle::Bundle;
use crate::bundle::manifest::{FileKind, Manifest};

/// Whether a host would notice: everything but what only describes how a bundle was made.
pub(super) fn differs(old: &Bundle, new: &Bundle) -> bool {
    on_the_host(&old.manifest) != on_the_host(&new.manifest)
}

fn on_the_host(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.files.retain(|_, file| file.kind != FileKind::Profile);
    manifest.inputs.clear();
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
