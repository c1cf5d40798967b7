//! A small site (`profiles/base.ncl`), variants of it, and hosts for them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::host::background::Background;
use crate::host::bundle::Bundle;
use crate::host::machine::Release;
use crate::host::{Host, Parts, can_boot, project, skip};
use crate::promises::Before;

/// Where the host finds the activator before anything is installed.
pub const PROGRAM: &str = "/srv/program/citadel-activate";

/// The project with all variants that were built, for as long as the tests run.
static PROJECT: OnceLock<TempDir> = OnceLock::new();
static BUILT: Mutex<Option<HashMap<String, Arc<Bundle>>>> = Mutex::new(None);

/// Builds the site with changes: a Nickel record that is merged with it.
pub fn site(changes: &str) -> Arc<Bundle> {
    build("(import \"base.ncl\")", changes)
}

/// Builds a profile of this repository for a host with stand-ins.
pub fn repository(profile: &str) -> Arc<Bundle> {
    let source = fs::read_to_string(format!("{}/profiles/{profile}.ncl", env!("CARGO_MANIFEST_DIR")));
    let source = source.expect("a profile is read");
    let parts = source.rsplit_once("| citadel.Profile").expect("a profile ends with its contract").0.trim_end();
    build(parts, r#"{ runtime = "/opt/site/bin/citadel-activate" }"#)
}

/// Builds a profile.
pub fn profile(text: &str) -> Arc<Bundle> {
    build(text, "{}")
}

fn build(parts: &str, changes: &str) -> Arc<Bundle> {
    let project = PROJECT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder is made");
        project::copy(folder.path(), |_| ());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/switch");
        for file in ["profiles", "hosts"].iter().flat_map(|part| project::files_below(&source.join(part))) {
            let target = folder.path().join(file.strip_prefix(&source).expect("a file of the project"));
            fs::copy(&file, &target).expect("a file is copied");
        }
        folder
    });
    let profile =
        format!("let citadel = import \"citadel/lib.ncl\" in\n(\n{parts}\n& {changes}\n)\n| citadel.Profile\n");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    let name = format!("variant{}", built.len());
    let bundle = built.entry(profile.clone()).or_insert_with(|| {
        fs::write(project.path().join(format!("profiles/{name}.ncl")), profile).expect("a profile is written");
        Arc::new(Bundle::build_in(project.path(), &name, &project.path().join("bundles").join(&name)))
    });
    Arc::clone(bundle)
}

/// A host that has what some bundles expect, and the activator.
pub struct Site {
    pub host: Host,
    /// The host before a switch that works in the background, until somebody looks at what it did.
    pub pending: RefCell<Option<Before>>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Site {
    /// Boots a host for these bundles, with nothing of citadel on it; none where this machine cannot.
    pub fn boot(release: &Release, bundles: &[&Bundle]) -> Option<Self> {
        let system = match can_boot(release) {
            Ok(system) => system,
            Err(reason) => {
                skip::skipped(&format!("switches on systemd {}: {reason}", release.systemd));
                return None;
            }
        };
        let mut parts = Parts::new();
        parts.expect(bundles);
        parts.file("install.sh", include_str!("install.sh"));
        let other = std::env::var_os("CITADEL_ACTIVATE");
        parts.bind(Path::new(other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_citadel-activate").as_ref())), PROGRAM);
        Some(Site { host: parts.boot(release, &system), pending: RefCell::new(None) })
    }

    /// Boots a host for these bundles, and switches it to the first of them.
    pub fn running(release: &Release, bundles: &[&Bundle]) -> Option<Self> {
        let site = Self::boot(release, bundles)?;
        site.switch(bundles[0], &[]).assert(0);
        site.assert_runs(bundles[0]);
        Some(site)
    }

    /// Runs a command of the activator.
    pub fn activate(&self, arguments: &[&str]) -> Ended {
        let output = self.host.call(&[&[PROGRAM], arguments].concat());
        Ended::of(&output)
    }

    /// Starts a command of the activator in the background. What it sets out to do is compared with what a diff promises
    /// when the host is looked at.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Background {
        self.pending.borrow_mut().get_or_insert_with(|| Before::of(self));
        self.host.spawn(name, &[&[PROGRAM], arguments].concat())
    }

    /// Switches to a bundle, and makes sure that what happens is what a diff promises.
    pub fn switch(&self, bundle: &Bundle, arguments: &[&str]) -> Ended {
        self.promised(&[&["switch", &self.copy(bundle)], arguments].concat())
    }

    /// Goes back to an earlier generation, and makes sure that what happens is what a diff promises.
    pub fn rollback(&self, arguments: &[&str]) -> Ended {
        self.promised(&[&["rollback"], arguments].concat())
    }

    fn promised(&self, command: &[&str]) -> Ended {
        if command.contains(&"--no-wait") {
            self.pending.borrow_mut().get_or_insert_with(|| Before::of(self));
            return self.activate(command);
        }
        // Another one works in the background: what is there when this one begins is not known.
        if self.pending.borrow().is_some() {
            return self.activate(command);
        }
        let before = Before::of(self);
        let ended = self.activate(command);
        let looked = before.assert_kept(self);
        let does = ended.code == Some(0) && !ended.out.contains("nothing to do") && !command.contains(&"--dry-run");
        assert!(looked || !does, "the history has no entry for {command:?}: {ended:?}");
        ended
    }

    /// Copies a bundle to the host, and returns where it lies there.
    pub fn copy(&self, bundle: &Bundle) -> String {
        let name = bundle.folder.file_name().and_then(|name| name.to_str()).expect("a bundle has a name");
        let place = format!("/srv/bundles/{name}");
        if !self.host.path(&place).exists() {
            fs::create_dir_all(self.host.path("/srv/bundles")).expect("a folder is made");
            let copied = Command::new("cp").arg("-R").args([&bundle.folder, &self.host.path(&place)]).status();
            assert!(copied.is_ok_and(|status| status.success()), "the bundle cannot be copied");
        }
        place
    }

    /// Makes a service behave in some way from its next start or request on: see `host/program.py`.
    pub fn behave(&self, service: &str, how: &str) {
        fs::write(self.host.path(&format!("/srv/behave/{service}")), how).expect("a file is written");
    }

    /// Returns what `citadel-activate status` says.
    pub fn status(&self) -> Result<Value, String> {
        let ended = self.activate(&["status", "--json"]);
        serde_json::from_str(&ended.out).map_err(|error| format!("{error}: {ended:?}"))
    }

    /// Waits until the switch under way has come so far: `applying`, `confirming`, ...; or is over, with none.
    pub fn until_stage(&self, stage: Option<&str>) {
        let what = format!("stage {stage:?}");
        self.host.until(&what, || {
            let status = self.status()?;
            let seen = status["trial"]["stage"].as_str();
            if seen == stage { Ok(true) } else { Err(format!("{seen:?}")) }
        });
    }
}

impl Ended {
    pub fn of(output: &std::process::Output) -> Self {
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails unless the command ended with this code.
    pub fn assert(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    /// Fails unless it says all of this, on either output.
    pub fn says(self, words: &[&str]) -> Self {
        let said = format!("{}\n{}", self.out, self.err);
        for word in words {
            assert!(said.contains(word), "nothing is said of {word:?}:\n{said}");
        }
        self
    }
}
