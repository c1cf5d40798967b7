//! Text of units and files, made from values by the templates in `templates/`.
//!
//! A template cannot print just any text: its values have to be [`Encoded`], which only the encoder of a file format
//! makes. Everything else, and every name that a template knows and the program does not, is an error.

use std::fmt;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde::Serialize;

use super::config::Profile;
use super::finding::{Finding, OptionPath};
use super::lower::{INTERNAL, LoweredUnit};
use crate::bundle::env_file::encode_env_file;
use crate::bundle::unit::{Refusal, UnitFile};

static TEMPLATES: LazyLock<Result<Environment<'static>, Error>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    environment.set_formatter(|out, _, value| {
        let encoded = value.as_str().filter(|_| value.is_safe());
        let text = encoded.ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("a template prints a {} that is not encoded", value.kind()))
        })?;
        Ok(fmt::Write::write_str(out, text)?)
    });
    for (name, source) in [
        ("env", include_str!("../../templates/env.j2")),
        ("logrotate", include_str!("../../templates/logrotate.j2")),
        ("modules-load", include_str!("../../templates/modules-load.j2")),
        ("sysusers", include_str!("../../templates/sysusers.j2")),
        ("tmpfiles", include_str!("../../templates/tmpfiles.j2")),
        ("udev", include_str!("../../templates/udev.rules.j2")),
        ("unit", include_str!("../../templates/unit.j2")),
        ("vllm", include_str!("../../templates/vllm.yaml.j2")),
    ] {
        environment.add_template(name, source)?;
    }
    Ok(environment)
});

/// Returns text that a template may print.
fn encoded(text: impl Into<String>) -> Value {
    Value::from_safe_string(text.into())
}

fn all_encoded<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Value {
    texts.into_iter().map(encoded).collect()
}

fn render(name: &str, values: Value) -> Result<String, Finding> {
    let environment = TEMPLATES.as_ref().map_err(|error| defect(name, error))?;
    let template = environment.get_template(name).map_err(|error| defect(name, &error))?;
    template.render(values).map_err(|error| defect(name, &error))
}

fn defect(what: &str, error: &impl fmt::Display) -> Finding {
    Finding::error(INTERNAL, format!("citadel failed to write {what}: {error}"))
        .help("this is a defect of citadel; please report it")
}

/// Returns the text of a unit, after reading it back and comparing.
pub fn unit(unit: &LoweredUnit) -> Result<String, Finding> {
    let sections: Value = unit
        .unit
        .sections
        .iter()
        .map(|section| {
            let mut groups: Vec<(&str, Vec<Value>)> = Vec::new();
            for entry in &section.entries {
                let title = group(&section.name, &entry.key);
                let line = encoded(format!("{}={}", entry.key, entry.value));
                match groups.last_mut() {
                    Some((last, lines)) if *last == title => lines.push(line),
                    _ => groups.push((title, vec![line])),
                }
            }
            let groups: Value = groups
                .into_iter()
                .map(|(title, lines)| context! { title => encoded(title), lines => Value::from(lines) })
                .collect();
            context! { name => encoded(&section.name), groups => groups }
        })
        .collect();
    let text = render("unit", context! { origin => comment(&unit.origin), sections => sections })?;
    match UnitFile::parse(&text) {
        Ok(read) if read == unit.unit => Ok(text),
        Ok(_) => {
            Err(defect(unit.name.as_str(), &"it reads back as something else").at(unit.origin.clone(), "from here"))
        }
        Err(error) => Err(defect(unit.name.as_str(), &error).at(unit.origin.clone(), "from here")),
    }
}

/// Returns an option's path for a comment; its names are escaped, so it is one line whatever they contain.
fn comment(origin: &OptionPath) -> Value {
    let path = origin.to_string();
    encoded(path.chars().map(|it| if it.is_control() { ' ' } else { it }).collect::<String>())
}

/// Returns the heading that a directive stands under, for people; none for those at the top of a section.
fn group(section: &str, key: &str) -> &'static str {
    if matches!(section, "Unit" | "Install") {
        return "";
    }
    if key.starts_with("Limit") || RESOURCES.contains(&key) {
        return "Resources";
    }
    if key.starts_with("Log") && key != "LogsDirectory" && key != "LogsDirectoryMode" || key.starts_with("Syslog") {
        return "Log";
    }
    if key.starts_with("Restart") && !SANDBOX.contains(&key) || key == "WatchdogSec" {
        return "Restart";
    }
    if key.contains("Directory") || IDENTITY.contains(&key) || key.starts_with("LoadCredential") {
        return "Identity, directories, environment";
    }
    if SANDBOX.contains(&key)
        || key.starts_with("Protect")
        || key.starts_with("Private")
        || key.starts_with("SystemCall")
    {
        return "Sandbox";
    }
    ""
}

