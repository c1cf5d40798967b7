//! Which job of systemd is done for which unit, and what is still open. Pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::jobs::{Job, JobKind};
use crate::bundle::unit::UnitName;

/// The jobs of one transaction.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: BTreeMap<UnitName, Open>,
    /// What systemd reported as removed before it was known whose job it is: unit and result, by the path of the job.
    removed: HashMap<String, (String, String)>,
}

/// A job that is not over.
#[derive(Debug)]
pub(super) struct Open {
    pub kind: JobKind,
    /// The path of the job, once systemd has taken it.
    pub path: Option<String>,
    pub since: Instant,
}

/// A job that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub unit: UnitName,
    pub kind: JobKind,
    /// The word of systemd.
    pub result: String,
    pub since: Instant,
}

impl Ledger {
    pub fn new(jobs: &[Job], now: Instant) -> Self {
        let open = |job: &Job| (job.unit.clone(), Open { kind: job.kind, path: None, since: now });
        Ledger { open: jobs.iter().map(open).collect(), removed: HashMap::new() }
    }

    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    pub fn open(&self) -> &BTreeMap<UnitName, Open> {
        &self.open
    }

    /// Notes the path of a unit's job, and returns its end if it is over already.
    pub fn taken(&mut self, unit: &UnitName, path: &str) -> Option<Over> {
        self.open.get_mut(unit)?.path = Some(path.to_owned());
        let (_, result) = self.removed.get(path)?.clone();
        self.close(unit, &result)
    }

    /// Ends the job of a unit with a result.
    pub fn close(&mut self, unit: &UnitName, result: &str) -> Option<Over> {
        let open = self.open.remove(unit)?;
        Some(Over { unit: unit.clone(), kind: open.kind, result: result.to_owned(), since: open.since })
    }

    /// Notes that systemd is through with a job, and returns the ends of all that wait for it: jobs for one unit under
    /// two names are one.
    pub fn removed(&mut self, path: &str, unit: &str, result: &str) -> Vec<Over> {
        self.removed.insert(path.to_owned(), (unit.to_owned(), result.to_owned()));
        let waits = |(unit, open): (&UnitName, &Open)| (open.path.as_deref() == Some(path)).then(|| unit.clone());
        let units: BTreeSet<UnitName> = self.open.iter().filter_map(waits).collect();
        units.iter().filter_map(|unit| self.close(unit, result)).collect()
    }

    /// Returns the path of a removed job of this unit of systemd.
    pub fn removed_of(&self, unit: &str) -> Option<&str> {
        self.removed.iter().find(|(_, (of, _))| of == unit).map(|(path, _)| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::parse(text).expect("a name")
    }

    fn ledger(units: &[&str]) -> Ledger {
        let jobs: Vec<Job> = units.iter().map(|unit| Job { unit: name(unit), kind: JobKind::Start }).collect();
        Ledger::new(&jobs, Instant::now())
    }

    #[test]
    fn a_job_is_over_when_systemd_removes_it() {
        let mut ledger = ledger(&["a.service", "b.service"]);
        assert_eq!(ledger.taken(&name("a.service"), "/job/1"), None);
        assert_eq!(ledger.taken(&name("b.service"), "/job/2"), None);
        assert_eq!(ledger.removed("/job/9", "other.service", "done"), []);
        let over = ledger.removed("/job/2", "b.service", "failed");
        assert_eq!(
            over.iter().map(|over| (over.unit.as_str(), over.result.as_str())).collect::<Vec<_>>(),
            [("b.service", "failed")]
        );
        assert!(!ledger.is_over());
        assert_eq!(ledger.removed("/job/1", "a.service", "done").len(), 1);
        assert!(ledger.is_over());
    }

    #[test]
    fn a_job_may_be_over_before_its_path_is_known() {
        let mut ledger = ledger(&["a.service"]);
        assert_eq!(ledger.removed("/job/1", "a.service", "done"), []);
        assert_eq!(ledger.removed_of("a.service"), Some("/job/1"));
        let over = ledger.taken(&name("a.service"), "/job/1").expect("it is over");
        assert_eq!(over.result, "done");
        assert!(ledger.is_over());
    }

    #[test]
    fn two_names_of_one_unit_wait_for_one_job() {
        let mut ledger = ledger(&["a.service", "alias.service"]);
        ledger.taken(&name("a.service"), "/job/1");
        ledger.taken(&name("alias.service"), "/job/1");
        assert_eq!(ledger.removed("/job/1", "a.service", "done").len(), 2);
        assert!(ledger.is_over());
    }
}
