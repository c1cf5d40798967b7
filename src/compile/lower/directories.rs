//! Directories and links that are made at boot, for systemd-tmpfiles.

use super::users::escaped;
use super::{ENCODING, LoweredFile, Output};
use crate::bundle::manifest::FileKind;
use crate::compile::config::Profile;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::render;

pub(super) fn lower(profile: &Profile, out: &mut Output) {
    let mut lines = Vec::new();
    let mut field = |text: &str, place: OptionPath| match escaped(text) {
        Ok(text) => Some(text),
        Err(reason) => {
            out.findings.push(
                Finding::error(ENCODING, format!("systemd-tmpfiles cannot be told of {text:?}")).at(place, reason),
            );
            None
        }
    };
    // In the order of paths a directory comes before what lies in it.
    for (path, directory) in &profile.directories {
        let place = OptionPath::new(["directories"]).member(path);
        let Some(path) = field(path, place.clone()) else { continue };
        let (Some(user), Some(group)) = (field(&directory.user, place.join("user")), field(&directory.group, place))
        else {
            continue;
        };
        let age = directory.max_age.map_or_else(|| "-".to_owned(), |age| age.to_string());
        lines.push(["d".to_owned(), path, format!("{:0>4}", directory.mode), user, group, age, "-".to_owned()]);
    }
    for (path, link) in profile.storage.links.iter().filter(|(_, link)| link.create) {
        let place = OptionPath::new(["storage", "links"]).member(path);
        let (Some(path), Some(target)) = (field(path, place.clone()), field(&link.target, place.join("target"))) else {
            continue;
        };
        // Not `L+`, which would remove a directory that is in the way with everything in it.
        let none = || "-".to_owned();
        lines.push(["L".to_owned(), path, none(), none(), none(), none(), target]);
    }
    if lines.is_empty() {
        return;
    }
    if let Some(content) = out.keep(render::tmpfiles(lines)) {
        let origin = OptionPath::new(["directories"]);
        let target = "/etc/tmpfiles.d/citadel.conf";
        out.files.push(LoweredFile::at("tmpfiles/citadel.conf", FileKind::Tmpfiles, target, content, origin));
    }
}
