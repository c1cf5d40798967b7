//! Whom a program runs as.

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use uzers::{get_group_by_name, get_user_by_name, get_user_by_uid, get_user_groups};

use crate::health::failure::Reason;
use crate::health::subject::Subject;

/// A user with its groups.
pub(crate) struct Identity {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    /// Looks up as whom a service runs; none where nothing has to change, or cannot, since only root may.
    ///
    /// # Errors
    ///
    /// A user or a group that this host does not have.
    pub(crate) fn of(subject: &Subject) -> Result<Option<Self>, Reason> {
        let plain = subject.user.is_none() && subject.group.is_none() && subject.supplementary.is_empty();
        if plain || !geteuid().is_root() {
            return Ok(None);
        }
        let name = subject.user.as_deref().unwrap_or("root");
        let user = lookup(name, get_user_by_name, get_user_by_uid)
            .ok_or_else(|| Reason::NotRun(format!("there is no user {name:?}")))?;
        let group = match &subject.group {
            Some(name) => group(name)?,
            None => user.primary_group_id(),
        };
        let mut groups = vec![group];
        groups.extend(get_user_groups(user.name(), group).unwrap_or_default().iter().map(uzers::Group::gid));
        for name in &subject.supplementary {
            groups.push(self::group(name)?);
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(Some(Identity {
            user: Uid::from_raw(user.uid()),
            group: Gid::from_raw(group),
            groups: groups.into_iter().map(Gid::from_raw).collect(),
        }))
    }

    /// Takes it on for this thread and the processes that it starts, for good.
    ///
    /// The standard library offers no stable way to set the groups of a child. On Linux an identity belongs to a thread,
    /// and these system calls, unlike those of the C library, leave the other threads alone.
    pub(crate) fn assume(&self) -> io::Result<()> {
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.group, self.group, self.group)?;
        set_thread_res_uid(self.user, self.user, self.user)?;
        Ok(())
    }
}

fn group(name: &str) -> Result<u32, Reason> {
    let missing = || Reason::NotRun(format!("there is no group {name:?}"));
    match get_group_by_name(name) {
        Some(group) => Ok(group.gid()),
        None => name.parse().map_err(|_| missing()),
    }
}

/// Finds a user by name, or by number as systemd takes it too.
fn lookup(
    name: &str,
    by_name: impl Fn(&str) -> Option<uzers::User>,
    by_id: impl Fn(u32) -> Option<uzers::User>,
) -> Option<uzers::User> {
    by_name(name).or_else(|| by_id(name.parse().ok()?))
}
