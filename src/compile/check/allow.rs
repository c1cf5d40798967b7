//! Checks that the profile switches off, each with a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::finding::{Finding, OptionPath, nearest};

use super::codes::{ALL, ALLOW_UNKNOWN, ALLOW_UNUSED, can_be_allowed};

/// Drops what the profile allows, and reports words of `allow` that allow nothing.
pub fn apply(allow: &BTreeMap<String, String>, findings: Vec<Finding>) -> Vec<Finding> {
    let allowed = |finding: &Finding| can_be_allowed(finding.code) && allow.contains_key(finding.code.0);
    let (dropped, mut kept): (Vec<_>, Vec<_>) = findings.into_iter().partition(allowed);
    let dropped: BTreeSet<&str> = dropped.iter().map(|finding| finding.code.0).collect();
    for (code, reason) in allow {
        let place = OptionPath::new(["allow"]).member(code);
        let known = ALL.iter().find(|(known, _)| known.0 == code);
        kept.extend(match known {
            None => {
                let near = nearest(code, ALL.iter().map(|(known, _)| known.0));
                let help = match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "write a code as it stands in front of a finding, such as `C0203`".to_owned(),
                };
                Some(
                    Finding::error(ALLOW_UNKNOWN, format!("there is no check {code:?}"))
                        .at(place, "named here")
                        .help(help),
                )
            }
            Some((known, title)) if !can_be_allowed(*known) => Some(
                Finding::error(ALLOW_UNKNOWN, format!("{code} cannot be switched off"))
                    .at(place, "switched off here")
                    .note(format!("{code}: {title}"))
                    .help("remove this line and correct what the check finds"),
            ),
            Some(_) if reason.trim().is_empty() => Some(
                Finding::error(ALLOW_UNKNOWN, format!("{code} is switched off without a reason"))
                    .at(place, "no reason here")
                    .help("write why the finding is acceptable on this machine"),
            ),
            Some(_) if !dropped.contains(code.as_str()) => Some(
                Finding::warning(ALLOW_UNUSED, format!("{code} is switched off, but finds nothing"))
                    .at(place, "switched off here")
                    .help("remove this line"),
            ),
            Some(_) => None,
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, service};

    #[test]
    fn an_allowed_finding_is_gone() {
        let services = json!({ "a": service(json!({ "exclusive": { "big": true } })) });
        assert_eq!(found(json!({ "services": services })).len(), 1);
        assert_eq!(found(json!({ "services": services, "allow": { "C0233": "more models will follow" } })), [""; 0]);
    }

    #[test]
    fn allowing_nothing_is_reported() {
        assert_eq!(
            found(json!({ "allow": { "C0103": "x", "C0203": "x", "C9999": "x", "C0233": " " } })),
            [
                "C0298 error allow.C0103: C0103 cannot be switched off",
                "C0299 warning allow.C0203: C0203 is switched off, but finds nothing",
                "C0298 error allow.C0233: C0233 is switched off without a reason",
                "C0298 error allow.C9999: there is no check \"C9999\"",
            ]
        );
    }
}
