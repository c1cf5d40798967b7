//! The machine with what lowering looks up again and again: units by key, and who starts after whom.

use std::collections::{BTreeSet, HashMap};

use super::order::Order;
use crate::bundle::unit::UnitName;
use crate::compile::config::{Runtime, Set, members};
use crate::compile::system::{ServiceView, System};

pub(super) struct Machine<'a> {
    pub(super) system: &'a System,
    units: HashMap<&'a str, &'a UnitName>,
    services: HashMap<&'a str, &'a ServiceView>,
    /// Citadel's own services that prepare the GPUs and check the storage.
    gpu_units: Vec<&'a UnitName>,
    storage_units: Vec<&'a UnitName>,
    order: Order,
}

impl<'a> Machine<'a> {
    pub(super) fn new(system: &'a System) -> Self {
        let mut units = HashMap::new();
        // The first kind that knows a key has it, as in `System::unit_of`.
        let keyed = (system.services.iter().map(|service| (service.key.as_str(), &service.unit)))
            .chain(system.targets.iter().map(|(key, unit)| (key.as_str(), unit)))
            .chain(system.timers.iter().map(|(key, unit)| (key.as_str(), unit)))
            .chain(system.sockets.iter().map(|(key, unit)| (key.as_str(), unit)));
        for (key, unit) in keyed {
            units.entry(key).or_insert(unit);
        }
        let of = |runtime| {
            let of_kind = system.services.iter().filter(move |service| service.spec.runtime == Some(runtime));
            of_kind.map(|service| &service.unit).collect()
        };
        let mut machine = Machine {
            system,
            units,
            services: system.services.iter().map(|service| (service.key.as_str(), service)).collect(),
            gpu_units: of(Runtime::Gpu),
            storage_units: of(Runtime::Storage),
            order: Order::default(),
        };
        machine.order = Order::new(&machine);
        machine
    }

    /// Returns the unit that a reference means, or `None` for one that leads nowhere, which the checks report.
    pub(super) fn unit_of(&self, reference: &str) -> Option<UnitName> {
        self.units.get(reference).map(|unit| (*unit).clone()).or_else(|| UnitName::parse(reference))
    }

    /// Returns the units that a set of references means.
    pub(super) fn units_of(&self, references: &Set) -> BTreeSet<UnitName> {
        members(references).filter_map(|reference| self.unit_of(reference)).collect()
    }

    pub(super) fn service(&self, key: &str) -> Option<&'a ServiceView> {
        self.services.get(key).copied()
    }

    /// Returns the targets of a part of the profile: those that it names, or the main target.
    pub(super) fn targets_of(&self, part_of: &Set) -> BTreeSet<UnitName> {
        let named: BTreeSet<UnitName> =
            members(part_of).filter_map(|key| self.system.targets.get(key).cloned()).collect();
        if named.is_empty() { BTreeSet::from([self.system.main_target.clone()]) } else { named }
    }

    /// Returns the units that a service follows by what the profile says of it, without what keeps it apart from others.
    pub(super) fn follows(&self, service: &ServiceView) -> BTreeSet<UnitName> {
        let spec = &service.spec;
        let mut units = self.units_of(&spec.after);
        units.extend(self.units_of(&spec.requires));
        units.extend(self.units_of(&spec.wants));
        units.extend(self.brings_along(service));
        units.remove(&service.unit);
        units
    }

    /// Returns citadel's own services that a service needs without saying so: the one that sets up its GPUs, and the one
    /// that checks the file systems that it names.
    pub(super) fn brings_along(&self, service: &ServiceView) -> BTreeSet<UnitName> {
        if service.spec.runtime.is_some() {
            return BTreeSet::new();
        }
        let gpu = self.gpu_units.iter().filter(|_| !service.spec.gpu.devices.is_empty());
        let storage = self.storage_units.iter().filter(|_| !service.spec.mounts.is_empty());
        gpu.chain(storage).map(|unit| (*unit).clone()).collect()
    }

    /// Returns the services that a service must be started after although the profile does not say so, since they share
    /// a GPU or exclude each other.
    pub(super) fn kept_apart(&self, service: &ServiceView) -> BTreeSet<UnitName> {
        self.order.after(&service.key)
    }
}
