//! A unit while it is being put together: assignments that are encoded as they come, and what could not be encoded.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{DIRECTIVE, ENCODING, LoweredUnit, Output};
use crate::bundle::manifest::{ChangePolicy, UnitEntry};
use crate::bundle::unit::{Entry, Section, UnitFile, UnitName, Value};
use crate::compile::finding::{Finding, OptionPath};

/// A unit that grows; `origin` is the part of the profile that its options are relative to.
pub(super) struct Draft {
    pub(super) origin: OptionPath,
    /// The section that the unit's kind has of its own, such as `Service`.
    own_section: &'static str,
    sections: BTreeMap<(u8, String), Vec<Entry>>,
    written_out: Vec<(String, String, OptionPath)>,
    findings: Vec<Finding>,
}

impl Draft {
    pub(super) fn new(origin: OptionPath, own_section: &'static str) -> Self {
        Draft { origin, own_section, sections: BTreeMap::new(), written_out: Vec::new(), findings: Vec::new() }
    }

    /// Assigns in `[Unit]`; `option` is the part of the profile to blame when the value cannot be written.
    pub(super) fn unit(&mut self, key: &str, value: Value, option: &str) {
        self.assign("Unit", key, &value, option);
    }

    /// Assigns in the section that the unit's kind has of its own.
    pub(super) fn own(&mut self, key: &str, value: Value, option: &str) {
        self.assign(self.own_section, key, &value, option);
    }

    /// Assigns in the section of the unit's kind when there is a value.
    pub(super) fn own_if(&mut self, key: &str, value: Option<Value>, option: &str) {
        if let Some(value) = value {
            self.own(key, value, option);
        }
    }

    /// Empties what a directive has by default. The one place where an empty value is meant.
    pub(super) fn own_empty(&mut self, key: &str) {
        self.entries(self.own_section).push(Entry { key: key.to_owned(), value: String::new() });
    }

    /// Assigns units in `[Unit]`, when there are any.
    pub(super) fn units(&mut self, key: &str, units: BTreeSet<UnitName>) {
        if !units.is_empty() {
            self.unit(key, Value::Units(units.into_iter().collect()), "");
        }
    }

    /// Names the units that start this one.
    pub(super) fn wanted_by(&mut self, units: BTreeSet<UnitName>) {
        if !units.is_empty() {
            self.assign("Install", "WantedBy", &Value::Units(units.into_iter().collect()), "");
        }
    }

    /// Adds something else that is wrong with the unit.
    pub(super) fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn assign(&mut self, section: &str, key: &str, value: &Value, option: &str) {
        match value.encode() {
            Ok(value) => self.entries(section).push(Entry { key: key.to_owned(), value }),
            Err(refusal) => {
                let place = if option.is_empty() { self.origin.clone() } else { self.origin.join(option) };
                self.findings.push(
                    Finding::error(ENCODING, format!("{place} cannot be written as {key}="))
                        .at(place, refusal.to_string()),
                );
            }
        }
    }

    fn entries(&mut self, section: &str) -> &mut Vec<Entry> {
        let rank = match section {
            "Unit" => 0,
            "Install" => 2,
            _ => 1,
        };
        self.sections.entry((rank, section.to_owned())).or_default()
    }

    /// Replaces what citadel wrote by what the profile wrote out: each directive takes the place of all assignments to it.
    pub(super) fn write_out(&mut self, directives: &BTreeMap<String, BTreeMap<String, Json>>, place: &OptionPath) {
        for (section, directives) in directives {
            let in_section = place.member(section);
            if !is_name(section) {
                self.findings.push(no_directive(section, "a section", in_section));
                continue;
            }
            for (key, value) in directives {
                let at = in_section.member(key);
                if !is_name(key) {
                    self.findings.push(no_directive(key, "a directive", at));
                    continue;
                }
                let values = self.raw_values(key, value, &at);
                let entries = self.entries(section);
                let first = entries.iter().position(|entry| entry.key == *key).unwrap_or(entries.len());
                entries.retain(|entry| entry.key != *key);
                entries.splice(first..first, values.into_iter().map(|value| Entry { key: key.clone(), value }));
                self.written_out.push((section.clone(), key.clone(), at));
            }
        }
    }

