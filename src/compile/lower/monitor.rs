//! The configuration of the monitor: what it watches, and above what it speaks up.

use serde_json::{Value as Json, json};

use super::{LoweredFile, Output, gpu, probes};
use crate::bundle::manifest::FileKind;
use crate::compile::finding::OptionPath;
use crate::compile::render;
use crate::compile::system::System;

pub(super) fn config(system: &System, out: &mut Output) -> Option<LoweredFile> {
    let profile = &system.profile;
    let services: Vec<Json> = system
        .services
        .iter()
        .map(|service| {
            json!({
                "name": service.key,
                "unit": service.unit.as_str(),
                "start": service.spec.start,
                "oneshot": service.is_oneshot(),
                "gpus": service.gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>(),
                "health": probes::health(service),
            })
        })
        .collect();
    let gpus = profile.gpus.iter().filter_map(|(name, gpu)| {
        let (index, host) = gpu::found(system, gpu)?;
        Some(json!({"name": name, "index": index, "uuid": host.uuid}))
    });
    let config = json!({
        "version": 1,
        "main_target": system.main_target.as_str(),
        "settings": profile.monitor,
        "gpus": gpus.collect::<Vec<_>>(),
        "services": services,
    });
    let content = out.keep(render::json(&config))?;
    Some(LoweredFile::stored("config", "monitor.json", FileKind::Config, content, OptionPath::new(["monitor"])))
}
