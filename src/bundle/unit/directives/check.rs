//! Judging the text behind a `=` before systemd does.
//!
//! Refuses only what every supported release of systemd ignores with a warning; in doubt a value passes.

use std::net::IpAddr;

use super::Kind;
use super::kind::Words;
use crate::bundle::unit::UnitName;

/// Returns what to write instead when systemd would ignore this value of a directive of this kind.
pub fn check_value(kind: Kind, text: &str) -> Result<(), String> {
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Ok(());
    }
    match kind {
        Kind::Bool => demand(is_bool(text), "write yes or no"),
        Kind::BoolOr(words) if is_bool(text) || words.known().any(|word| word == text) => Ok(()),
        Kind::BoolOr(words) => one_of(words, text, "yes, no, "),
        Kind::EnumOrNumber(_) if integer(text).is_some() => Ok(()),
        Kind::Enum(words) | Kind::EnumOrNumber(words) => one_of(words, text, ""),
        Kind::Time => demand(is_time(text), "write a time such as 30s, 5min or infinity"),
        Kind::Bytes => demand(
            text == "infinity" || is_percent(text, 100) || is_size(text),
            "write a size such as 16G, a percentage such as 50%, or infinity",
        ),
        Kind::Size => demand(is_size(text), "write a size such as 512K"),
        Kind::Integer { min, max } => match integer(text) {
            Some(number) if (i128::from(min)..=i128::from(max)).contains(&number) => Ok(()),
            _ if min == i64::MIN => Err("write a whole number".to_owned()),
            _ => Err(format!("write a whole number from {min} to {max}")),
        },
        Kind::Unsigned => demand(
            integer(text).is_some_and(|number| (0..=i128::from(u64::MAX)).contains(&number)),
            "write a whole number, not below 0",
        ),
        Kind::Percent => demand(is_percent(text, 100), "write a percentage from 0% to 100%"),
        Kind::CpuQuota => demand(is_percent(text, u64::MAX), "write a percentage such as 200% for two CPUs"),
        Kind::Weight { idle } => {
            let fits = integer(text).is_some_and(|number| (1..=10_000).contains(&number));
            demand(fits || idle && text == "idle", "write a weight from 1 to 10000")
        }
        Kind::Tasks => demand(
            text == "infinity" || is_percent(text, 100) || integer(text).is_some_and(|number| number > 0),
            "write a number above 0, a percentage, or infinity",
        ),
        Kind::Mode => demand(is_mode(text), "write an octal mode such as 0750"),
        Kind::Signal => demand(is_signal(text), "write the name of a signal such as SIGTERM"),
        Kind::Rlimit => demand(is_rlimit(text), "write a limit such as 65536, 1024:65536 or infinity"),
        Kind::Path => demand(
            text == "~" || is_path(text.strip_prefix('-').unwrap_or(text)),
            "write an absolute path, one that starts with \"/\"",
        ),
        Kind::Paths => each_word(text, |word| {
            demand(is_path(word.trim_start_matches(['-', '+'])), "write absolute paths, which start with \"/\"")
        }),
        Kind::RelativePaths => each_word(text, |word| {
            demand(!word.starts_with('/'), "write names relative to systemd's directory, without a \"/\" at the start")
        }),
        Kind::ConditionPath => {
            let path = text.trim_start_matches(['|', '!', ' ', '\t']);
            demand(path.is_empty() || is_path(path), "write an absolute path, one that starts with \"/\"")
        }
        Kind::Units => each_word(text, |word| {
            demand(word.contains('%') || UnitName::parse(word).is_some(), format!("{word:?} is not the name of a unit"))
        }),
        Kind::Exec => command(text),
        Kind::Environment => each_word(text, |word| {
            demand(word.contains(['\\', '%']) || is_assignment(word), format!("{word:?} is not of the form NAME=value"))
        }),
        Kind::Addresses => each_word(text, |word| {
            demand(is_address(word), format!("{word:?} is no IP address, IP network or one of any, localhost, ..."))
        }),
        Kind::AddressFamilies => each_word(text.strip_prefix('~').unwrap_or(text), |word| {
            let known = word == "none" || word.starts_with("AF_") || integer(word).is_some();
            demand(known, format!("{word:?} is no address family such as AF_INET"))
        }),
        Kind::Capabilities => each_word(text.strip_prefix('~').unwrap_or(text), |word| {
            let known = word.to_ascii_uppercase().starts_with("CAP_") || integer(word).is_some();
            demand(known, format!("{word:?} is no capability such as CAP_SYS_NICE"))
        }),
        Kind::CpuSet => {
            let mut numbers = text.split([' ', '\t', ',', '-']).filter(|number| !number.is_empty());
            let fits =
                text.contains(['%', '"', '\'']) || numbers.all(|number| number == "numa" || integer(number).is_some());
            demand(fits, "write numbers and ranges such as 0-3,8")
        }
        Kind::Urls => each_word(text, |word| {
            let schemes = ["http://", "https://", "file:", "info:", "man:"];
            demand(
                word.contains('%') || schemes.iter().any(|scheme| word.starts_with(scheme)),
                format!("{word:?} is no address that starts with http://, https://, file:, info: or man:"),
            )
        }),
        Kind::Text | Kind::Opaque => Ok(()),
    }
}