    /// Returns what a profile's value for a directive is in a unit file: a list assigns once for each element.
    fn raw_values(&mut self, key: &str, value: &Json, place: &OptionPath) -> Vec<String> {
        let each = match value {
            Json::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut written = Vec::new();
        for value in each {
            let raw = match value {
                Json::Bool(on) => Value::Bool(*on),
                Json::Number(number) => Value::Raw(number.to_string()),
                // systemd takes no notice of blanks around a value.
                Json::String(text) => Value::Raw(text.trim_matches([' ', '\t']).to_owned()),
                Json::Null | Json::Array(_) | Json::Object(_) => {
                    self.findings.push(
                        Finding::error(DIRECTIVE, format!("{key}= cannot have this value"))
                            .at(place.clone(), "neither text, a number, a truth value nor a list of those")
                            .help("write its text as it stands in a unit file; a list assigns once for each element"),
                    );
                    continue;
                }
            };
            match raw.encode() {
                Ok(value) => written.push(value),
                Err(refusal) => self.findings.push(
                    Finding::error(ENCODING, format!("{place} cannot be written as {key}="))
                        .at(place.clone(), refusal.to_string()),
                ),
            }
        }
        written
    }

    /// Ends the unit; `describe` fills in what the manifest says besides what stands in the unit.
    pub(super) fn finish(self, name: UnitName, out: &mut Output, describe: impl FnOnce(&mut UnitEntry)) {
        let sections: Vec<Section> = self
            .sections
            .into_iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|((_, name), entries)| Section { name, entries })
            .collect();
        let all = |section: &str, key: &str| -> Vec<String> {
            let words = sections
                .iter()
                .filter(|it| it.name == section)
                .flat_map(|it| it.entries.iter().filter(|entry| entry.key == key))
                .flat_map(|entry| entry.value.split_ascii_whitespace().map(str::to_owned));
            words.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let mut entry = UnitEntry {
            file: format!("units/{name}"),
            service: None,
            wanted_by: all("Install", "WantedBy"),
            files: Vec::new(),
            credentials: Vec::new(),
            phase: None,
            on_change: ChangePolicy::Auto,
            can_reload: !all("Service", "ExecReload").is_empty(),
            listens: Vec::new(),
            gpus: Vec::new(),
            health: BTreeMap::new(),
            preflight: BTreeMap::new(),
            ready: None,
        };
        describe(&mut entry);
        out.findings.extend(self.findings);
        out.units.push(LoweredUnit {
            name,
            unit: UnitFile { sections },
            entry,
            origin: self.origin,
            written_out: self.written_out,
        });
    }
}

/// A word that citadel chose.
pub(super) fn word(word: impl Into<String>) -> Value {
    Value::Word(word.into())
}

/// Words that citadel chose or that were checked before.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Words(words.into_iter().map(str::to_owned).collect())
}

/// Returns how a plain enumeration of the configuration is written in a profile, such as `on_failure`.
pub(super) fn tag(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn no_directive(name: &str, what: &str, place: OptionPath) -> Finding {
    Finding::error(DIRECTIVE, format!("{name:?} is not the name of {what}"))
        .at(place, "only letters, digits and \"-\" are allowed")
        .help("write it as systemd.directives(7) has it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn finished(draft: Draft) -> (LoweredUnit, Vec<Finding>) {
        let mut out = Output::default();
        draft.finish(UnitName::parse("a.service").unwrap(), &mut out, |_| {});
        (out.units.remove(0), out.findings)
    }

    fn lines(unit: &LoweredUnit) -> Vec<String> {
        let lines = unit.unit.sections.iter().flat_map(|section| {
            section.entries.iter().map(|entry| format!("{}.{}={}", section.name, entry.key, entry.value))
        });
        lines.collect()
    }

    #[test]
    fn what_the_profile_writes_out_replaces_what_citadel_wrote() {
        let mut draft = Draft::new(OptionPath::new(["services", "a"]), "Service");
        draft.own("Type", word("exec"), "");
        draft.own("SystemCallFilter", words(["@system-service"]), "");
        draft.own("SystemCallFilter", words(["~@privileged"]), "");
        draft.own("UMask", word("0077"), "");
        let directives = json!({
            "Service": {"SystemCallFilter": ["@mount", "@clock"], "CPUSchedulingPolicy": "idle"},
            "Install": {"WantedBy": ["b.target a.target"]},
        });
        draft.write_out(&serde_json::from_value(directives).unwrap(), &OptionPath::new(["services", "a", "systemd"]));
        let (unit, findings) = finished(draft);
        assert!(findings.is_empty());
        assert_eq!(
            lines(&unit),
            [
                "Service.Type=exec",
                "Service.SystemCallFilter=@mount",
                "Service.SystemCallFilter=@clock",
                "Service.UMask=0077",
                "Service.CPUSchedulingPolicy=idle",
                "Install.WantedBy=b.target a.target",
            ]
        );
        assert_eq!(unit.entry.wanted_by, ["a.target", "b.target"]);
        assert_eq!(unit.written_out[1].2.to_string(), "services.a.systemd.Service.CPUSchedulingPolicy");
    }

    #[test]
    fn what_would_add_a_line_or_a_section_is_refused() {
        let mut draft = Draft::new(OptionPath::new(["services", "a"]), "Service");
        let directives = json!({
            "Service]\n[Unit": {"A": "b"},
            "Service": {"User=root\nGroup": "b", "Nice": "5\nUser=root", "Group": {"a": 1}},
        });
        draft.write_out(&serde_json::from_value(directives).unwrap(), &OptionPath::new(["systemd"]));
        let (unit, findings) = finished(draft);
        assert_eq!(lines(&unit), Vec::<String>::new());
        assert_eq!(findings.len(), 4);
    }
}
