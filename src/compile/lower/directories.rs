//! Directories and links that are made at boot, for systemd-tmpfiles.

use super::users::quoted;
use super::{ENCODING, LoweredFile, Output};
use crate::bundle::manifest::FileKind;
use crate::compile::config::Profile;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::render;

pub(super) fn lower(profile: &Profile, out: &mut Output) {
    let mut lines = Vec::new();
    // In the order of paths a directory comes before what lies in it.
    for (path, directory) in &profile.directories {
        let place = OptionPath::new(["directories"]).member(path);
        let Some(path) = out.field(path, quoted(path), &place) else { continue };
        let (Some(user), Some(group)) = (
            out.field(&directory.user, quoted(&directory.user), &place),
            out.field(&directory.group, quoted(&directory.group), &place),
        ) else {
            continue;
        };
        let age = directory.max_age.map_or_else(|| "-".to_owned(), |age| age.to_string());
        lines.push(["d".to_owned(), path, format!("{:0>4}", directory.mode), user, group, age, "-".to_owned()]);
    }
    for (path, link) in profile.storage.links.iter().filter(|(_, link)| link.create) {
        let place = OptionPath::new(["storage", "links"]).member(path);
        let Some(path) = out.field(path, quoted(path), &place) else { continue };
        let Some(target) = out.field(&link.target, argument(&link.target), &place.join("target")) else { continue };
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

impl Output {
    /// Keeps a field, or reports why it cannot be written.
    fn field(&mut self, text: &str, field: Result<String, &'static str>, place: &OptionPath) -> Option<String> {
        self.keep(field.map_err(|reason| {
            Finding::error(ENCODING, format!("systemd-tmpfiles cannot be told of {text:?}")).at(place.clone(), reason)
        }))
    }
}

/// Returns the last field of a line, in which quotes mean nothing: C escapes for everything but plain characters, and
/// `%%` against specifiers, which are expanded after the escapes.
fn argument(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed");
    }
    let mut field = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => field.push_str("%%"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'_' | b'.' | b',' | b':' | b'@' | b'+' | b'=' | b'-' => {
                field.push(char::from(byte));
            }
            other => field.push_str(&format!("\\x{other:02x}")),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_link_is_escaped() {
        assert_eq!(argument("/a b\"c\\d%h").as_deref(), Ok(r"/a\x20b\x22c\x5cd%%h"));
        assert!(argument("/a\nd /etc").is_err());
    }
}
