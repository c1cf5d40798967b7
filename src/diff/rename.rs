//! Which services, units and files of the old bundle have another name in the new one.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Bundle;
use crate::bundle::manifest::UnitEntry;

/// Old names and the new ones that took their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames {
    services: Pairs,
    units: Pairs,
    files: Pairs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pairs {
    new: BTreeMap<String, String>,
    old: BTreeMap<String, String>,
}

impl Pairs {
    fn add(&mut self, old: &str, new: &str) {
        if !self.new.contains_key(old) && !self.old.contains_key(new) {
            self.new.insert(old.to_owned(), new.to_owned());
            self.old.insert(new.to_owned(), old.to_owned());
        }
    }
}

impl Renames {
    /// Follows renamed services, old name by new, to their units and files.
    pub fn follow(services: &[(String, String)], old: &Bundle, new: &Bundle) -> Self {
        let mut renames = Renames::default();
        for (from, to) in services {
            renames.services.add(from, to);
            let (gone, come) = (units_of(old, new, from), units_of(new, old, to));
            for (old_name, old_entry) in &gone {
                let suffix = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
                let alike = |name: &str| suffix(name) == suffix(old_name) && stem(name, to) == stem(old_name, from);
                let Some((new_name, new_entry)) = come.iter().find(|(name, _)| alike(name)) else { continue };
                renames.units.add(old_name, new_name);
                renames.files.add(&old_entry.file, &new_entry.file);
                renames.files_of((old, old_entry, from), (new, new_entry, to));
            }
        }
        renames
    }

    fn files_of(&mut self, old: (&Bundle, &UnitEntry, &str), new: (&Bundle, &UnitEntry, &str)) {
        let own = |(bundle, entry, service): (&Bundle, &UnitEntry, &str), other: &Bundle| {
            let files = entry.files.iter().filter(|file| !other.manifest.files.contains_key(*file));
            let kind = |file: &String| bundle.manifest.files.get(file).map(|entry| entry.kind);
            files.map(|file| (stem(file, service), kind(file), file.clone())).collect::<BTreeSet<_>>()
        };
        let (gone, come) = (own(old, new.0), own(new, old.0));
        for (stem, kind, file) in gone {
            if let Some((.., other)) = come.iter().find(|(other, other_kind, _)| (other, other_kind) == (&stem, &kind))
            {
                self.files.add(&file, other);
            }
        }
    }

    pub fn new_unit(&self, old: &str) -> Option<&str> {
        self.units.new.get(old).map(String::as_str)
    }

    pub fn old_unit(&self, new: &str) -> Option<&str> {
        self.units.old.get(new).map(String::as_str)
    }

    pub fn new_file(&self, old: &str) -> Option<&str> {
        self.files.new.get(old).map(String::as_str)
    }

    pub fn old_file(&self, new: &str) -> Option<&str> {
        self.files.old.get(new).map(String::as_str)
    }

    pub fn new_service(&self, old: &str) -> Option<&str> {
        self.services.new.get(old).map(String::as_str)
    }

    pub fn old_service(&self, new: &str) -> Option<&str> {
        self.services.old.get(new).map(String::as_str)
    }
}

/// Returns the units of a service that the other bundle does not have.
fn units_of<'a>(bundle: &'a Bundle, other: &Bundle, service: &str) -> Vec<(&'a String, &'a UnitEntry)> {
    let own = |(name, entry): &(&String, &UnitEntry)| {
        entry.service.as_deref() == Some(service) && !other.manifest.units.contains_key(*name)
    };
    bundle.manifest.units.iter().filter(own).collect()
}

/// Returns a name without the name of the service in it.
fn stem(name: &str, service: &str) -> String {
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    name.replacen(service, "\0", 1)
}
