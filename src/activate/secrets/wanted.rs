//! Which secrets a bundle wants, and where they have to lie.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::bundle::Bundle;
use crate::bundle::manifest::{ENCRYPTED_CREDENTIALS, PLAIN_CREDENTIALS, credential_path};
use crate::bundle::unit::UnitFile;

/// The longest name of a credential, as systemd has it.
const LONGEST_NAME: usize = 255;

/// The largest value that systemd takes, in bytes.
pub const LONGEST: usize = 1 << 20;

/// A secret that units want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    pub name: String,
    /// Where the host has to keep it.
    pub path: String,
    pub encrypted: bool,
    /// Whether the units do not start without it.
    pub required: bool,
    /// The units that load it.
    pub units: Vec<String>,
    /// What it is, in the words of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Wanted {
    /// Returns the command that sets it.
    pub fn command(&self) -> String {
        let plain = if self.encrypted { "" } else { " --plain" };
        format!("sudo citadel secrets set{plain} {}", self.name)
    }
}

/// Whether this can be the name of a credential: it becomes a file name, and a part of command lines.
pub fn is_name(name: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(safe) && !name.starts_with(['.', '-'])
}

/// Returns the secrets that the units of a bundle name and that the store of a host has to hold, by name.
///
/// Others are not for citadel to keep: a file elsewhere, a socket that hands a credential out, or what the machine was
/// given at its start.
pub fn wanted(bundle: &Bundle) -> Vec<Wanted> {
    let mut found: BTreeMap<(String, bool), Wanted> = BTreeMap::new();
    for (unit, entry) in &bundle.manifest.units {
        let text = bundle.files.get(&entry.file).map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        let Ok(file) = UnitFile::parse(&text) else { continue };
        for (name, encrypted, required) in named(&file) {
            let secret = found.entry((name.clone(), encrypted)).or_insert_with(|| Wanted {
                path: credential_path(&name, encrypted),
                description: bundle.manifest.credentials.get(&name).and_then(|entry| entry.description.clone()),
                encrypted,
                required: false,
                units: Vec::new(),
                name,
            });
            secret.required |= required;
            if secret.units.last() != Some(unit) {
                secret.units.push(unit.clone());
            }
        }
    }
    found.into_values().collect()
}

/// Returns the credentials of a unit that lie in the store: name, whether encrypted, whether it is needed.
fn named(file: &UnitFile) -> Vec<(String, bool, bool)> {
    let mut named = Vec::new();
    for section in ["Service", "Socket", "Mount", "Swap"] {
        let values = |key| current(file.values(section, key));
        // What has a value in the unit itself starts without the store.
        let set = ["SetCredential", "SetCredentialEncrypted"].into_iter().flat_map(values);
        let fallback: BTreeSet<&str> = set.filter_map(|value| value.split_once(':')).map(|(id, _)| id).collect();
        for (key, encrypted) in [("LoadCredentialEncrypted", true), ("LoadCredential", false)] {
            for value in values(key) {
                let (id, path) = value.split_once(':').unwrap_or((value, value));
                let folder = if encrypted { ENCRYPTED_CREDENTIALS } else { PLAIN_CREDENTIALS };
                let inside = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
                // Without a folder systemd looks in its own, and goes on when nothing is there.
                let name = inside.or((!path.contains('/')).then_some(path));
                if let Some(name) = name.filter(|name| is_name(name)) {
                    named.push((name.to_owned(), encrypted, inside.is_some() && !fallback.contains(id)));
                }
            }
        }
        // A name with `*` stands for whatever is there.
        let imported = values("ImportCredential").into_iter().map(|value| value.split(':').next().unwrap_or(value));
        named.extend(imported.filter(|name| is_name(name)).map(|name| (name.to_owned(), true, false)));
    }
    named
}

/// Returns the values of a list directive that count; an empty assignment begins it anew, as in systemd.
fn current<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    values.fold(Vec::new(), |mut current, value| {
        if value.is_empty() {
            current.clear()
        } else {
            current.push(value)
        }
        current
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::bundle_of;

    fn of(units: &[(&str, &str)]) -> Vec<(String, String, bool, Vec<String>)> {
        let files: Vec<_> = units.iter().map(|(path, text)| (*path, "unit", None, "0644", *text)).collect();
        let found = wanted(&bundle_of(&files));
        found.into_iter().map(|it| (it.name, it.path, it.required, it.units)).collect()
    }

    fn secret(name: &str, path: &str, required: bool, units: &[&str]) -> (String, String, bool, Vec<String>) {
        (name.to_owned(), path.to_owned(), required, units.iter().map(|unit| (*unit).to_owned()).collect())
    }

    #[test]
    fn what_units_load_from_the_store_is_wanted() {
        let found = of(&[
            (
                "units/a.service",
                "[Service]\nLoadCredentialEncrypted=hf:/etc/credstore.encrypted/hf\nLoadCredential=db:/etc/credstore/db\n",
            ),
            ("units/b.service", "[Service]\nLoadCredentialEncrypted=token:/etc/credstore.encrypted/hf\n"),
        ]);
        assert_eq!(
            found,
            [
                secret("db", "/etc/credstore/db", true, &["a.service"]),
                secret("hf", "/etc/credstore.encrypted/hf", true, &["a.service", "b.service"]),
            ]
        );
    }

    #[test]
    fn what_a_unit_starts_without_is_not_needed() {
        let found = of(&[(
            "units/a.service",
            "[Service]\nLoadCredential=searched\nImportCredential=imported\nImportCredential=all.*\n\
             LoadCredential=own:/etc/credstore/own\nSetCredential=own:default\n",
        )]);
        assert_eq!(
            found,
            [
                secret("imported", "/etc/credstore.encrypted/imported", false, &["a.service"]),
                secret("own", "/etc/credstore/own", false, &["a.service"]),
                secret("searched", "/etc/credstore/searched", false, &["a.service"]),
            ]
        );
    }

    #[test]
    fn what_lies_elsewhere_is_not_for_the_store() {
        let found = of(&[(
            "units/a.service",
            "[Service]\nLoadCredential=key:/run/vault.sock\nLoadCredential=up:/etc/credstore/../passwd\n\
             LoadCredential=gone:/etc/credstore/gone\nLoadCredential=\n",
        )]);
        assert_eq!(found, []);
    }

    #[test]
    fn names_are_plain() {
        for name in ["hf_token", "a.b-c@d+1", "x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "-v", "a/b", "a b", "a:b", "a\n", "ä", "a*", &"x".repeat(256)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
