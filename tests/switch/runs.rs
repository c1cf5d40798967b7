//! What a host runs: is it one whole bundle, and what was touched on the way there?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::host::bundle::Bundle;
use crate::host::machine::members;
use crate::site::Site;

/// One run of each active unit, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs(BTreeMap<String, Run>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    /// Changes with each start.
    invocation: String,
    process: String,
    restarts: String,
}

impl Runs {
    /// Fails unless all of these units run as they did before, with the same process, and `touched` are all others.
    pub fn assert_touched(&self, before: &Runs, touched: &[&str]) {
        let units: BTreeSet<&String> = before.0.keys().chain(self.0.keys()).collect();
        let different: Vec<&str> =
            units.into_iter().filter(|unit| before.0.get(*unit) != self.0.get(*unit)).map(String::as_str).collect();
        let mut touched = touched.to_vec();
        touched.sort_unstable();
        assert_eq!(different, touched, "what was started, stopped or restarted\n{before:#?}\n{self:#?}");
    }

    /// Fails unless these units run as they did before, with the same process.
    pub fn assert_untouched(&self, before: &Runs, units: &[&str]) {
        for unit in units {
            assert!(before.0.contains_key(*unit), "{unit} did not run before");
            assert_eq!(self.0.get(*unit), before.0.get(*unit), "{unit} was touched");
        }
    }

    pub fn is_running(&self, unit: &str) -> bool {
        self.0.contains_key(unit)
    }
}

impl Site {
    /// Returns the active units of a bundle, and instances of its templates.
    pub fn runs(&self, bundle: &Bundle) -> Runs {
        let units: Vec<&str> =
            bundle.units.keys().map(|unit| unit.as_str()).filter(|unit| !unit.contains('@')).collect();
        let instances = self.host.run(&["systemctl", "list-units", "--plain", "--no-legend", "job@*.service"]);
        let instances = instances.lines().filter_map(|line| line.split(' ').next());
        let units: Vec<&str> = units.into_iter().chain(instances).collect();
        let shown = self.host.show(&["ActiveState", "InvocationID", "MainPID", "NRestarts"], &units);
        let active = units.into_iter().zip(shown).filter(|(_, unit)| unit.get("ActiveState") == "active");
        let runs = active.map(|(name, unit)| {
            let value = |property| unit.find(property).unwrap_or_default().to_owned();
            let run =
                Run { invocation: value("InvocationID"), process: value("MainPID"), restarts: value("NRestarts") };
            (name.to_owned(), run)
        });
        Runs(runs.collect())
    }

    /// Fails unless the host runs this bundle, all of it, healthy, and nothing is under way.
    pub fn assert_runs(&self, bundle: &Bundle) {
        self.assert_background_kept();
        let wrong = self.differences(bundle);
        assert!(wrong.is_empty(), "the host does not run {}:\n{}", bundle.folder.display(), self.explain(&wrong));
    }

    /// Fails unless a switch in the background, if there was one, set out to do what a diff promises.
    fn assert_background_kept(&self) {
        if let Some(before) = self.pending.take() {
            before.assert_planned(self);
        }
    }

