//! What bundles expect of a host: users, units, mounts, programs and addresses. `expected.sh` makes them from these lists.

use super::bundle::Bundle;
use super::machine::members;
use super::{Parts, project};

/// An address of the host that no bundle knows, at which nobody listens.
pub const STRANGER: &str = "203.0.113.9";

impl Parts {
    /// Adds what these bundles expect of their host.
    pub fn expect(&mut self, bundles: &[&Bundle]) {
        let list = |name: &str, entries: &dyn Fn(&Bundle) -> Vec<String>| {
            let mut entries: Vec<String> = bundles.iter().copied().flat_map(entries).collect();
            entries.sort();
            entries.dedup();
            self.list(name, &entries);
        };
        list("users", &|bundle| bundle.required("users"));
        list("required_units", &required_services);
        list("mounts", &|bundle| bundle.required("mounts"));
        list("link_targets", &link_targets);
        list("programs", &programs);
        list("working_directories", &working_directories);
        self.addresses(bundles.iter().copied().flat_map(addresses));
        self.addresses([STRANGER.to_owned()]);
    }
}

fn required_services(bundle: &Bundle) -> Vec<String> {
    bundle.required("units").into_iter().filter(|unit| unit.ends_with(".service")).collect()
}

/// The programs that units start, except those that the operating system has.
fn programs(bundle: &Bundle) -> Vec<String> {
    let commands = bundle.units.keys().flat_map(|unit| bundle.commands(unit));
    let mut programs: Vec<String> =
        commands.filter_map(|(_, command)| command.split(' ').next()).map(str::to_owned).collect();
    programs.retain(|program| !["/bin/", "/usr/bin/", "/usr/lib/"].iter().any(|folder| program.starts_with(folder)));
    programs
}

/// The folders that units start in, except those that systemd makes for them.
fn working_directories(bundle: &Bundle) -> Vec<String> {
    let mut directories: Vec<String> = bundle.words_of_all("WorkingDirectory").into_iter().map(str::to_owned).collect();
    directories.retain(|directory| !directory.starts_with("/var/lib/"));
    directories
}

/// What the links that a bundle makes lead to.
fn link_targets(bundle: &Bundle) -> Vec<String> {
    let profile = project::read_json(&bundle.folder.join("profile.json"));
    let links = members(&profile["storage"]["links"]);
    links.map(|(_, link)| link["target"].as_str().expect("a link has a target").to_owned()).collect()
}

/// The addresses that services listen on and that a machine does not have by itself.
fn addresses(bundle: &Bundle) -> Vec<String> {
    let listens = bundle.units.keys().flat_map(|unit| bundle.listens(unit));
    let mut addresses: Vec<String> = listens.map(|(address, _)| address).collect();
    addresses.retain(|address| !["127.0.0.1", "::1", "0.0.0.0", "::"].contains(&address.as_str()));
    addresses
}
