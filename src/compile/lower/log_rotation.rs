//! Rotation of log files, for logrotate.

use super::draft::tag;
use super::{ENCODING, LoweredFile, Output};
use crate::bundle::manifest::FileKind;
use crate::compile::config::{LogRotation, Profile, members};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::render;

pub(super) fn lower(profile: &Profile, out: &mut Output) {
    let mut rotations = Vec::new();
    for (key, rotation) in &profile.log_rotation {
        let origin = OptionPath::new(["log_rotation", key]);
        let mut paths = Vec::new();
        for path in members(&rotation.paths) {
            match quoted(path) {
                Ok(path) => paths.push(path),
                Err(reason) => out.findings.push(
                    Finding::error(ENCODING, format!("logrotate cannot be told of {path:?}"))
                        .at(origin.join("paths").member(path), reason)
                        .help("write an absolute path; `*` is allowed in its last two parts"),
                ),
            }
        }
        if !paths.is_empty() {
            rotations.push((paths, directives(rotation)));
        }
    }
    if rotations.is_empty() {
        return;
    }
    if let Some(content) = out.keep(render::logrotate(rotations)) {
        let origin = OptionPath::new(["log_rotation"]);
        let target = "/etc/logrotate.d/citadel";
        out.files.push(LoweredFile::at("logrotate/citadel.conf", FileKind::Logrotate, target, content, origin));
    }
}

/// Returns a path in double quotes. Inside them logrotate knows no escape and expands the patterns of glob(7), so what
/// would end the quotes or be a pattern is refused, except for `*` where it is allowed.
fn quoted(path: &str) -> Result<String, &'static str> {
    if !path.starts_with('/') {
        return Err("not an absolute path");
    }
    if path.chars().any(|it| it.is_control() || "\"'\\?[]{}~".contains(it)) {
        return Err("control characters, quotes, backslashes, \"~\" and the patterns ?[]{} are not allowed");
    }
    let parts: Vec<&str> = path[1..].split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err("not a plain path");
    }
    if parts.iter().rev().skip(2).any(|part| part.contains('*')) {
        return Err("\"*\" is allowed in the last two parts only");
    }
    Ok(format!("\"{path}\""))
}

fn directives(rotation: &LogRotation) -> Vec<String> {
    let switch = |on: bool, name: &str| if on { name.to_owned() } else { format!("no{name}") };
    let LogRotation { user, group, mode, .. } = rotation;
    let mut lines = vec![
        tag(&rotation.every),
        format!("rotate {}", rotation.keep),
        switch(rotation.compress, "compress"),
        switch(rotation.delay_compress, "delaycompress"),
        switch(rotation.missing_ok, "missingok"),
        if rotation.if_empty { "ifempty" } else { "notifempty" }.to_owned(),
        // Without it logrotate would follow links in a directory of the service's user as root.
        format!("su {user} {group}"),
    ];
    lines.extend(rotation.max_size.map(|size| format!("maxsize {}", size.0)));
    lines.push(if rotation.copy_truncate {
        "copytruncate".to_owned()
    } else {
        format!("create {mode} {user} {group}")
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_quoted() {
        assert_eq!(quoted("/opt/a b/logs/*/*.log").as_deref(), Ok("\"/opt/a b/logs/*/*.log\""));
        for path in ["logs", "/a\" {\n}", "/a\\", "/a/../b", "/*/b/c", "/a[0]", "/a//b", "/"] {
            assert!(quoted(path).is_err(), "{path}");
        }
    }
}