    /// Fails unless the host runs one of these bundles, and returns which.
    pub fn assert_runs_one_of<'a>(&self, bundles: &[&'a Bundle]) -> &'a Bundle {
        let mut all = Vec::new();
        for bundle in bundles {
            let wrong = self.differences(bundle);
            if wrong.is_empty() {
                return bundle;
            }
            all.push(format!("it does not run {}:\n{}", bundle.folder.display(), wrong.join("\n")));
        }
        panic!("{}", self.explain(&all));
    }

    fn explain(&self, wrong: &[String]) -> String {
        let units = self.host.run(&["systemctl", "list-units", "--all", "--failed", "--plain", "--no-legend"]);
        let journal = self.host.journal(&["--lines=300"]);
        format!("{}\nfailed:\n{units}\njournal:\n{journal}", wrong.join("\n"))
    }

    /// Returns how the host differs from one that runs this bundle and nothing else of citadel.
    pub fn differences(&self, bundle: &Bundle) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let current = self.host.run(&["readlink", "/etc/citadel/current"]).trim().to_owned();
        let generation = format!("/etc/citadel/{current}");
        let manifest = fs::read(self.host.path(&format!("{generation}/manifest.json"))).unwrap_or_default();
        let own = fs::read(bundle.folder.join("manifest.json")).expect("a bundle has a manifest");
        expect(manifest == own, format!("`current` leads to {current:?}, another generation"));
        for file in ["trial.json", "current.tmp"] {
            expect(!self.host.path(&format!("/etc/citadel/{file}")).exists(), format!("there is a {file}"));
        }
        let (links, own_links) = (self.generator_links(), expected_links(bundle, &generation));
        let other: Vec<_> = links.symmetric_difference(&own_links).collect();
        expect(other.is_empty(), format!("the generator made other links: {other:?}"));
        let installed = members(&bundle.manifest["files"])
            .filter_map(|(name, entry)| Some([format!("{generation}/{name}"), entry["target"].as_str()?.to_owned()]));
        let installed: Vec<String> = installed.flatten().collect();
        let script = r#"while [ $# -gt 0 ]; do cmp --quiet "$1" "$2" || echo "$2"; shift 2; done"#;
        let pairs: Vec<&str> = installed.iter().map(String::as_str).collect();
        let different = self.host.run(&[&["sh", "-c", script, "sh"], pairs.as_slice()].concat());
        expect(different.is_empty(), format!("these are other files: {different}"));
        let jobs = self.host.run(&["systemctl", "list-jobs", "--plain", "--no-legend"]);
        expect(jobs.is_empty(), format!("jobs: {jobs}"));
        let failed = self.host.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
        expect(!bundle.units.keys().any(|unit| failed.contains(unit.as_str())), format!("failed: {failed}"));
        wrong.extend(self.wrong_units(bundle));
        wrong
    }

    /// Returns the links for units of citadel that generators made at the last reload, with what they lead to.
    fn generator_links(&self) -> BTreeSet<(String, String)> {
        let links = self.host.run(&["find", "/run/systemd/generator", "-type", "l", "-printf", "%P\\t%l\\n"]);
        let links = links.lines().filter_map(|line| line.split_once('\t'));
        let is_ours = |(name, target): &(&str, &str)| {
            target.contains("citadel/generations")
                || target.starts_with("../") && ![".mount", ".swap"].iter().any(|kind| name.ends_with(kind))
        };
        let own = ["citadel-recover.service", "citadel-boot.service"];
        let ours = links.filter(is_ours).filter(|(name, _)| !own.iter().any(|own| name.ends_with(own)));
        ours.map(|(name, target)| (name.to_owned(), target.to_owned())).collect()
    }

    fn wrong_units(&self, bundle: &Bundle) -> Vec<String> {
        let mut wrong = Vec::new();
        let at_boot = bundle.at_boot();
        let units: Vec<&str> = bundle.units.keys().map(String::as_str).filter(|unit| !unit.contains('@')).collect();
        let properties = ["LoadState", "ActiveState", "SubState", "NeedDaemonReload", "MainPID", "FragmentPath"];
        let shown = self.host.show(&properties, &units);
        for (unit, shown) in units.iter().zip(&shown) {
            let state = format!("{} {}", shown.get("ActiveState"), shown.get("SubState"));
            let expected = bundle.state_after_boot(unit);
            // A socket whose service runs.
            let in_use = expected == "active listening" && state == "active running";
            if at_boot.contains(unit) && state != expected && !in_use {
                wrong.push(format!("{unit} is {state}, not {expected}"));
            }
            if shown.get("LoadState") != "loaded" || shown.get("NeedDaemonReload") != "no" {
                wrong.push(format!("systemd has not read {unit} from {}", shown.get("FragmentPath")));
            }
            let process = shown.find("MainPID").unwrap_or("0");
            if process != "0" {
                wrong.extend(self.wrong_process(bundle, unit, process));
            }
        }
        for unit in units.iter().filter(|unit| at_boot.contains(*unit) && unit.ends_with(".service")) {
            for probe in bundle.probes(unit) {
                let answer = self.host.try_get(&probe.host, probe.port, &probe.path);
                if answer.as_ref().map(|(status, _)| *status) != Ok(probe.status) {
                    wrong.push(format!("{unit}: {probe:?} is answered with {answer:?}"));
                }
            }
        }
        let said: BTreeSet<_> = at_boot.iter().flat_map(|unit| bundle.listens(unit)).collect();
        let listens = self.host.listens();
        let missing: Vec<_> = said.difference(&listens).collect();
        if !missing.is_empty() {
            wrong.push(format!("nobody listens on {missing:?}"));
        }
        wrong
    }

    /// Says where a process was not started by this definition of its unit.
    fn wrong_process(&self, bundle: &Bundle, unit: &str, process: &str) -> Option<String> {
        let words = |file: &str| {
            let text = fs::read(self.host.path(&format!("/proc/{process}/{file}"))).unwrap_or_default();
            let words = text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            words.collect::<Vec<String>>()
        };
        let command = bundle.values(unit, "ExecStart").last()?.replace("%%", "%");
        // The program may be a script, and may have another in its place; its arguments tell.
        let command: Vec<&str> = command.split(' ').skip(1).collect();
        let runs = words("cmdline");
        let runs: Vec<&str> = runs.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        if !runs.ends_with(&command) {
            return Some(format!("{unit} runs {runs:?}, not {command:?}"));
        }
        let environment: BTreeSet<String> = words("environ").into_iter().collect();
        let missing: Vec<String> =
            bundle.environment(unit).into_iter().filter(|variable| !environment.contains(variable)).collect();
        (!missing.is_empty()).then(|| format!("{unit} runs without {missing:?}"))
    }

    /// Returns the number of times that the manager has read its units since it started.
    pub fn reloads(&self) -> usize {
        self.host.journal(&["--identifier=systemd"]).matches("Reloading").count()
    }
}

/// The links that the generator has to make.
fn expected_links(bundle: &Bundle, generation: &str) -> BTreeSet<(String, String)> {
    let units = bundle.units.keys().map(|unit| (unit.clone(), format!("{generation}/units/{unit}")));
    let wanted = bundle.wanted().into_iter().map(|(by, unit)| (format!("{by}.wants/{unit}"), format!("../{unit}")));
    units.chain(wanted).collect()
}
