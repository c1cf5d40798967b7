//! Every directive of the final units, as the systemd of the host reads it.

use std::collections::HashMap;

use crate::bundle::unit::directives::{Kind, Lookup, OLDEST, check_value, lookup, sections};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::lower::LoweredUnit;

use super::codes::{BAD_VALUE, DEFECT, OLD_SYSTEMD, REMOVED_DIRECTIVE, TOO_NEW, UNKNOWN_DIRECTIVE, WRONG_SECTION};
use super::context::{Context, list};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let version = context.system.profile.host.systemd;
    if version < OLDEST {
        findings.push(
            Finding::error(OLD_SYSTEMD, format!("citadel does not know systemd {version}"))
                .at(OptionPath::new(["host", "systemd"]), "the version of the host")
                .note(format!("the oldest version that it writes units for is {OLDEST}"))
                .help(format!("use a system with systemd {OLDEST} or newer")),
        );
        return;
    }
    let mut known: HashMap<(&str, &str), Lookup> = HashMap::new();
    for unit in &context.lowered.units {
        let allowed = sections(unit.name.kind());
        for section in &unit.unit.sections {
            let belongs = allowed.contains(&section.name.as_str()) || section.name.starts_with("X-");
            for entry in &section.entries {
                let place = place(unit, &section.name, &entry.key);
                if !belongs {
                    findings.push(foreign_section(unit, &section.name, place, allowed));
                    continue;
                }
                let answer = known
                    .entry((&section.name, &entry.key))
                    .or_insert_with(|| lookup(&section.name, &entry.key, version));
                findings.extend(judge(unit, &section.name, &entry.key, &entry.value, place, answer, version));
            }
        }
    }
}

/// Returns the option that wrote a directive out, if one did.
fn place<'a>(unit: &'a LoweredUnit, section: &str, key: &str) -> Option<&'a OptionPath> {
    unit.written_out.iter().find(|(its, name, _)| its == section && name == key).map(|(_, _, place)| place)
}

fn foreign_section(unit: &LoweredUnit, section: &str, place: Option<&OptionPath>, allowed: &[&str]) -> Finding {
    let kind = unit.name.kind().suffix();
    let brackets: Vec<String> = allowed.iter().map(|name| format!("[{name}]")).collect();
    Finding::error(WRONG_SECTION, format!("a {kind} has no section [{section}]"))
        .at(place.unwrap_or(&unit.origin).clone(), "systemd would ignore it")
        .help(format!("write it into one of {}", brackets.join(", ")))
}

fn judge(
    unit: &LoweredUnit,
    section: &str,
    key: &str,
    value: &str,
    place: Option<&OptionPath>,
    answer: &Lookup,
    version: u32,
) -> Option<Finding> {
    if let Lookup::Known(kind) = answer {
        return bad_value(unit, section, key, value, place, *kind);
    }
    let blamed = place.unwrap_or(&unit.origin).clone();
    if let Lookup::TooNew { since } = answer {
        return Some(
            Finding::error(TOO_NEW, format!("systemd {version} does not know {key}="))
                .at(blamed, "the host would ignore it")
                .note(format!("{key}= exists since systemd {since}"))
                .help(if place.is_some() {
                    format!("remove it, or use a host with systemd {since}")
                } else {
                    format!("what this option does needs a host with systemd {since}")
                }),
        );
    }
    let Some(place) = place else {
        return Some(defect(unit, section, key, "which systemd does not know there"));
    };
    let finding = |code, message: String| Finding::error(code, message).at(place.clone(), "systemd would ignore it");
    Some(match answer {
        Lookup::Known(_) | Lookup::TooNew { .. } => return None,
        Lookup::Obsolete => Finding::warning(REMOVED_DIRECTIVE, format!("{key}= has no effect any more"))
            .at(place.clone(), "systemd ignores it")
            .help("remove it"),
        Lookup::Removed { last } => finding(REMOVED_DIRECTIVE, format!("systemd {version} no longer knows {key}="))
            .note(format!("the last version that is known to have it is {last}"))
            .help("remove it, or write what took its place"),
        Lookup::WrongSection { sections } => {
            let brackets: Vec<String> = sections.iter().map(|name| format!("[{name}]")).collect();
            finding(WRONG_SECTION, format!("{key}= does not belong into [{section}]"))
                .note(format!("it belongs into {}", list(&brackets)))
                .help(match sections.iter().find(|name| **name == "Unit") {
                    Some(unit) => format!("move it to `{unit}.{key}`"),
                    None => "move it there, if the unit has such a section, or remove it".to_owned(),
                })
        }
        Lookup::Unknown { suggestion } => {
            finding(UNKNOWN_DIRECTIVE, format!("systemd does not know the directive {key}= in [{section}]")).help(
                match suggestion {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "remove it, or look for its name in systemd.directives(7)".to_owned(),
                },
            )
        }
    })
}

