//! What every check is given: the machine, its units, and what is known by name.

use std::collections::HashMap;

use crate::bundle::unit::UnitName;
use crate::compile::config::{Service, Set};
use crate::compile::finding::OptionPath;
use crate::compile::lower::{Lowered, LoweredUnit};
use crate::compile::system::{ServiceView, System};

use super::known::Known;

pub struct Context<'a> {
    pub system: &'a System,
    pub lowered: &'a Lowered,
    pub known: Known<'a>,
    by_unit: HashMap<&'a UnitName, &'a ServiceView>,
}

impl<'a> Context<'a> {
    pub fn new(system: &'a System, lowered: &'a Lowered) -> Self {
        let by_unit = system.services.iter().map(|service| (&service.unit, service)).collect();
        Context { system, lowered, known: Known::new(system, lowered), by_unit }
    }

    /// Returns the service that a unit belongs to.
    pub fn service_of(&self, unit: &UnitName) -> Option<&'a ServiceView> {
        self.by_unit.get(unit).copied()
    }

    /// Returns the lowered unit of a service.
    pub fn lowered_unit(&self, service: &ServiceView) -> Option<&'a LoweredUnit> {
        let units = &self.lowered.units;
        let at = units.binary_search_by(|unit| unit.name.cmp(&service.unit)).ok()?;
        units.get(at)
    }

    /// Returns where a member of one of a service's dictionaries stands: in the service, or in its application.
    pub fn member(&self, service: &ServiceView, option: &str, member: &str) -> OptionPath {
        let own = service.origin.join(option).member(member);
        let [apps, name, part] = service.origin.0.as_slice() else { return own };
        if apps != "apps" {
            return own;
        }
        let Some(app) = self.system.profile.apps.get(name) else { return own };
        let spec = if part == "api" { &app.api } else { &app.worker };
        let in_app = match option {
            "requires" => set_has_only_in(&app.requires, spec, |spec| &spec.requires, member),
            "wants" => set_has_only_in(&app.wants, spec, |spec| &spec.wants, member),
            "part_of" => set_has_only_in(&app.part_of, spec, |spec| &spec.part_of, member),
            "credentials" => set_has_only_in(&app.credentials, spec, |spec| &spec.credentials, member),
            "environment" => app.environment.contains_key(member) && !spec.environment.contains_key(member),
            _ => false,
        };
        if in_app { OptionPath::new(["apps", name.as_str()]).join(option).member(member) } else { own }
    }
}

fn set_has_only_in(app: &Set, spec: &Service, set: impl Fn(&Service) -> &Set, member: &str) -> bool {
    app.contains_key(member) && !set(spec).contains_key(member)
}

/// Returns words as a person lists them: `a`, `a and b`, `a, b and c`.
pub fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns at most five words as a person lists them, and how many more there are.
pub fn short_list(words: &[String]) -> String {
    match words.len() {
        0..=5 => list(words),
        more => format!("{} and {} more", words[..4].join(", "), more - 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let words: Vec<String> = ('a'..='g').map(String::from).collect();
        assert_eq!(list(&words[..3]), "a, b and c");
        assert_eq!(short_list(&words), "a, b, c, d and 3 more");
    }
}
