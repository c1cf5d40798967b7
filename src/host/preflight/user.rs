//! As whom a service runs.

use super::answer::{Answer, Failure};

/// Judges the user that a service runs as; `exists` tells whether this machine has the wanted one.
pub fn user(runs_as: &str, wanted: &str, exists: bool, unit: &str) -> Answer {
    if !exists {
        return Err(Failure::new(
            format!("this machine has no user {wanted:?}"),
            "make it, or let citadel make it: `users` of the profile, then a switch",
        ));
    }
    if runs_as == wanted {
        return Ok(format!("runs as {wanted}"));
    }
    Err(Failure::new(
        format!("runs as {runs_as} and not as {wanted}"),
        format!("look for a drop-in with another `User=`: systemctl cat {unit}; by hand, run it with sudo"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::reason;
    use super::*;

    #[test]
    fn the_user_exists_and_is_the_right_one() {
        assert_eq!(user("starlord", "starlord", true, "a.service"), Ok("runs as starlord".to_owned()));
        assert_eq!(reason(user("root", "starlord", true, "a.service")), "runs as root and not as starlord");
        assert_eq!(reason(user("starlord", "starlord", false, "a.service")), "this machine has no user \"starlord\"");
    }
}
