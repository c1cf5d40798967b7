//! Whether two programs can listen at the same time.

use std::net::IpAddr;

use crate::bundle::manifest::Listen;

/// Whether two listening places exclude each other: the same port, and addresses of which one contains the other.
pub(super) fn overlap(one: &Listen, other: &Listen) -> bool {
    one.port == other.port && (one.address == other.address || is_wildcard(&one.address, &other.address))
}

/// An IPv6 wildcard takes IPv4 too, as systemd and most programs open it.
fn is_wildcard(one: &str, other: &str) -> bool {
    let covers = |wide: &str, narrow: &str| match (parse(wide), parse(narrow)) {
        (Some(IpAddr::V4(wide)), Some(narrow)) => {
            wide.is_unspecified() && (narrow.is_ipv4() || narrow.is_unspecified())
        }
        (Some(IpAddr::V6(wide)), _) => wide.is_unspecified(),
        // A name, or nothing for every address.
        _ => wide.is_empty() || wide == "*",
    };
    one == other || covers(one, other) || covers(other, one) || (parse(one).is_some() && parse(one) == parse(other))
}

fn parse(address: &str) -> Option<IpAddr> {
    address.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_contain_every_address() {
        for (one, other, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.1", false),
            ("0.0.0.0", "10.0.0.1", true),
            ("10.0.0.1", "0.0.0.0", true),
            ("::", "10.0.0.1", true),
            ("[::]", "::1", true),
            ("0.0.0.0", "::1", false),
            ("0.0.0.0", "::", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("", "10.0.0.1", true),
            ("localhost", "10.0.0.1", false),
        ] {
            let listen = |address: &str, port| Listen { address: address.to_owned(), port };
            assert_eq!(overlap(&listen(one, 80), &listen(other, 80)), expected, "{one} {other}");
            assert!(!overlap(&listen(one, 80), &listen(other, 81)));
        }
    }
}
