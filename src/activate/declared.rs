//! What a bundle declares for sysusers, tmpfiles and systemd's own folders: the names that come into being with it.
//!
//! Only what the compiler writes is understood. A line that says more than that is systemd's to act on; it is only not
//! taken away again by `uninstall`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::bundle::manifest::FileKind;
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};

/// Returns the fields of all lines in files of this kind; lines with specifiers other than `%%` are left out.
pub fn lines(bundle: &Bundle, kind: FileKind) -> Vec<Vec<String>> {
    let files = bundle.manifest.files.iter().filter(|(_, entry)| entry.kind == kind);
    let texts = files.filter_map(|(path, _)| std::str::from_utf8(bundle.files.get(path)?).ok());
    let lines = texts.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(fields).collect()
}

/// Splits a line as sysusers.d(5) and tmpfiles.d(5) do: at white space, with double quotes and backslashes.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|it| it.is_ascii_whitespace()).is_some() {}
        if characters.peek().is_none() {
            return Some(fields);
        }
        let mut field = String::new();
        let mut quoted = false;
        while let Some(it) = characters.next_if(|it| quoted || !it.is_ascii_whitespace()) {
            match it {
                '"' => quoted = !quoted,
                '\\' => field.push(characters.next()?),
                '%' => field.push(characters.next_if_eq(&'%')?),
                _ => field.push(it),
            }
        }
        fields.push(field);
    }
}

/// Returns the users that sysusers makes when they do not exist, and the groups.
pub fn users(bundle: &Bundle) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for fields in lines(bundle, FileKind::Sysusers) {
        let kind = fields.first().map_or("", |kind| kind.trim_end_matches('!'));
        match (kind, &fields[1.min(fields.len())..]) {
            ("u", [name, rest @ ..]) => {
                users.insert(name.clone());
                // `-:GROUP` names a group that has to exist.
                if rest.first().is_none_or(|id| !id.contains(':')) {
                    groups.insert(name.clone());
                }
            }
            ("g", [name, ..]) => {
                groups.insert(name.clone());
            }
            ("m", [user, group, ..]) => {
                users.insert(user.clone());
                groups.extend([user.clone(), group.clone()]);
            }
            _ => {}
        }
    }
    (users, groups)
}

/// Returns the folders, files and links that tmpfiles makes when they do not exist.
pub fn paths(bundle: &Bundle) -> BTreeSet<PathBuf> {
    let made = |kind: &str| kind.starts_with(['d', 'D', 'v', 'q', 'Q', 'L', 'f', 'F', 'p', 'C']);
    let lines = lines(bundle, FileKind::Tmpfiles).into_iter();
    lines.filter(|fields| fields.len() > 1 && made(&fields[0])).map(|fields| PathBuf::from(&fields[1])).collect()
}

/// Returns the folders that systemd makes for services: `StateDirectory=` and the like.
pub fn state(bundle: &Bundle) -> BTreeSet<PathBuf> {
    const FOLDERS: [(&str, &str); 3] =
        [("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache"), ("LogsDirectory", "/var/log")];
    let mut found = BTreeSet::new();
    for (name, unit) in &bundle.manifest.units {
        let service = UnitName::parse(name).is_some_and(|name| name.kind() == UnitKind::Service);
        let text = bundle.files.get(&unit.file).and_then(|text| std::str::from_utf8(text).ok()).filter(|_| service);
        let Some(file) = text.and_then(|text| UnitFile::parse(text).ok()) else { continue };
        for entry in file.sections.iter().flat_map(|section| &section.entries) {
            let Some((_, folder)) = FOLDERS.iter().find(|(key, _)| *key == entry.key) else { continue };
            for word in entry.value.split_ascii_whitespace() {
                let name = word.split(':').next().unwrap_or(word);
                if crate::bundle::read::is_inside(name) && !name.contains(['%', '\\', '"', '\'']) {
                    // With `DynamicUser=` the folder is in `private` and has a link of its name.
                    found.insert(PathBuf::from(folder).join(name));
                    found.insert(PathBuf::from(folder).join("private").join(name));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::bundle_of;

    #[test]
    fn what_comes_into_being_is_known() {
        let bundle = bundle_of(&[
            (
                "sysusers/citadel.conf",
                "sysusers",
                Some("/etc/sysusers.d/citadel.conf"),
                "0644",
                "# u no -\n\nu agent - \"Models: \\\"x\\\"\" /opt/a -\nu other -:users\ng video -\nm agent render\n",
            ),
            (
                "tmpfiles/citadel.conf",
                "tmpfiles",
                Some("/etc/tmpfiles.d/citadel.conf"),
                "0644",
                "d \"/a b/5%%\" 0755 - - -\nL /l - - - - /t\nz /no\nd /home/%u\n",
            ),
            (
                "units/a.service",
                "unit",
                None,
                "0644",
                "[Service]\nStateDirectory=a b/c x%i ../d\nLogsDirectory=l:link\nExecStart=/bin/x\n",
            ),
        ]);
        let (users, groups) = users(&bundle);
        assert_eq!(users.into_iter().collect::<Vec<_>>(), ["agent", "other"]);
        assert_eq!(groups.into_iter().collect::<Vec<_>>(), ["agent", "render", "video"]);
        assert_eq!(paths(&bundle), ["/a b/5%", "/l"].map(PathBuf::from).into());
        let state = state(&bundle);
        for there in ["/var/lib/a", "/var/lib/b/c", "/var/lib/private/a", "/var/log/l"] {
            assert!(state.contains(&PathBuf::from(there)), "{there}: {state:?}");
        }
        assert_eq!(state.len(), 6);
    }

    #[test]
    fn a_line_is_split_as_systemd_does() {
        assert_eq!(fields(r#"u  a	"b \"c\" d" e\ f"#), Some(["u", "a", "b \"c\" d", "e f"].map(str::to_owned).into()));
        assert_eq!(fields("d /%h"), None);
        assert_eq!(fields("d \\"), None);
    }
}
