//! The real systemd as an oracle: what does it read in these units?

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// systemd refuses to load units for a look as root.
const NOBODY: u32 = 65534;

/// Says that a test cannot run here, unless it has to, past the test runner, which shows no output of a test that passes.
pub fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os("CITADEL_TEST_REQUIRE_ALL").is_none(), "{test}: {reason}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Returns the program of the system manager and its version.
pub fn manager() -> Result<(PathBuf, u32), String> {
    let programs = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].map(PathBuf::from);
    let program = programs.into_iter().find(|path| path.exists()).ok_or("there is no systemd on this machine")?;
    let output = Command::new(&program).arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Ok((program, version.ok_or("systemd does not tell its version")?))
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Splits the dump of a manager by the units that it is about.
fn dumps(text: &str) -> BTreeMap<String, Vec<String>> {
    // Newer releases print an arrow where they can.
    let heading = |line: &str, what| {
        let line = line.trim_start_matches('\t');
        let behind = line.strip_prefix("-> ").or(line.strip_prefix("→ "))?.strip_prefix(what)?;
        Some(behind.trim_end_matches(':').to_owned())
    };
    let mut dumps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(unit) = heading(line, "Unit ") {
            current = Some(dumps.entry(unit).or_default());
        } else if heading(line, "Job ").is_some() {
            // What follows is about the job that loading the unit queued, under a number that differs each time.
            current = None;
        } else if let Some(lines) = &mut current {
            lines.push(line.trim_start_matches('\t').to_owned());
        }
    }
    dumps
}

/// What systemd says about a set of units after it has loaded them.
pub struct Loaded {
    dumps: BTreeMap<String, Vec<String>>,
    complaints: BTreeMap<String, Vec<Complaint>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line of the unit file; 0 when it is about the whole unit.
    pub line: usize,
    pub text: String,
}

/// Loads units, by name, without starting any.
pub fn load(units: &BTreeMap<String, String>) -> Result<Loaded, String> {
    let (program, _) = manager()?;
    let dir = TempDir::new().map_err(|error| error.to_string())?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let mut all = "[Unit]\nDefaultDependencies=no\n".to_owned();
    for (name, text) in units {
        write(&dir.path().join(name), text.as_bytes());
        all.push_str(&format!("Wants={name}\n"));
    }
    write(&dir.path().join("all.target"), all.as_bytes());

    let mut command = Command::new(program);
    command.args(["--test", "--system", "--unit=all.target", "--no-pager", "--log-target=console", "--log-color=no"]);
    command.env_clear().env("SYSTEMD_UNIT_PATH", dir.path()).current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("systemd cannot load units here ({}): {}", output.status, log.trim()));
    }
    let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    let dumps = dumps(&text);
    let mut complaints: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    let prefix = format!("{}/", dir.path().display());
    for line in log.lines() {
        let Some((unit, text)) = line.strip_prefix(&prefix).unwrap_or(line).split_once(':') else { continue };
        let (number, text) =
            text.split_once(':').and_then(|(line, text)| Some((line.parse().ok()?, text))).unwrap_or((0, text));
        let complaint = Complaint { line: number, text: text.trim().to_owned() };
        complaints.entry(unit.to_owned()).or_default().push(complaint);
    }
    Ok(Loaded { dumps, complaints })
}

impl Loaded {
    /// Returns the lines that systemd prints about a unit, without their indentation.
    pub fn dump(&self, unit: &str) -> &[String] {
        self.dumps.get(unit).unwrap_or_else(|| panic!("systemd does not know {unit}: {:?}", self.complaints(unit)))
    }

    /// Returns what stands behind `key: ` in the dump of a unit, in order.
    pub fn values(&self, unit: &str, key: &str) -> Vec<&str> {
        self.dump(unit).iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
    }

    /// Returns what systemd does not like about a unit.
    pub fn complaints(&self, unit: &str) -> &[Complaint] {
        self.complaints.get(unit).map_or(&[], Vec::as_slice)
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
