//! The order in which units are acted on.

use std::collections::{BTreeMap, BTreeSet};

use super::relations::Relations;
use crate::bundle::unit::UnitName;

/// Returns the units by the rank of their phase, and within a phase so that each comes after those that it names in
/// `After=`, and otherwise by name. Units that wait for each other in a circle come by name.
pub(super) fn order<'r>(
    units: &[&UnitName],
    rank: impl Fn(&UnitName) -> usize,
    relations: impl Fn(&UnitName) -> Option<&'r Relations>,
) -> Vec<UnitName> {
    let mut waiting: BTreeMap<&UnitName, BTreeSet<&UnitName>> =
        units.iter().map(|unit| (*unit, BTreeSet::new())).collect();
    for unit in units {
        let Some(relations) = relations(unit) else { continue };
        for other in &relations.after {
            let Some((other, _)) = waiting.get_key_value(other) else { continue };
            let other = *other;
            waiting.entry(unit).or_default().insert(other);
        }
        for other in &relations.before {
            if let Some(after) = waiting.get_mut(other) {
                after.insert(unit);
            }
        }
    }
    let mut order = Vec::with_capacity(units.len());
    let mut phases: Vec<usize> = units.iter().map(|unit| rank(unit)).collect();
    phases.sort_unstable();
    phases.dedup();
    for phase in phases {
        let mut left: BTreeSet<&UnitName> = units.iter().copied().filter(|unit| rank(unit) == phase).collect();
        while !left.is_empty() {
            let ready = left.iter().find(|unit| !waiting[**unit].iter().any(|other| left.contains(other)));
            let Some(next) = ready.or_else(|| left.iter().next()).copied() else { break };
            left.remove(next);
            order.push(next.clone());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::unit::UnitFile;

    fn ordered(units: &[(&str, usize, &str)]) -> Vec<String> {
        let units: BTreeMap<UnitName, (usize, Relations)> = units
            .iter()
            .map(|(name, rank, text)| {
                let name = UnitName::parse(name).unwrap();
                let file = UnitFile::parse(&format!("[Unit]\n{text}")).unwrap();
                let relations = Relations::read(&name, &file);
                (name, (*rank, relations))
            })
            .collect();
        let names: Vec<_> = units.keys().collect();
        let found = order(&names, |unit| units[unit].0, |unit| units.get(unit).map(|(_, relations)| relations));
        found.iter().map(|name| name.stem().to_owned()).collect()
    }

    #[test]
    fn phases_come_first_then_dependencies_then_names() {
        assert_eq!(ordered(&[("b.service", 0, ""), ("a.service", 0, ""), ("c.service", 0, "")]), ["a", "b", "c"]);
        assert_eq!(ordered(&[("a.service", 0, "After=b.service"), ("b.service", 0, "")]), ["b", "a"]);
        assert_eq!(ordered(&[("a.service", 0, ""), ("b.service", 0, "Before=a.service")]), ["b", "a"]);
        assert_eq!(ordered(&[("a.service", 0, "After=b.service"), ("b.service", 1, "")]), ["a", "b"]);
        assert_eq!(ordered(&[("a.service", 0, "After=x.service")]), ["a"]);
    }

    #[test]
    fn a_circle_ends() {
        let circle = [("a.service", 0, "After=b.service"), ("b.service", 0, "After=a.service"), ("c.service", 0, "")];
        assert_eq!(ordered(&circle), ["c", "a", "b"]);
        assert_eq!(ordered(&[("a.service", 0, "After=a.service")]), ["a"]);
    }
}
