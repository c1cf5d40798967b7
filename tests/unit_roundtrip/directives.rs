//! The table of directives and the judgement of their values agree with the real systemd.

use std::collections::{BTreeMap, BTreeSet};

use citadel::bundle::unit::directives::{Kind, Lookup, check_value, lookup};

use crate::systemd::{self, Complaint};

const TABLE: &str = include_str!("../../src/bundle/unit/directives/table.tsv");

/// Kinds of units that can be loaded without a device or a mount behind them, with the least that each needs.
const UNITS: [(&str, &str, &str); 7] = [
    ("Unit", "target", ""),
    ("Service", "service", "[Service]\nExecStart=/bin/true\n"),
    ("Socket", "socket", "[Socket]\nListenStream=/run/a\n"),
    ("Timer", "timer", "[Timer]\nOnActiveSec=1h\n"),
    ("Path", "path", "[Path]\nPathExists=/a\n"),
    ("Slice", "slice", "[Slice]\n"),
    ("Automount", "automount", "[Automount]\nWhere=/%p\n"),
];

/// An assignment in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    section: &'static str,
    name: &'static str,
    value: &'static str,
}

/// Returns the version when the table was read from it, so that both must agree exactly.
fn version_in_table() -> Result<u32, String> {
    let (_, version) = systemd::manager()?;
    match version {
        247 | 252 | 254 | 257 | 262 => Ok(version),
        _ => Err(format!("the table of directives was not read from systemd {version}")),
    }
}

fn names() -> BTreeSet<&'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').next()).collect()
}

/// What systemd says about each line.
type Judged = BTreeMap<Line, Option<Complaint>>;

/// Returns what systemd says about each of these lines.
fn judged(lines: &[Line]) -> Result<Judged, String> {
    let mut groups: BTreeMap<_, Vec<Line>> = BTreeMap::new();
    for line in lines {
        groups.entry((line.section, line.name)).or_default().push(*line);
    }
    let (mut judged, given_up) = judged_together(groups.into_values().collect())?;
    // systemd gives up the whole file at a value that is wrong enough, so the lines behind it need files of their own.
    let (alone, _) = judged_together(given_up.into_iter().map(|line| vec![line]).collect())?;
    judged.extend(alone);
    Ok(judged)
}

/// Puts each group into one unit; returns with the judgements the groups that systemd gave up reading.
fn judged_together(groups: Vec<Vec<Line>>) -> Result<(Judged, Vec<Line>), String> {
    let mut units = BTreeMap::new();
    let mut drafts = Vec::new();
    for (number, group) in groups.into_iter().enumerate() {
        let (section, suffix, least) = UNITS.into_iter().find(|(section, ..)| *section == group[0].section).unwrap();
        let mut text = format!("[Unit]\nDefaultDependencies=no\n{least}");
        if section != "Unit" && least.is_empty() {
            text.push_str(&format!("[{section}]\n"));
        }
        let first = text.lines().count() + 1;
        text.extend(group.iter().map(|line| format!("{}={}\n", line.name, line.value)));
        let unit = format!("case{number}.{suffix}");
        units.insert(unit.clone(), text);
        drafts.push((unit, first, group));
    }
    let loaded = systemd::load(&units)?;
    let mut judged = BTreeMap::new();
    let mut given_up = Vec::new();
    for (unit, first, group) in drafts {
        let complaints = loaded.complaints(&unit);
        if complaints.iter().any(|complaint| complaint.text.contains("fatal error")) {
            given_up.extend(&group);
        }
        for (number, line) in group.into_iter().enumerate() {
            let complaint = complaints.iter().find(|complaint| complaint.line == first + number);
            judged.insert(line, complaint.cloned());
        }
    }
    Ok((judged, given_up))
}