fn demand(fits: bool, advice: impl Into<String>) -> Result<(), String> {
    if fits { Ok(()) } else { Err(advice.into()) }
}

fn one_of(words: Words, text: &str, others: &str) -> Result<(), String> {
    if words.known().any(|word| word == text) {
        return Ok(());
    }
    if let Some(since) = words.too_new(text) {
        return Err(format!("{text} needs systemd {since}"));
    }
    Err(format!("write one of {others}{}", words.known().collect::<Vec<_>>().join(", ")))
}

/// systemd's `parse_boolean`.
fn is_bool(text: &str) -> bool {
    let known = ["1", "yes", "y", "true", "t", "on", "0", "no", "n", "false", "f", "off"];
    known.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// systemd's `safe_atoll` and its like: decimal, or with `0x`, `0o`, `0b`, `0`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// Splits `12.5` off the start of a text; returns what is behind it.
fn behind_number(text: &str) -> Option<&str> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let whole = text.bytes().take_while(u8::is_ascii_digit).count();
    let behind = &text[whole..];
    let fraction = match behind.strip_prefix('.') {
        Some(digits) => 1 + digits.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    (whole > 0 || fraction > 1).then(|| &behind[fraction..])
}

/// Reads a text as numbers with one of these units, or none, behind each.
fn is_amount(text: &str, units: &[&str]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(behind) = behind_number(rest) else { return false };
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        if letters > 0 && !units.contains(&&behind[..letters]) {
            return false;
        }
        rest = behind[letters..].trim_start();
    }
    !text.is_empty()
}

fn is_time(text: &str) -> bool {
    const UNITS: [&str; 34] = [
        "seconds", "second", "sec", "s", "minutes", "minute", "min", "months", "month", "M", "msec", "ms", "m",
        "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "years", "year", "y", "usec", "us", "µs",
        "μs", "nsec", "ns", "mins", "secs",
    ];
    text.contains('%') || text == "infinity" || is_amount(text, &UNITS)
}

fn is_size(text: &str) -> bool {
    is_amount(text, &["E", "P", "T", "G", "M", "K", "B"])
}

/// systemd's `parse_permyriad`: percent, per mille or per ten thousand.
fn is_percent(text: &str, most: u64) -> bool {
    let Some((number, scale)) = [('%', 1), ('‰', 10), ('‱', 100)]
        .into_iter()
        .find_map(|(sign, scale)| text.strip_suffix(sign).map(|number| (number, scale)))
    else {
        return false;
    };
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    behind_number(number) == Some("")
        && integer(whole).is_some_and(|whole| whole <= i128::from(most).saturating_mul(scale))
}

fn is_mode(text: &str) -> bool {
    text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
        && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777)
}

fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 34] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    NAMES.contains(&name)
        || name.starts_with("RTMIN")
        || name.starts_with("RTMAX")
        || integer(name).is_some_and(|number| (1..=64).contains(&number))
}

fn is_rlimit(text: &str) -> bool {
    text.split(':').all(|part| {
        let fits = |c: char| c.is_alphanumeric() || ".+- \t".contains(c);
        part == "infinity" || part.contains(|c: char| c.is_ascii_digit()) && part.chars().all(fits)
    })
}

