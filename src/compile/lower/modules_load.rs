//! Kernel modules that CUDA needs and that services without privileges cannot load.

use super::{LoweredFile, Output};
use crate::bundle::manifest::FileKind;
use crate::compile::config::Profile;
use crate::compile::finding::OptionPath;
use crate::compile::render;

pub(super) fn lower(profile: &Profile, out: &mut Output) {
    if profile.gpus.is_empty() {
        return;
    }
    if let Some(content) = out.keep(render::modules_load(&["nvidia", "nvidia_uvm"])) {
        let target = "/etc/modules-load.d/citadel.conf";
        let origin = OptionPath::new(["gpus"]);
        out.files.push(LoweredFile::at("modules-load/citadel.conf", FileKind::ModulesLoad, target, content, origin));
    }
}
