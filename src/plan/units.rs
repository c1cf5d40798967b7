//! The units of a bundle with how they depend on each other, as systemd reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::relations::Relations;
use crate::bundle::Bundle;
use crate::bundle::manifest::{ChangePolicy, Manifest, UnitEntry};
use crate::bundle::unit::{Entry, Section, UnitFile, UnitKind, UnitName, boolean};

/// The units of one bundle, instances of its templates included; of no bundle, none.
pub(super) struct Units<'a> {
    pub manifest: Option<&'a Manifest>,
    bundle: Option<&'a Bundle>,
    units: BTreeMap<UnitName, Unit<'a>>,
    /// By unit, those that stop and restart with it.
    dependants: BTreeMap<UnitName, BTreeSet<UnitName>>,
    /// The paths of files in the bundle by their places on the host.
    places: BTreeMap<&'a str, &'a str>,
}

/// One unit, or an instance as its template makes it.
pub(super) struct Unit<'a> {
    pub entry: &'a UnitEntry,
    pub file: Rc<UnitFile>,
    pub relations: Relations,
    /// The template that it is an instance of, when it has no file of its own.
    pub template: Option<UnitName>,
}

/// Instances that name instances that name instances end somewhere.
const ROUNDS: usize = 8;

impl<'a> Units<'a> {
    /// Reads the units of a bundle, and the instances of its templates among the names.
    pub fn new<'n>(bundle: Option<&'a Bundle>, instances: impl IntoIterator<Item = &'n UnitName>) -> Self {
        Self::beside(None, bundle, instances)
    }

    /// As [`Units::new`], for a bundle that has many files in common with another one: these are read once.
    pub fn beside<'n>(
        other: Option<&Units<'_>>,
        bundle: Option<&'a Bundle>,
        instances: impl IntoIterator<Item = &'n UnitName>,
    ) -> Self {
        let Some(bundle) = bundle else {
            return Units::of(None, BTreeMap::new());
        };
        let mut units: BTreeMap<UnitName, Unit<'a>> = BTreeMap::new();
        for (name, entry) in &bundle.manifest.units {
            let Some(name) = UnitName::parse(name) else { continue };
            let content = bundle.files.get(&entry.file).map_or(&[][..], Vec::as_slice);
            let read_already = other.and_then(|other| other.file_with(&name, content));
            let file = read_already.unwrap_or_else(|| Rc::new(read(content)));
            let relations = Relations::read(&name, &file);
            units.insert(name, Unit { entry, file, relations, template: None });
        }
        let mut asked: BTreeSet<UnitName> = instances.into_iter().cloned().collect();
        for _ in 0..ROUNDS {
            asked.extend(units.values().flat_map(|unit| unit.relations.pulls_in().cloned()));
            let missing: Vec<_> = asked.iter().filter(|name| !units.contains_key(name.as_str())).cloned().collect();
            let known = units.len();
            for name in missing {
                let Some(template) = name.template() else { continue };
                let Some(unit) = units.get(&template) else { continue };
                let (entry, file) = (unit.entry, Rc::clone(&unit.file));
                let relations = Relations::read(&name, &file);
                units.insert(name, Unit { entry, file, relations, template: Some(template) });
            }
            if units.len() == known {
                break;
            }
        }
        let mut units = Units::of(Some(bundle), units);
        units.complete();
        units
    }

    fn of(bundle: Option<&'a Bundle>, units: BTreeMap<UnitName, Unit<'a>>) -> Self {
        let manifest = bundle.map(|bundle| &bundle.manifest);
        let files = manifest.into_iter().flat_map(|manifest| &manifest.files);
        // Of two at one place, which no compiler makes, the first counts.
        let places = files.rev().filter_map(|(name, entry)| Some((entry.target.as_deref()?, name.as_str()))).collect();
        Units { manifest, bundle, units, dependants: BTreeMap::new(), places }
    }

    /// Returns the file of a unit if this is its content.
    fn file_with(&self, name: &UnitName, content: &[u8]) -> Option<Rc<UnitFile>> {
        let unit = self.units.get(name).filter(|unit| unit.template.is_none())?;
        (self.bundle?.files.get(&unit.entry.file)? == content).then(|| Rc::clone(&unit.file))
    }

    /// Returns the path in the bundle of the file that belongs at a place on the host.
    pub fn file_at(&self, place: &str) -> Option<&'a str> {
        self.places.get(place).copied()
    }

    pub fn get(&self, unit: &UnitName) -> Option<&Unit<'a>> {
        self.units.get(unit)
    }

    pub fn contains(&self, unit: &UnitName) -> bool {
        self.units.contains_key(unit)
    }

    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.units.keys()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&UnitName, &Unit<'a>)> {
        self.units.iter()
    }

    /// Returns the units of the bundle that stop with this one: those that require it or are part of it.
    pub fn dependants(&self, unit: &UnitName) -> impl Iterator<Item = &UnitName> {
        self.dependants.get(unit).into_iter().flatten()
    }

    /// Returns the service that a socket starts when somebody connects, unless it starts one for each connection.
    pub fn service_of(&self, socket: &UnitName) -> Option<&UnitName> {
        (socket.kind() == UnitKind::Socket).then(|| self.get(socket)?.relations.triggers.as_ref()).flatten()
    }

    /// Returns the sockets that start this service.
    pub fn sockets_of<'s>(&'s self, service: &'s UnitName) -> impl Iterator<Item = &'s UnitName> {
        self.names().filter(move |socket| self.service_of(socket) == Some(service))
    }

    /// Returns the socket that started this service for one connection (`Accept=yes`), by the name that systemd gives it:
    /// an instance of the template that is called like the socket, which begins with the number of the connection.
    pub fn connection_of(&self, service: &UnitName) -> Option<&UnitName> {
        let (prefix, instance) = service.stem().split_once('@')?;
        let (number, _) = instance.split_once('-')?;
        if service.kind() != UnitKind::Service || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let named = |socket: &UnitName| {
            let stem = socket.stem();
            socket.kind() == UnitKind::Socket && stem.split_once('@').map_or(stem, |(prefix, _)| prefix) == prefix
        };
        let accepts = |socket: &Unit<'_>| socket.says_yes("Socket", "Accept");
        self.iter().find(|(name, socket)| named(name) && accepts(socket)).map(|(name, _)| name)
    }

    /// Whether something else starts the unit when there is something to do: a socket, a timer or a path.
    pub fn is_triggered(&self, unit: &UnitName) -> bool {
        self.units.values().any(|other| other.relations.triggers.as_ref() == Some(unit))
    }

    /// Adds what follows only from all units together.
    fn complete(&mut self) {
        self.link_wanted();
        self.link_mounts();
        self.order_triggers();
        self.order_targets();
        for (name, unit) in &self.units {
            for other in &unit.relations.stops_with {
                self.dependants.entry(other.clone()).or_default().insert(name.clone());
            }
            for other in &unit.relations.stops {
                self.dependants.entry(name.clone()).or_default().insert(other.clone());
            }
        }
    }

    /// `wanted_by` makes links, which are `Wants=` of the other unit.
    fn link_wanted(&mut self) {
        let links: Vec<_> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.template.is_none())
            .flat_map(|(name, unit)| unit.wanted_by().map(|wanter| (wanter, name.clone())).collect::<Vec<_>>())
            .collect();
        for (wanter, wanted) in links {
            if let Some(wanter) = self.units.get_mut(&wanter) {
                wanter.relations.wants.insert(wanted);
            }
        }
    }

    /// A unit requires the mounts below which its paths lie.
    fn link_mounts(&mut self) {
        let mounts: Vec<(String, UnitName)> = self
            .units
            .iter()
            .filter(|(name, _)| name.kind() == UnitKind::Mount)
            .filter_map(|(name, unit)| Some((unit.file.value("Mount", "Where")?.to_owned(), name.clone())))
            .collect();
        if mounts.is_empty() {
            return;
        }
        for (name, unit) in &mut self.units {
            for (place, mount) in mounts.iter().filter(|(_, mount)| mount != name) {
                let below = |path: &String| {
                    path.strip_prefix(place.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                if unit.relations.paths.iter().any(below) {
                    unit.relations.requires.insert(mount.clone());
                    unit.relations.stops_with.insert(mount.clone());
                    unit.relations.after.insert(mount.clone());
                }
            }
        }
    }

    /// What starts another unit comes before it.
    fn order_triggers(&mut self) {
        let pairs: Vec<_> = self
            .units
            .iter()
            .filter_map(|(name, unit)| Some((name.clone(), unit.relations.triggers.clone()?)))
            .collect();
        for (trigger, unit) in pairs {
            if let Some(unit) = self.units.get_mut(&unit) {
                unit.relations.after.insert(trigger);
            }
        }
    }

    /// A target comes after what it pulls in, unless the two say otherwise.
    fn order_targets(&mut self) {
        let mut pairs = Vec::new();
        for (name, target) in self.units.iter().filter(|(name, _)| name.kind() == UnitKind::Target) {
            for member in target.relations.pulls_in() {
                let Some(unit) = self.units.get(member) else { continue };
                let relations = &unit.relations;
                let said = relations.after.contains(name) || target.relations.before.contains(member);
                if !said && relations.default_dependencies && target.relations.default_dependencies {
                    pairs.push((name.clone(), member.clone()));
                }
            }
        }
        for (target, member) in pairs {
            if let Some(target) = self.units.get_mut(&target) {
                target.relations.after.insert(member);
            }
        }
    }
}

impl Unit<'_> {
    /// Returns the units that start it at boot.
    pub fn wanted_by(&self) -> impl Iterator<Item = UnitName> {
        self.entry.wanted_by.iter().filter_map(|name| UnitName::parse(name))
    }

    pub fn policy(&self) -> ChangePolicy {
        self.entry.on_change
    }

    /// Whether its runs end by themselves, as those of a copy job do: it is up only while it works.
    pub fn finishes(&self) -> bool {
        self.file.value("Service", "Type") == Some("oneshot") && !self.says_yes("Service", "RemainAfterExit")
    }

    pub fn refuses_start(&self) -> bool {
        self.says_yes("Unit", "RefuseManualStart")
    }

    /// Whether systemd stops it when nothing that is up needs it.
    pub fn stops_when_unneeded(&self) -> bool {
        self.says_yes("Unit", "StopWhenUnneeded")
    }

    fn says_yes(&self, section: &str, key: &str) -> bool {
        self.file.value(section, key).is_some_and(|value| boolean(value) == Some(true))
    }
}

/// Reads a unit file. One that cannot be read, which no compiler makes, counts as one value that is not known.
fn read(content: &[u8]) -> UnitFile {
    let text = String::from_utf8_lossy(content);
    UnitFile::parse(&text).unwrap_or_else(|_| {
        let entries = vec![Entry { key: "text".to_owned(), value: text.into_owned() }];
        UnitFile { sections: vec![Section { name: "unreadable".to_owned(), entries }] }
    })
}