fn is_path(text: &str) -> bool {
    text.starts_with(['/', '%'])
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn is_address(word: &str) -> bool {
    if ["any", "localhost", "link-local", "multicast"].contains(&word) || word.contains('%') {
        return true;
    }
    let (address, length) = word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.is_none_or(|length| integer(length).is_some_and(|length| (0..=most).contains(&length)))
}

fn command(text: &str) -> Result<(), String> {
    let advice = "start the command with the absolute path of a program";
    let all = words(text).ok_or(NOT_CLOSED)?;
    let program = all.first().map_or("", |word| word.trim_start_matches(['-', '@', ':', '+', '!', '|']));
    if program.ends_with('/') {
        return Err(advice.to_owned());
    }
    demand(program.is_empty() || is_path(program) || !program.contains('/') || program.contains('\\'), advice)
}

const NOT_CLOSED: &str = "close the quote, or write a backslash before it";

fn each_word(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    words(text).ok_or(NOT_CLOSED)?.iter().try_for_each(|word| check(word))
}

/// Splits at blanks and removes quotes as systemd's `extract_first_word` does, but keeps escapes; `None` for an open quote.
fn words(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => {
                let word = word.get_or_insert_default();
                word.push(character);
                word.extend(characters.next());
            }
            (_, Some(open)) if character == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(character),
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => all.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(character),
        }
    }
    all.extend(word);
    quote.is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::super::{Lookup, lookup};
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), String> {
        match ["Service", "Unit", "Timer", "Socket"].map(|section| lookup(section, name, 252)) {
            [Lookup::Known(kind), ..] | [_, Lookup::Known(kind), ..] => check_value(kind, value),
            [.., Lookup::Known(kind), _] | [.., Lookup::Known(kind)] => check_value(kind, value),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn what_systemd_takes_passes() {
        for (name, values) in [
            ("NoNewPrivileges", &["yes", "TRUE", "0", "", " on "][..]),
            ("ProtectSystem", &["strict", "full", "no"]),
            ("TimeoutStartSec", &["90", "1h 30min", "1h30min", "infinity", "1.5s", "50us"]),
            ("OnBootSec", &["5min", "%i"]),
            ("OnCalendar", &["*-*-* 02:00:00", "daily"]),
            ("MemoryMax", &["16G", "1G 512M", "50%", "33.33%", "infinity", "1073741824"]),
            ("CPUQuota", &["800%", "12.5%"]),
            ("CPUWeight", &["1", "10000", "idle"]),
            ("TasksMax", &["512", "10%", "infinity"]),
            ("Nice", &["-20", "19"]),
            ("UMask", &["0077", "27"]),
            ("KillSignal", &["SIGTERM", "INT", "RTMIN+3", "15"]),
            ("LimitNOFILE", &["65536", "1024:65536", "infinity"]),
            ("LimitMEMLOCK", &["infinity", "64M"]),
            ("WorkingDirectory", &["/srv", "-/srv/a b", "~", "%h"]),
            ("ReadWritePaths", &["/a", "-/a \"/b c\" +/d -+/e", "%S/x"]),
            ("StateDirectory", &["citadel", "a/b c"]),
            ("ConditionPathExists", &["/a", "!/a", "|!/a"]),
            ("After", &["network-online.target a@b.service", "%i.mount"]),
            ("ExecStart", &["/bin/true", "-@/bin/true x", "true", "\"/my dir/a\" 'b c'", "%h/a"]),
            ("Environment", &["A=b", "\"A=b c\" D=", "'A=%n'"]),
            ("IPAddressAllow", &["any", "localhost 10.0.0.0/8 fe80::/10 ::1"]),
            ("RestrictAddressFamilies", &["AF_INET AF_INET6", "~AF_PACKET", "none"]),
            ("CapabilityBoundingSet", &["CAP_SYS_NICE", "~CAP_SYS_ADMIN cap_chown"]),
            ("AllowedCPUs", &["0-3,8", "1 2"]),
            ("Documentation", &["https://example.org man:foo(1)"]),
            ("Type", &["notify"]),
            ("SyslogLevel", &["info", "6"]),
        ] {
            for value in values {
                assert_eq!(checked(name, value), Ok(()), "{name}={value}");
            }
        }
    }

    #[test]
    fn what_systemd_ignores_comes_with_advice() {
        for (name, value, advice) in [
            ("NoNewPrivileges", "maybe", "write yes or no"),
            ("ProtectSystem", "srtict", "write one of yes, no, full, strict"),
            ("Type", "notify-reload", "notify-reload needs systemd 253"),
            ("Type", "Simple", "write one of simple, exec, forking, oneshot, dbus, notify, idle"),
            ("TimeoutStartSec", "5 parsecs", "write a time such as 30s, 5min or infinity"),
            ("MemoryMax", "16GB", "write a size such as 16G, a percentage such as 50%, or infinity"),
            ("MemoryMax", "150%", "write a size such as 16G, a percentage such as 50%, or infinity"),
            ("CPUQuota", "2", "write a percentage such as 200% for two CPUs"),
            ("CPUWeight", "0", "write a weight from 1 to 10000"),
            ("TasksMax", "0", "write a number above 0, a percentage, or infinity"),
            ("Nice", "20", "write a whole number from -20 to 19"),
            ("UMask", "0888", "write an octal mode such as 0750"),
            ("KillSignal", "sigterm", "write the name of a signal such as SIGTERM"),
            ("LimitNOFILE", "many", "write a limit such as 65536, 1024:65536 or infinity"),
            ("WorkingDirectory", "srv", "write an absolute path, one that starts with \"/\""),
            ("ReadWritePaths", "/a b", "write absolute paths, which start with \"/\""),
            ("ReadWritePaths", "\"/a", "close the quote, or write a backslash before it"),
            (
                "StateDirectory",
                "/var/lib/a",
                "write names relative to systemd's directory, without a \"/\" at the start",
            ),
            ("After", "network", "\"network\" is not the name of a unit"),
            ("ExecStart", "bin/true", "start the command with the absolute path of a program"),
            ("Environment", "A=b c", "\"c\" is not of the form NAME=value"),
            (
                "IPAddressAllow",
                "10.0.0.0/33",
                "\"10.0.0.0/33\" is no IP address, IP network or one of any, localhost, ...",
            ),
            ("RestrictAddressFamilies", "INET", "\"INET\" is no address family such as AF_INET"),
            ("CapabilityBoundingSet", "SYS_NICE", "\"SYS_NICE\" is no capability such as CAP_SYS_NICE"),
            ("AllowedCPUs", "a", "write numbers and ranges such as 0-3,8"),
            ("Documentation", "README", {
                "\"README\" is no address that starts with http://, https://, file:, info: or man:"
            }),
        ] {
            assert_eq!(checked(name, value), Err(advice.to_owned()), "{name}={value}");
        }
    }
}
