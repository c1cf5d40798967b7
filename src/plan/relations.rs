//! What one unit file says about other units.

use std::collections::BTreeSet;

use crate::bundle::unit::{UnitFile, UnitKind, UnitName, boolean};

/// How a unit depends on others.
#[derive(Clone, Debug, Default)]
pub(super) struct Relations {
    /// Started with it, and it cannot start without them.
    pub requires: BTreeSet<UnitName>,
    /// Started with it.
    pub wants: BTreeSet<UnitName>,
    /// It stops and restarts when they do.
    pub stops_with: BTreeSet<UnitName>,
    /// They stop and restart when it does (`PropagatesStopTo=`).
    pub stops: BTreeSet<UnitName>,
    pub conflicts: BTreeSet<UnitName>,
    pub after: BTreeSet<UnitName>,
    pub before: BTreeSet<UnitName>,
    /// What a socket, timer, path or automount starts.
    pub triggers: Option<UnitName>,
    /// Paths that have to be mounted.
    pub paths: BTreeSet<String>,
    pub default_dependencies: bool,
}

impl Relations {
    /// Reads the relations of a unit; an instance is given with its own name and the file of its template.
    pub fn read(name: &UnitName, file: &UnitFile) -> Self {
        let unit = |key: &str| names(name, file, "Unit", key);
        let either = |one: &str, other: &str| unit(one).into_iter().chain(unit(other)).collect::<BTreeSet<_>>();
        let own_section = section(name.kind());
        let binds_to = either("BindsTo", "BindTo");
        let slice = names(name, file, own_section, "Slice");
        let sockets = names(name, file, "Service", "Sockets");

        let mut requires: BTreeSet<_> = unit("Requires");
        requires.extend(binds_to.iter().chain(&slice).cloned());
        let mut stops_with: BTreeSet<_> = requires.clone();
        stops_with.extend(unit("Requisite"));
        stops_with.extend(either("PartOf", "StopPropagatedFrom"));
        let mut wants = either("Wants", "Upholds");
        wants.extend(sockets.iter().cloned());
        let mut after = unit("After");
        after.extend(slice.into_iter().chain(sockets));
        Relations {
            requires,
            wants,
            stops_with,
            stops: unit("PropagatesStopTo"),
            conflicts: unit("Conflicts"),
            after,
            before: unit("Before"),
            triggers: triggers(name, file),
            paths: paths(file, own_section),
            default_dependencies: file.value("Unit", "DefaultDependencies").and_then(boolean) != Some(false),
        }
    }

    /// Returns the units that a start of this one starts too.
    pub fn pulls_in(&self) -> impl Iterator<Item = &UnitName> {
        self.requires.iter().chain(&self.wants)
    }
}

fn section(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Service => "Service",
        UnitKind::Socket => "Socket",
        UnitKind::Mount => "Mount",
        UnitKind::Swap => "Swap",
        UnitKind::Slice => "Slice",
        UnitKind::Scope => "Scope",
        UnitKind::Automount | UnitKind::Device | UnitKind::Path | UnitKind::Target | UnitKind::Timer => "Unit",
    }
}

fn names(own: &UnitName, file: &UnitFile, section: &str, key: &str) -> BTreeSet<UnitName> {
    file.values(section, key)
        .flat_map(str::split_whitespace)
        .filter_map(|word| UnitName::parse(&specifiers_resolved(word, own)))
        .filter(|name| name != own)
        .collect()
}

fn triggers(name: &UnitName, file: &UnitFile) -> Option<UnitName> {
    let named =
        |section, key| file.value(section, key).and_then(|text| UnitName::parse(&specifiers_resolved(text, name)));
    let same = |kind| UnitName::new(name.stem(), kind);
    match name.kind() {
        // With Accept=yes there is a service for each connection, of which the socket is free.
        UnitKind::Socket if file.value("Socket", "Accept").and_then(boolean) == Some(true) => None,
        UnitKind::Socket => named("Socket", "Service").or_else(|| same(UnitKind::Service)),
        UnitKind::Timer => named("Timer", "Unit").or_else(|| same(UnitKind::Service)),
        UnitKind::Path => named("Path", "Unit").or_else(|| same(UnitKind::Service)),
        UnitKind::Automount => same(UnitKind::Mount),
        _ => None,
    }
}

fn paths(file: &UnitFile, own_section: &str) -> BTreeSet<String> {
    let required = file.values("Unit", "RequiresMountsFor").flat_map(str::split_whitespace);
    let own =
        ["WorkingDirectory", "RootDirectory", "RootImage"].into_iter().filter_map(|key| file.value(own_section, key));
    required.chain(own).map(|path| path.trim_start_matches('-').to_owned()).collect()
}

/// Returns a name with the specifiers that stand for parts of the unit's own name.
fn specifiers_resolved(text: &str, own: &UnitName) -> String {
    let stem = own.stem();
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('i' | 'I') => out.push_str(instance),
            Some('p' | 'P') => out.push_str(prefix),
            Some('n') => out.push_str(own.as_str()),
            Some('N') => out.push_str(stem),
            Some('j' | 'J') => out.push_str(prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)),
            // No name of a unit contains a `%`, so what is not known here names none.
            other => out.extend(std::iter::once('%').chain(other)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Relations {
        Relations::read(&UnitName::parse(name).unwrap(), &UnitFile::parse(text).unwrap())
    }

    fn text(names: &BTreeSet<UnitName>) -> String {
        names.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_stops_and_starts_together() {
        let relations = read(
            "a.service",
            "[Unit]\nRequires=b.service c.service\nBindsTo=d.service\nRequisite=e.service\nPartOf=f.target\n\
             Wants=g.service\n[Service]\nSlice=h.slice\nSockets=i.socket",
        );
        assert_eq!(text(&relations.requires), "b.service c.service d.service h.slice");
        assert_eq!(text(&relations.stops_with), "b.service c.service d.service e.service f.target h.slice");
        assert_eq!(text(&relations.wants), "g.service i.socket");
        assert_eq!(text(&relations.after), "h.slice i.socket");
    }

    #[test]
    fn instances_resolve_their_name() {
        let relations =
            read("vllm@gpu0.service", "[Unit]\nAfter=load@%i.service %p-x.service\nBefore=%n %N-y.service %H.service");
        assert_eq!(text(&relations.after), "load@gpu0.service vllm-x.service");
        assert_eq!(text(&relations.before), "vllm@gpu0-y.service");
    }

    #[test]
    fn what_starts_another_unit() {
        for (name, file, expected) in [
            ("a.socket", "[Socket]", Some("a.service")),
            ("a.socket", "[Socket]\nService=b.service", Some("b.service")),
            ("a.socket", "[Socket]\nAccept=yes", None),
            ("a.timer", "[Timer]\nUnit=b.target", Some("b.target")),
            ("a.path", "[Path]", Some("a.service")),
            ("a.automount", "[Automount]", Some("a.mount")),
            ("a.service", "[Service]", None),
        ] {
            assert_eq!(read(name, file).triggers, expected.and_then(UnitName::parse), "{name} {file}");
        }
    }
}
