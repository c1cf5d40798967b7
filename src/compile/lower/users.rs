//! System users and groups, for systemd-sysusers.

use std::collections::{BTreeMap, BTreeSet};

use super::{ENCODING, LoweredFile, Output};
use crate::bundle::characters::is_noncharacter;
use crate::bundle::manifest::FileKind;
use crate::compile::config::{Profile, members};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::render;
use crate::compile::system::System;

/// A user to make.
struct NewUser {
    group: String,
    description: String,
    home: String,
    place: OptionPath,
}

pub(super) fn lower(system: &System, out: &mut Output) {
    let profile = &system.profile;
    let users = new_users(system);
    let mut lines: Vec<String> = new_groups(profile, &users).iter().map(|group| format!("g {group} -")).collect();
    for (name, user) in &users {
        // A user has a group of its own name unless another one is named, which then has to be there.
        let id = if user.group == *name { "-".to_owned() } else { format!("-:{}", user.group) };
        match (quoted(&user.description), home(&user.home)) {
            (Ok(description), Ok(home)) if !user.description.contains(':') => {
                lines.push(format!("u {name} {id} {description} {home} -"));
            }
            (description, home) => {
                let colon = "\":\" cannot stand in the description of a user";
                let reason = description.err().or(home.err()).unwrap_or(colon);
                out.findings.push(
                    Finding::error(ENCODING, format!("systemd-sysusers cannot be told of the user {name:?}"))
                        .at(user.place.clone(), reason),
                );
            }
        }
    }
    for (name, user) in &profile.users {
        for group in members(&user.groups) {
            lines.push(format!("m {name} {group}"));
        }
    }
    if lines.is_empty() {
        return;
    }
    if let Some(content) = out.keep(render::sysusers(lines)) {
        let target = "/etc/sysusers.d/citadel.conf";
        let origin = OptionPath::new(["users"]);
        out.files.push(LoweredFile::at("sysusers/citadel.conf", FileKind::Sysusers, target, content, origin));
    }
}

/// Returns the users that citadel makes: those of the profile that do not exist, one for each service without a user,
/// and one for each application without a user.
fn new_users(system: &System) -> BTreeMap<String, NewUser> {
    let profile = &system.profile;
    let exists = |name: &str| {
        profile.host.users.get(name) == Some(&true) || profile.users.get(name).is_some_and(|user| user.existing)
    };
    let mut users = BTreeMap::new();
    for (name, user) in profile.users.iter().filter(|(_, user)| !user.existing) {
        let new = NewUser {
            group: user.group.clone().unwrap_or_else(|| name.clone()),
            description: user.description.clone().unwrap_or_else(|| "managed by citadel".to_owned()),
            home: user.home.clone().unwrap_or_else(|| "-".to_owned()),
            place: OptionPath::new(["users", name]),
        };
        users.insert(name.clone(), new);
    }
    let apps: BTreeMap<String, &String> = profile
        .apps
        .iter()
        .filter(|(_, app)| app.enable && app.user.is_none())
        .map(|(name, _)| (format!("citadel-{name}"), name))
        .collect();
    for service in &system.services {
        let name = &service.user.user;
        let app = apps.get(name).filter(|_| !service.user.own);
        if (!service.user.own && app.is_none()) || exists(name) || users.contains_key(name) {
            continue;
        }
        let home = if service.user.own && service.spec.directories.state {
            format!("/var/lib/{}", service.unit.stem())
        } else {
            "-".to_owned()
        };
        let new = NewUser {
            group: service.user.group.clone(),
            description: app.map_or_else(
                || format!("Service {} of citadel", service.unit.stem().replace(':', " ")),
                |app| format!("Application {} of citadel", app.replace(':', " ")),
            ),
            home,
            place: service.origin.clone(),
        };
        users.insert(name.clone(), new);
    }
    users
}

/// Returns the groups that citadel makes, other than those that come with a user of the same name.
fn new_groups(profile: &Profile, users: &BTreeMap<String, NewUser>) -> BTreeSet<String> {
    let declared = profile.user_groups.iter().filter(|(_, group)| !group.existing).map(|(name, _)| name.clone());
    declared.filter(|name| !users.contains_key(name)).collect()
}

/// Returns a field of tmpfiles.d(5) and sysusers.d(5), in double quotes where it is not plain; inside them nothing ends it.
///
/// systemd 252 takes the character behind a backslash as it is, later ones know the escapes of C too: `\\` and `\"` mean
/// the same to both. Specifiers are expanded afterwards.
pub(super) fn quoted(text: &str) -> Result<String, &'static str> {
    if text.chars().any(|it| it.is_control() || is_noncharacter(it)) {
        return Err("control characters and what Unicode calls no character are not allowed");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.,:@+=-".contains(&byte);
    if text.bytes().all(plain) && !matches!(text, "" | "-") {
        return Ok(text.to_owned());
    }
    let mut field = String::from("\"");
    for it in text.chars() {
        match it {
            '%' => field.push_str("%%"),
            '"' | '\\' => field.extend(['\\', it]),
            it => field.push(it),
        }
    }
    field.push('"');
    Ok(field)
}

/// Returns the field of a home directory; `-` means none.
fn home(path: &str) -> Result<String, &'static str> {
    if path == "-" { Ok(path.to_owned()) } else { quoted(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_end_early() {
        assert_eq!(quoted("a \"b\" \\ 5%").as_deref(), Ok(r#""a \"b\" \\ 5%%""#));
        assert!(quoted("a\nu root2 0").is_err());
        // systemd-sysusers would refuse the whole file.
        assert!(quoted("a\u{fffe}").is_err());
    }
}
