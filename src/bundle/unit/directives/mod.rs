//! The directives of systemd: where each belongs, since when it exists, and what its value looks like.
//!
//! systemd ignores an unknown directive with a warning, so a unit would run without the protection that it asked for.
//! The table comes from systemd's own sources (`docs/tools/directives.py`). It knows a few releases exactly; one between
//! two of them counts as the older one.

mod check;
mod kind;

use std::sync::OnceLock;

pub use check::check_value;
pub use kind::Kind;

use super::UnitKind;

/// The releases that the table was read from.
const RELEASES: [u32; 5] = [247, 252, 254, 257, 262];
/// Answers for older releases are those for this one.
pub const OLDEST: u32 = RELEASES[0];

/// What a release of systemd makes of a directive in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Known(Kind),
    /// Read without complaint or with a warning, and without effect.
    Obsolete,
    TooNew {
        since: u32,
    },
    /// Gone after this release.
    Removed {
        last: u32,
    },
    /// Known in these sections only.
    WrongSection {
        sections: Vec<&'static str>,
    },
    /// Nothing of this name; there may be one that it is a misspelling of.
    Unknown {
        suggestion: Option<&'static str>,
    },
}

/// Returns what systemd of this version makes of a directive in a section.
pub fn lookup(section: &str, name: &str, version: u32) -> Lookup {
    // systemd passes over what starts so: it is meant for other programs.
    if section.starts_with("X-") || name.starts_with("X-") {
        return Lookup::Known(Kind::Opaque);
    }
    let version = version.max(OLDEST);
    let named = rows_of(name);
    let here = || named.iter().filter(|row| row.is_in(section));
    if let Some(row) = here().find(|row| (row.first..=row.until()).contains(&version)) {
        return match row.parser {
            "warn_compat" | "obsolete_unit_deps" => Lookup::Obsolete,
            parser => Lookup::Known(Kind::of(parser, name, version)),
        };
    }
    match (here().map(|row| row.first).min(), here().map(|row| row.last).max()) {
        (Some(since), _) if version < since => Lookup::TooNew { since },
        (_, Some(last)) => Lookup::Removed { last },
        _ if !named.is_empty() => {
            let mut sections: Vec<_> = named.iter().flat_map(|row| row.sections.split(',')).collect();
            sections.sort_unstable();
            sections.dedup();
            Lookup::WrongSection { sections }
        }
        _ => Lookup::Unknown { suggestion: similar(section, name) },
    }
}

/// Returns the sections that a unit of this kind may have, apart from those that start with `X-`.
pub fn sections(kind: UnitKind) -> &'static [&'static str] {
    match kind {
        UnitKind::Automount => &["Unit", "Automount", "Install"],
        UnitKind::Mount => &["Unit", "Mount", "Install"],
        UnitKind::Path => &["Unit", "Path", "Install"],
        UnitKind::Scope => &["Unit", "Scope", "Install"],
        UnitKind::Service => &["Unit", "Service", "Install"],
        UnitKind::Slice => &["Unit", "Slice", "Install"],
        UnitKind::Socket => &["Unit", "Socket", "Install"],
        UnitKind::Swap => &["Unit", "Swap", "Install"],
        UnitKind::Timer => &["Unit", "Timer", "Install"],
        UnitKind::Device | UnitKind::Target => &["Unit", "Install"],
    }
}

/// A line of the table.
struct Row {
    name: &'static str,
    sections: &'static str,
    first: u32,
    last: u32,
    /// The name of systemd's parser without `config_parse_`.
    parser: &'static str,
}

impl Row {
    fn is_in(&self, section: &str) -> bool {
        self.sections.split(',').any(|own| own == section)
    }

    /// The last release for which the row answers: the one before the next release that the table was read from.
    fn until(&self) -> u32 {
        RELEASES.into_iter().find(|release| *release > self.last).map_or(u32::MAX, |next| next - 1)
    }
}

/// Returns all rows, sorted by name.
fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| include_str!("table.tsv").lines().filter_map(row).collect())
}

