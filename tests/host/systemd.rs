//! Talking to the systemd of a host.

use super::Host;

impl Host {
    /// Runs `systemctl` with a job to do, and returns when the job is done.
    pub fn systemctl(&self, arguments: &[&str]) {
        let said = self.run(&[&["systemctl", "--quiet"], arguments].concat());
        assert!(said.is_empty(), "systemctl {arguments:?}: {said}\n{}", self.journal(&["--lines=100"]));
    }

    /// Returns properties of units, in the order of the units.
    pub fn show(&self, properties: &[&str], units: &[&str]) -> Vec<Properties> {
        let wanted = format!("--property=Id,{}", properties.join(","));
        let text = self.run(&[&["systemctl", "show", &wanted], units].concat());
        let shown: Vec<Properties> = text.split("\n\n").map(|block| Properties(block.trim().to_owned())).collect();
        assert_eq!(shown.len(), units.len(), "{text}");
        shown
    }

    pub fn state(&self, unit: &str) -> String {
        self.run(&["systemctl", "is-active", unit]).trim().to_owned()
    }

    /// Returns every unit that systemd has in memory, with its states; but for those that come and go by themselves.
    pub fn units(&self) -> Vec<String> {
        let listed = self.run(&["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend"]);
        let lines = listed.lines().map(|line| line.split_ascii_whitespace().take(4).collect::<Vec<_>>().join(" "));
        let passing = ["run-", "session-", "user-", "user@", "systemd-tmpfiles-clean.service", "sys-", "dev-"];
        let mut units: Vec<String> = lines.filter(|line| !passing.iter().any(|name| line.starts_with(name))).collect();
        units.sort();
        units
    }

    /// Returns the messages of the journal, with the programs that wrote them.
    pub fn journal(&self, arguments: &[&str]) -> String {
        self.run(&["journalctl", "--sync"]);
        self.run(&[&["journalctl", "--boot", "--no-pager", "--output=short-monotonic"], arguments].concat())
    }
}

/// What `systemctl show` says of a unit.
#[derive(Debug)]
pub struct Properties(String);

impl Properties {
    pub fn get(&self, property: &str) -> &str {
        self.find(property).unwrap_or_else(|| panic!("no {property} in {}", self.0))
    }

    /// Returns a property that not every kind of unit has.
    pub fn find(&self, property: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(property)?.strip_prefix('='))
    }

    /// Returns a point in time as microseconds since the machine started; 0 for never.
    pub fn time(&self, property: &str) -> u64 {
        self.get(property).parse().expect("a number of microseconds")
    }
}