fn bad_value(
    unit: &LoweredUnit,
    section: &str,
    key: &str,
    value: &str,
    place: Option<&OptionPath>,
    kind: Kind,
) -> Option<Finding> {
    let instead = check_value(kind, value).err()?;
    let Some(place) = place else {
        return Some(defect(unit, section, key, &format!("with a value that systemd ignores; it wants: {instead}")));
    };
    Some(
        Finding::error(BAD_VALUE, format!("systemd does not accept this value of {key}="))
            .at(place.clone(), "systemd would ignore it")
            .help(instead),
    )
}

fn defect(unit: &LoweredUnit, section: &str, key: &str, what: &str) -> Finding {
    Finding::error(DEFECT, format!("citadel wrote {key}= into [{section}] of {}, {what}", unit.name))
        .at(unit.origin.clone(), "the unit comes from here")
        .note("this is a defect of citadel, not of the profile")
        .help("report it together with this option")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn of(section: &str, key: &str, value: Value) -> String {
        let patch = json!({ "systemd": { section: { key: value } } });
        let host = json!({ "systemd": 252 });
        let lines = found(json!({ "services": { "a": service(patch) }, "host": host }));
        lines.join("\n").replace(&format!(" services.a.systemd.{section}.{key}"), "")
    }

    #[test]
    fn directives_are_judged_by_the_systemd_of_the_host() {
        let table = [
            ("Service", "CPUSchedulingPolicy", json!("idle"), ""),
            ("Unit", "X-Owner", json!("team"), ""),
            (
                "Service",
                "RestartMaxDelay",
                json!("5s"),
                "C0240 error: systemd does not know the directive RestartMaxDelay= in [Service]",
            ),
            ("Service", "RestartMode", json!("direct"), "C0241 error: systemd 252 does not know RestartMode="),
            (
                "Service",
                "ConditionPathExists",
                json!("/x"),
                "C0242 error: ConditionPathExists= does not belong into [Service]",
            ),
            ("Socket", "ListenStream", json!("/run/x"), "C0242 error: a service has no section [Socket]"),
            (
                "Service",
                "OOMScoreAdjust",
                json!("much"),
                "C0243 error: systemd does not accept this value of OOMScoreAdjust=",
            ),
            ("Service", "PermissionsStartOnly", json!(true), ""),
        ];
        for (section, key, value, expected) in table {
            assert_eq!(of(section, key, value), expected, "{key}");
        }
    }

    #[test]
    fn raw_units_are_checked_alike() {
        let units = json!({ "x.service": { "sections": { "Service": { "ExecStart": "/bin/true", "Nicee": 5 } } } });
        assert_eq!(
            found(json!({ "units": units })),
            [
                "C0240 error units.\"x.service\".sections.Service.Nicee: systemd does not know the directive Nicee= in [Service]"
            ]
        );
    }

    #[test]
    fn an_old_systemd_is_refused() {
        assert_eq!(
            found(json!({ "host": { "systemd": 245 } })),
            ["C0245 error host.systemd: citadel does not know systemd 245"]
        );
    }
}
