//! Files and directories: places that are taken, and directories that others can pull away.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bundle::manifest::FileKind;
use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath};

use super::codes::{FILE_TARGET, LOG_PATH, UNSAFE_DIRECTORY};
use super::context::Context;

/// Files that the system itself keeps and changes.
const OF_THE_SYSTEM: &[&str] = &[
    "/etc/crypttab",
    "/etc/fstab",
    "/etc/group",
    "/etc/gshadow",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/mtab",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/shadow",
    "/etc/subgid",
    "/etc/subuid",
    "/etc/sudoers",
];

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_targets(context, findings);
    check_directories(context, findings);
    for (key, rotation) in &context.system.profile.log_rotation {
        if members(&rotation.paths).next().is_none() {
            findings.push(
                Finding::error(LOG_PATH, format!("the log rotation {key} names no files"))
                    .at(OptionPath::new(["log_rotation", key]), "this rotation")
                    .help("name them, such as `paths.\"/var/log/app/*.log\" = true`, or remove it"),
            );
        }
    }
}

fn check_targets(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let generated: BTreeMap<&str, &OptionPath> = (context.lowered.files.iter())
        .filter(|file| file.kind != FileKind::Raw)
        .filter_map(|file| Some((file.target.as_deref()?, &file.origin)))
        .collect();
    for path in context.system.profile.files.keys() {
        let place = OptionPath::new(["files"]).member(path);
        if let Some(origin) = generated.get(path.as_str()) {
            findings.push(
                Finding::error(FILE_TARGET, format!("{path} is made by citadel already"))
                    .at(place, "and written out here")
                    .at((*origin).clone(), "made for this")
                    .help("write to another path"),
            );
        } else if OF_THE_SYSTEM.contains(&path.as_str()) {
            findings.push(
                Finding::error(FILE_TARGET, format!("{path} belongs to the system"))
                    .at(place, "this would replace it")
                    .note("other programs change this file, and a rollback would undo what they wrote")
                    .help(
                        "change it outside of citadel, or use a file of your own, such as one below a `.d` directory",
                    ),
            );
        }
    }
}

/// Reports directories of root, or of one user, in a directory of another user.
///
/// systemd-tmpfiles refuses such a path, because the owner above can put something else in its place.
fn check_directories(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let directories = &context.system.profile.directories;
    for (path, directory) in directories {
        let above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        let parent = above.into_iter().find_map(|above| directories.get_key_value(above));
        let Some((above, parent)) = parent.filter(|(_, parent)| parent.user != "root" && parent.user != directory.user)
        else {
            continue;
        };
        let place = |path: &str| OptionPath::new(["directories"]).member(path).join("user");
        findings.push(
            Finding::error(
                UNSAFE_DIRECTORY,
                format!("{path} of {} lies in a directory of {}", directory.user, parent.user),
            )
            .at(place(path), format!("belongs to {}", directory.user))
            .at(place(above), format!("belongs to {}", parent.user))
            .note("systemd-tmpfiles refuses it, because the owner above could put something else in its place")
            .help(format!("let {above} belong to root, or both to {}", parent.user)),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::found;

    #[test]
    fn files_of_others_are_not_replaced() {
        assert_eq!(
            found(json!({
                "files": { "/etc/passwd": {}, "/etc/logrotate.d/citadel": {}, "/etc/app.conf": {} },
                "log_rotation": { "l": { "paths": { "/var/log/x": true } } },
            })),
            [
                "C0290 error files.\"/etc/logrotate.d/citadel\": /etc/logrotate.d/citadel is made by citadel already",
                "C0290 error files.\"/etc/passwd\": /etc/passwd belongs to the system",
            ]
        );
    }

    #[test]
    fn a_rotation_names_files() {
        assert_eq!(
            found(json!({ "log_rotation": { "l": {} } })),
            ["C0292 error log_rotation.l: the log rotation l names no files"]
        );
    }

    #[test]
    fn directories_are_not_put_into_those_of_another_user() {
        let directories = |above: &str, below: &str| {
            json!({
                "users": { "a": {}, "b": {} },
                "directories": { "/srv/x": { "user": above }, "/srv/x/y/z": { "user": below } },
            })
        };
        assert_eq!(found(directories("root", "a")), [""; 0]);
        assert_eq!(found(directories("a", "a")), [""; 0]);
        for below in ["root", "b"] {
            assert_eq!(
                found(directories("a", below)),
                [format!(
                    "C0293 error directories.\"/srv/x/y/z\".user: /srv/x/y/z of {below} lies in a directory of a"
                )]
            );
        }
    }
}