#[test]
fn the_table_knows_what_systemd_knows_in_each_section() {
    const TEST: &str = "the_table_knows_what_systemd_knows_in_each_section";
    let version = match version_in_table() {
        Ok(version) => version,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    let names = names();
    let sections = UNITS.into_iter().map(|(section, ..)| section);
    let lines: Vec<_> =
        sections.flat_map(|section| names.iter().map(move |name| Line { section, name, value: "" })).collect();
    let judged = match judged(&lines) {
        Ok(judged) => judged,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    for (Line { section, name, .. }, complaint) in judged {
        let found = lookup(section, name, version);
        let known = matches!(found, Lookup::Known(_) | Lookup::Obsolete);
        let unknown = complaint.is_some_and(|complaint| complaint.text.contains("Unknown key"));
        assert_eq!(known, !unknown, "[{section}] {name}= in {version}: {found:?}");
    }
}

#[test]
fn only_values_that_systemd_ignores_are_refused() {
    const TEST: &str = "only_values_that_systemd_ignores_are_refused";
    const VALUES: &[&str] = &[
        "",
        "yes",
        "No",
        "TRUE",
        "on",
        "y",
        "maybe",
        "2",
        "0",
        "1",
        "-1",
        "+1",
        "07",
        "08",
        "0x10",
        "0o17",
        "0b1",
        "1.5",
        "5.",
        ".5",
        "1e3",
        "10000",
        "10001",
        "99999999999999999999",
        "19",
        "20",
        "-20",
        "-21",
        "1000",
        "1001",
        "255",
        "256",
        "64",
        "65",
        "infinity",
        "Infinity",
        "5s",
        "5 s",
        "1h 30min",
        "1h30",
        "5 parsecs",
        "2min 5",
        "50us",
        "5ns",
        "16G",
        "16g",
        "16GB",
        "16 G",
        "1G 500M",
        "512K",
        "1.5M",
        "12B",
        "50%",
        "150%",
        "0%",
        "33.33%",
        "33.333%",
        "5‰",
        "5‱",
        "%",
        "%%",
        "%n",
        "%h/a",
        "0644",
        "0888",
        "77777",
        "SIGTERM",
        "TERM",
        "sigterm",
        "SIGFOO",
        "RTMIN+3",
        "SIGRTMAX",
        "1024:2048",
        "1024:",
        ":1024",
        "a:b",
        "5s:10s",
        "/a",
        "a",
        "./a",
        "-/a",
        "+/a",
        "-+/a",
        "~",
        "/a/../b",
        "/a b",
        "\"/a b\" /c",
        "'/a",
        "a.service b.target",
        "a",
        "|/a",
        "!/a",
        "|!/a",
        "! /a",
        "/bin/true a",
        "true a",
        "bin/true",
        "-@/bin/true x",
        "/bin/",
        "\"",
        "A=b",
        "1A=b",
        "A-B=c",
        "\"A=b c\" D=e",
        "any",
        "10.0.0.0/8 ::1",
        "10.0.0.0/33",
        "AF_INET none",
        "~CAP_SYS_NICE",
        "0-3,5 7",
        "https://a man:b(1)",
        "idle",
    ];
    let version = match version_in_table() {
        Ok(version) => version,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    let mut lines = Vec::new();
    for (section, ..) in UNITS {
        for name in names() {
            // systemd ignores an unknown capability without a word.
            if let Lookup::Known(kind) = lookup(section, name, version)
                && kind != Kind::Capabilities
            {
                let refused = VALUES.iter().filter(|value| check_value(kind, value).is_err());
                lines.extend(refused.map(|value| Line { section, name, value }));
            }
        }
    }
    assert!(lines.len() > 10_000, "only {} values were refused", lines.len());
    let judged = match judged(&lines) {
        Ok(judged) => judged,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    let taken: Vec<_> = judged
        .iter()
        .filter(|(_, complaint)| complaint.is_none())
        .map(|(line, _)| format!("[{}] {}={}", line.section, line.name, line.value))
        .collect();
    assert!(taken.is_empty(), "systemd {version} takes {} values that citadel refuses: {taken:#?}", taken.len());
}

#[test]
fn every_word_of_an_enumeration_is_known_to_systemd() {
    const TEST: &str = "every_word_of_an_enumeration_is_known_to_systemd";
    let version = match version_in_table() {
        Ok(version) => version,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    let mut lines = Vec::new();
    for (section, ..) in UNITS {
        for name in names() {
            let found = lookup(section, name, version);
            if let Lookup::Known(Kind::Enum(words) | Kind::EnumOrNumber(words) | Kind::BoolOr(words)) = found {
                lines.extend(words.known().map(|value| Line { section, name, value }));
            }
        }
    }
    let judged = match judged(&lines) {
        Ok(judged) => judged,
        Err(reason) => return systemd::skip(TEST, &reason),
    };
    for (line, complaint) in judged {
        let ignored = complaint.filter(|complaint| complaint.text.contains("ignoring"));
        let ignored = ignored.filter(|complaint| !complaint.text.contains("not supported for this unit type"));
        assert_eq!(ignored, None, "{line:?} in {version}");
    }
}