const RESOURCES: [&str; 9] = [
    "CPUQuota",
    "CPUWeight",
    "IOWeight",
    "MemoryHigh",
    "MemoryMax",
    "MemorySwapMax",
    "OOMScoreAdjust",
    "Slice",
    "TasksMax",
];

const IDENTITY: [&str; 5] = ["EnvironmentFile", "Group", "Sockets", "SupplementaryGroups", "User"];

const SANDBOX: [&str; 20] = [
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "DeviceAllow",
    "DevicePolicy",
    "IPAddressAllow",
    "IPAddressDeny",
    "KeyringMode",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "ProcSubset",
    "ReadWritePaths",
    "RemoveIPC",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "SocketBindAllow",
    "SocketBindDeny",
    "UMask",
];

/// Returns one assignment of an environment file.
pub(super) fn assignment(name: &str, value: &str) -> Result<String, Refusal> {
    encode_env_file([(name, value)])
}

/// Returns an environment file of assignments. It has no comment: a person finds its origin in the unit.
pub(super) fn env(assignments: Vec<String>) -> Result<String, Finding> {
    render("env", context! { assignments => all_encoded(assignments) })
}

/// Returns a configuration of vLLM from options and their values in YAML.
pub(super) fn vllm(origin: &OptionPath, options: Vec<(String, String)>) -> Result<String, Finding> {
    let options: Value =
        options.into_iter().map(|(name, value)| context! { name => encoded(name), value => encoded(value) }).collect();
    render("vllm", context! { origin => comment(origin), options => options })
}

/// Returns text as a scalar of YAML in double quotes. Only letters, digits and printable ASCII stand for themselves:
/// YAML takes more characters for line breaks than JSON does.
pub(super) fn yaml_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for it in text.chars() {
        match it {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(it),
            it if it.is_alphanumeric() => quoted.push(it),
            it if u32::from(it) > 0xFFFF => quoted.push_str(&format!("\\U{:08x}", u32::from(it))),
            it => quoted.push_str(&format!("\\u{:04x}", u32::from(it))),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a logrotate configuration: quoted paths and the directives for them.
pub(super) fn logrotate(rotations: Vec<(Vec<String>, Vec<String>)>) -> Result<String, Finding> {
    let rotations: Value = rotations
        .into_iter()
        .map(|(paths, directives)| context! { paths => all_encoded(paths), directives => all_encoded(directives) })
        .collect();
    render("logrotate", context! { rotations => rotations })
}

/// Returns udev rules: the units to start with the driver, PCI devices to keep awake, and links for GPU containers.
pub(super) fn udev(appliers: Vec<String>, awake: Vec<String>, containers: bool) -> Result<String, Finding> {
    let values = context! {
        appliers => all_encoded(appliers),
        awake => all_encoded(awake),
        containers => containers,
    };
    render("udev", values)
}

/// Returns a tmpfiles.d(5) file.
pub(super) fn tmpfiles(lines: Vec<[String; 7]>) -> Result<String, Finding> {
    render("tmpfiles", context! { lines => all_encoded(lines.into_iter().map(|fields| fields.join(" "))) })
}

/// Returns a sysusers.d(5) file.
pub(super) fn sysusers(lines: Vec<String>) -> Result<String, Finding> {
    render("sysusers", context! { lines => all_encoded(lines) })
}

/// Returns a modules-load.d(5) file.
pub(super) fn modules_load(modules: &[&str]) -> Result<String, Finding> {
    render("modules-load", context! { modules => all_encoded(modules.iter().copied()) })
}

/// Returns a value as JSON for people and programs.
pub(super) fn json(value: &impl Serialize) -> Result<String, Finding> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| defect("JSON", &error))?;
    text.push('\n');
    Ok(text)
}

/// Returns the evaluated profile.
pub(super) fn profile(profile: &Profile) -> Result<String, Finding> {
    json(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_no_encoder_made_is_not_printed() {
        let values = context! { assignments => vec!["A=\"b\""] };
        let error = render("env", values).unwrap_err();
        assert!(error.message.contains("not encoded"), "{}", error.message);
    }

    #[test]
    fn a_name_that_the_program_does_not_know_is_an_error() {
        assert!(render("env", context! {}).is_err());
    }

    #[test]
    fn yaml_keeps_text_on_its_line() {
        assert_eq!(yaml_text("a\"b\\c\n\u{85}\u{2028}ü😀: #"), r#""a\"b\\c\u000a\u0085\u2028ü\U0001f600: #""#);
    }
}