fn row(line: &'static str) -> Option<Row> {
    let mut fields = line.split('\t');
    Some(Row {
        name: fields.next()?,
        sections: fields.next()?,
        first: fields.next()?.parse().ok()?,
        last: fields.next()?.parse().ok()?,
        parser: fields.next()?,
    })
}

fn rows_of(name: &str) -> &'static [Row] {
    let table = table();
    let start = table.partition_point(|row| row.name < name);
    let length = table[start..].partition_point(|row| row.name == name);
    &table[start..start + length]
}

/// Returns the directive that was probably meant: of this section if there is one, else of any.
fn similar(section: &str, name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    let far = wanted.len() / 4 + 1;
    table()
        .iter()
        .map(|row| (strsim::osa_distance(&wanted, &row.name.to_ascii_lowercase()), !row.is_in(section), row.name))
        .filter(|(distance, ..)| *distance <= far)
        .min()
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = include_str!("table.tsv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(table().len(), lines);
        assert!(table().is_sorted_by_key(|row| row.name));
        for row in table() {
            assert!(RELEASES.contains(&row.last) && row.first <= row.last, "{}", row.name);
        }
    }

    #[test]
    fn directives_belong_to_sections_and_releases() {
        use Lookup::{Known, Obsolete, Removed, TooNew, WrongSection};
        for (section, name, version, found) in [
            ("Service", "NoNewPrivileges", 247, Known(Kind::Bool)),
            ("Service", "MemoryMax", 100, Known(Kind::Bytes)),
            ("Service", "MemoryDenyWriteExecute", 252, Known(Kind::Bool)),
            ("Service", "StartLimitInterval", 252, Known(Kind::Time)),
            ("Service", "StartLimitIntervalSec", 252, WrongSection { sections: vec!["Unit"] }),
            ("Unit", "MemoryMax", 252, {
                WrongSection { sections: vec!["Mount", "Scope", "Service", "Slice", "Socket", "Swap"] }
            }),
            ("Service", "SetLoginEnvironment", 254, TooNew { since: 255 }),
            ("Service", "SetLoginEnvironment", 255, Known(Kind::Bool)),
            ("Unit", "WantsMountsFor", 255, TooNew { since: 256 }),
            ("Unit", "WantsMountsFor", 256, Known(Kind::Paths)),
            ("Slice", "ConcurrencySoftMax", 257, TooNew { since: 258 }),
            ("Service", "ManagedOOMMemoryPressureLimitPercent", 251, Known(Kind::Percent)),
            ("Service", "ManagedOOMMemoryPressureLimitPercent", 252, Removed { last: 247 }),
            ("Service", "CPUAccounting", 261, Known(Kind::Bool)),
            ("Service", "CPUAccounting", 262, Obsolete),
            ("Service", "CPUAccounting", 300, Obsolete),
            ("Unit", "RequiresOverridable", 252, Obsolete),
            ("Install", "WantedBy", 252, Known(Kind::Units)),
            ("X-Mine", "Anything", 252, Known(Kind::Opaque)),
            ("Service", "X-Anything", 252, Known(Kind::Opaque)),
        ] {
            assert_eq!(lookup(section, name, version), found, "[{section}] {name} in {version}");
        }
    }

    #[test]
    fn misspellings_are_recognised() {
        for (section, name, suggestion) in [
            ("Service", "ExecStrat", Some("ExecStart")),
            ("Service", "MemoryLimt", Some("MemoryLimit")),
            ("Service", "noNewPrivilege", Some("NoNewPrivileges")),
            ("Service", "RestartSecs", Some("RestartSec")),
            ("Unit", "Afetr", Some("After")),
            ("Service", "ReadWritePath", Some("ReadWritePaths")),
            ("Service", "GpuMemory", None),
            ("Service", "", None),
        ] {
            assert_eq!(lookup(section, name, 252), Lookup::Unknown { suggestion }, "{name}");
        }
    }
}
