//! Whether a port is free, and who holds it when it is not.

use super::answer::{Answer, Failure};
use super::machine::{Holder, Machine};
use crate::health::failure::plain;

/// Judges a port before a start of `unit`, which may hold it itself when it runs.
pub fn free(machine: &impl Machine, port: u16, unit: &str) -> Answer {
    let listeners = machine.listeners(port).map_err(|error| {
        Failure::new(
            format!("who listens on port {port} is not known: {}", plain(&error)),
            "check that /proc is mounted",
        )
    })?;
    let Some(listener) = listeners.first() else {
        return Ok(format!("nobody listens on port {port}"));
    };
    let mut holders: Vec<Holder> = listeners.iter().flat_map(|listener| machine.holders(listener)).collect();
    holders.sort_by_key(|holder| holder.pid);
    holders.dedup();
    if !holders.is_empty() && holders.iter().all(|holder| holder.unit.as_deref() == Some(unit)) {
        return Ok(format!("{unit} itself listens on port {port}"));
    }
    let others = holders.into_iter().find(|holder| holder.unit.as_deref() != Some(unit));
    let at = listener.address;
    Err(match others {
        None => Failure::new(
            format!("port {port} is taken at {at} by a process of {}", owner(listener.uid)),
            format!("find out who it is with: sudo ss -ltnp sport = :{port}"),
        ),
        Some(holder) => {
            let Holder { pid, name, user, unit } = &holder;
            let of = unit.as_ref().map(|unit| format!(", {unit}")).unwrap_or_default();
            let help = match unit {
                _ if *pid == 1 => "find the socket unit with: systemctl list-sockets".to_owned(),
                Some(unit) if unit.ends_with(".service") => format!("stop it with: systemctl stop {unit}"),
                _ => format!("end it with: kill {pid}"),
            };
            Failure::new(
                format!("port {port} is taken at {at} by {name} (process {pid} of {user}{of})"),
                format!("{help}, or give the service another port"),
            )
        }
    })
}

/// What every user outside of an own user namespace (`PrivateUsers=`) looks like from within, the kernel's overflow user.
const OUTSIDE: u32 = 65534;

/// Returns the user of a socket whose process may not be seen.
fn owner(uid: u32) -> String {
    if uid == OUTSIDE { "another user".to_owned() } else { user(uid) }
}

/// Returns a user by name, or by number where it has none.
pub fn user(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::machine::Listener;
    use super::super::testing::Fake;
    use super::*;

    fn held(by: &[(u32, &str, Option<&str>)]) -> Fake {
        let holder = |(pid, name, unit): &(u32, &str, Option<&str>)| Holder {
            pid: *pid,
            name: (*name).to_owned(),
            user: "bob".to_owned(),
            unit: unit.map(str::to_owned),
        };
        let listener = Listener { address: [127, 0, 0, 1].into(), uid: 0, inode: 7 };
        Fake { listeners: vec![(8080, listener)], holders: by.iter().map(holder).collect(), ..Fake::default() }
    }

    #[test]
    fn who_holds_a_port_is_named() {
        let judged =
            |machine: &Fake| free(machine, 8080, "a.service").map_err(|it| format!("{}; {}", it.reason, it.help));
        assert_eq!(judged(&Fake::default()), Ok("nobody listens on port 8080".to_owned()));
        assert_eq!(
            judged(&held(&[(42, "uvicorn", Some("web.service"))])).unwrap_err(),
            "port 8080 is taken at 127.0.0.1 by uvicorn (process 42 of bob, web.service); stop it with: systemctl stop \
             web.service, or give the service another port"
        );
        assert_eq!(
            judged(&held(&[(42, "python3", Some("session-1.scope"))])).unwrap_err(),
            "port 8080 is taken at 127.0.0.1 by python3 (process 42 of bob, session-1.scope); end it with: kill 42, or \
             give the service another port"
        );
        assert!(judged(&held(&[(1, "systemd", Some("init.scope"))])).unwrap_err().contains("systemctl list-sockets"));
    }

    #[test]
    fn a_holder_that_may_not_be_seen_is_told_as_such() {
        let failure = free(&held(&[]), 8080, "a.service").unwrap_err();
        assert_eq!(failure.reason, "port 8080 is taken at 127.0.0.1 by a process of root");
        assert_eq!(failure.help, "find out who it is with: sudo ss -ltnp sport = :8080");
        let mut outside = held(&[]);
        outside.listeners[0].1.uid = OUTSIDE;
        let failure = free(&outside, 8080, "a.service").unwrap_err();
        assert_eq!(failure.reason, "port 8080 is taken at 127.0.0.1 by a process of another user");
    }

    #[test]
    fn the_service_may_hold_its_own_port() {
        let own = held(&[(42, "uvicorn", Some("a.service"))]);
        assert_eq!(free(&own, 8080, "a.service"), Ok("a.service itself listens on port 8080".to_owned()));
        let shared = held(&[(42, "uvicorn", Some("a.service")), (43, "nc", None)]);
        assert!(free(&shared, 8080, "a.service").unwrap_err().reason.contains("nc (process 43 of bob)"));
    }
}
