//! Secrets in clear: by their shape anywhere, and by their look under names that promise one.
//!
//! A profile is committed and a bundle is readable on the host, so no secret may be in either. What is found is never
//! printed: its first three characters are enough to find it.

use std::borrow::Cow;

use serde_json::Value;

use crate::compile::finding::{Finding, OptionPath};

use super::codes::{LOOKS_SECRET, SECRET};
use super::context::Context;

/// Beginnings of tokens, how many characters follow at least, and whose they are.
const SHAPES: &[(&str, usize, &str)] = &[
    ("hf_", 30, "a Hugging Face token"),
    ("api_org_", 30, "a Hugging Face token"),
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghu_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("ghr_", 36, "a GitHub token"),
    ("github_pat_", 22, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("sk-", 20, "an API key"),
    ("nvapi-", 40, "an NVIDIA API key"),
    ("xoxb-", 10, "a Slack token"),
    ("xoxp-", 10, "a Slack token"),
    ("xoxa-", 10, "a Slack token"),
    ("xoxr-", 10, "a Slack token"),
    ("xoxs-", 10, "a Slack token"),
    ("AIza", 35, "a Google API key"),
    ("npm_", 36, "an npm token"),
    ("pypi-AgE", 30, "a PyPI token"),
    ("dop_v1_", 60, "a DigitalOcean token"),
];

/// Parts of names that promise a secret.
const SECRET_WORDS: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "APIKEY", "CREDENTIAL"];

/// Names of two parts that promise a secret.
const SECRET_PAIRS: &[(&str, &str)] =
    &[("API", "KEY"), ("ACCESS", "KEY"), ("PRIVATE", "KEY"), ("SECRET", "KEY"), ("AUTH", "KEY"), ("ENCRYPTION", "KEY")];

/// Last parts of names whose value tells where a secret is, and is none.
const PLACES: &[&str] = &["FILE", "PATH", "DIR", "NAME", "ID", "URL", "TYPE", "COUNT", "LIMIT", "LENGTH", "TTL"];

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    // What cannot be written as JSON cannot come out of a profile either.
    let Ok(profile) = serde_json::to_value(&context.system.profile) else { return };
    walk(&profile, &mut OptionPath::default(), findings);
}

/// Looks at every string below a value; `path` is where the value stands.
fn walk(value: &Value, path: &mut OptionPath, findings: &mut Vec<Finding>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                path.0.push(key.clone());
                // A name can be one, too: a mount option `password=…`.
                findings.extend(judge(None, key, path));
                walk(value, path, findings);
                path.0.pop();
            }
        }
        Value::Array(elements) => {
            // An argument behind `--api-key` is judged by that name.
            let mut name = None;
            for (at, element) in elements.iter().enumerate() {
                path.0.push(at.to_string());
                match element {
                    Value::String(text) => {
                        findings.extend(judge(name, text, path));
                        name = text.strip_prefix("--").filter(|flag| !flag.contains('='));
                    }
                    other => walk(other, path, findings),
                }
                path.0.pop();
            }
        }
        Value::String(text) => {
            let name = path.0.last().cloned();
            findings.extend(judge(name.as_deref(), text, path));
        }
        _ => {}
    }
}

/// Judges a text by its shape and, under the name that it stands at, by its look.
fn judge(name: Option<&str>, text: &str, path: &OptionPath) -> Option<Finding> {
    if let Some((what, secret)) = shape(text) {
        return Some(
            Finding::error(SECRET, format!("{what} stands in clear in {path}"))
                .at(path.clone(), format!("begins with {:?}", hint(secret)))
                .note("whoever reads the profile, the bundle or the unit reads it; take it for known and replace it")
                .help("declare it with `credentials.NAME = {}`, give it to the service with `credentials.NAME = true`, and read the file `$CREDENTIALS_DIRECTORY/NAME`"),
        );
    }
    let (name, secret) = match name.filter(|name| promises_secret(name) && looks_secret(name, text)) {
        Some(name) => (name.to_owned(), text.to_owned()),
        None => assignments(text).find(|(name, value)| promises_secret(name) && looks_secret(name, value))?,
    };
    Some(
        Finding::error(LOOKS_SECRET, format!("the value of {name} looks like a secret"))
            .at(path.clone(), format!("begins with {:?}", hint(&secret)))
            .note("the name promises a secret, and the value is neither a path nor a reference")
            .help("declare it with `credentials.NAME = {}` and read the file `$CREDENTIALS_DIRECTORY/NAME`; if it is none, allow C0281 with the reason"),
    )
}

/// Returns the beginning of a secret that may be shown.
fn hint(secret: &str) -> String {
    secret.chars().take(3).chain(['…']).collect()
}

/// Returns as many asterisks as the text has bytes; its line breaks stay.
pub fn hidden(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect()
}

/// Returns the text with every secret of a known shape replaced by as many asterisks as it has bytes, so that a message
/// that shows a line of a profile shows no secret.
///
/// What stands in quotes behind a name that promises a secret is replaced, too.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut shown = without_shapes(text);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut at = 0;
    for line in lines {
        if let Some(from) = behind_secret_name(line) {
            // Inside a quote, as in `"--password=…"`, it begins at once.
            let mut hides = line[..from].matches('"').count() % 2 == 1;
            for (index, part) in line[from..].split('"').scan(from, |place, part| {
                let start = *place;
                *place += part.len() + 1;
                Some((start, part))
            }) {
                if hides {
                    shown.to_mut().replace_range(at + index..at + index + part.len(), &hidden(part));
                }
                hides = !hides;
            }
        }
        at += line.len() + 1;
    }
    shown
}

/// Returns where a name in a line that promises a secret ends.
fn behind_secret_name(line: &str) -> Option<usize> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    let mut from = 0;
    while let Some(start) = line[from..].find(word).map(|at| from + at) {
        let end = line[start..].find(|character| !word(character)).map_or(line.len(), |at| start + at);
        let name = line[start..end].trim_start_matches('-');
        // A name in quotes, as in JSON or on a command line, closes its own quote first.
        let behind = line[end..].strip_prefix('"').unwrap_or(&line[end..]);
        if promises_secret(name) && behind.trim_start().starts_with(['=', ':', ',']) {
            return Some(line.len() - behind.len());
        }
        from = end;
    }
    None
}

/// Returns the text with every secret of a known shape replaced; for messages, which quote names and values.
pub fn without_shapes(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    // What was replaced has no shape any more; the bound is for texts that are nothing but secrets.
    for _ in 0..1000 {
        let Some((_, rest)) = shape(&shown) else { break };
        let start = rest.as_ptr() as usize - shown.as_ptr() as usize;
        let ends = |character: char| character == '"' || (!rest.starts_with("-----BEGIN") && character.is_whitespace());
        let length = rest.find(ends).unwrap_or(rest.len());
        let stars = hidden(&rest[..length]);
        shown.to_mut().replace_range(start..start + length, &stars);
    }
    shown
}

/// The shortest text that can contain a token; only a password in a URL is shorter.
const SHORTEST: usize = 15;

/// Returns what a secret of a known shape in the text is, and where it begins.
fn shape(text: &str) -> Option<(&'static str, &str)> {
    if text.len() < SHORTEST {
        return url_password(text);
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    for (prefix, length, what) in SHAPES {
        for (at, _) in text.match_indices(prefix) {
            // First of all, so that a text of nothing but beginnings is not read once for each.
            if at > 0 && word(text.as_bytes()[at - 1]) {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            let token = &rest[..rest.bytes().take_while(|byte| word(*byte)).count()];
            let has_digit = token.bytes().any(|byte| byte.is_ascii_digit());
            if token.len() >= *length && has_digit && entropy(token) > 2.5 {
                return Some((what, &text[at..]));
            }
        }
    }
    key_id(text).or_else(|| private_key(text)).or_else(|| web_token(text)).or_else(|| url_password(text))
}

/// An access key id of AWS: `AKIA` or `ASIA` and 16 capitals or digits.
fn key_id(text: &str) -> Option<(&'static str, &str)> {
    let starts = ["AKIA", "ASIA"].into_iter().flat_map(|prefix| text.match_indices(prefix)).map(|(at, _)| at);
    let word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    starts
        .filter(|at| *at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric())
        .map(|at| &text[at..])
        .find(|rest| rest.bytes().take_while(|byte| word(*byte)).count() == 20)
        .map(|rest| ("an AWS access key", rest))
}

fn private_key(text: &str) -> Option<(&'static str, &str)> {
    let at = text.find("-----BEGIN ")?;
    let title = text[at + 11..].split("-----").next()?;
    title.ends_with("PRIVATE KEY").then(|| ("a private key", &text[at..]))
}

/// A JSON web token: three parts of base64url, the first two of which are JSON objects.
fn web_token(text: &str) -> Option<(&'static str, &str)> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let starts = |at: usize| at == 0 || !word(text.as_bytes()[at - 1]);
    text.match_indices("eyJ").filter(|(at, _)| starts(*at)).map(|(at, _)| &text[at..]).find_map(|rest| {
        let length = rest.bytes().take_while(|byte| word(*byte) || *byte == b'.').count();
        let parts: Vec<&str> = rest[..length].split('.').collect();
        let is_token = matches!(parts.as_slice(), [head, body, signature, ..] if head.len() >= 10 && body.starts_with("eyJ") && signature.len() >= 10);
        is_token.then_some(("a web token", rest))
    })
}

/// A password in a URL: `scheme://user:password@host`.
fn url_password(text: &str) -> Option<(&'static str, &str)> {
    text.match_indices("://").find_map(|(at, _)| {
        let rest = &text[at + 3..];
        let authority = rest.split(|char: char| "/?#\"' \t\n".contains(char)).next()?;
        let (user_info, _) = authority.rsplit_once('@')?;
        let (_, password) = user_info.split_once(':')?;
        let reference = password.is_empty() || password.starts_with(['$', '%', '{', '<']);
        (!reference).then_some(("a password in a URL", password))
    })
}

/// Returns assignments inside a text: `NAME=value` as a word, and `name: value` or `name = value` as a line.
fn assignments(text: &str) -> impl Iterator<Item = (String, String)> {
    let quotes = ['"', '\'', ',', ';'];
    let words = text.split_whitespace().filter_map(|word| word.split_once('='));
    let lines = text.lines().filter_map(|line| line.split_once(['=', ':']));
    words.chain(lines).map(move |(name, value)| {
        let name = name.trim().trim_matches(quotes).trim_start_matches('-');
        (name.to_owned(), value.trim().trim_matches(quotes).to_owned())
    })
}

/// Returns whether a name promises a secret: `HF_TOKEN`, `api-key`, `dbPassword`, but not `HF_TOKEN_PATH`.
fn promises_secret(name: &str) -> bool {
    let mut parts: Vec<String> = Vec::new();
    let mut lower_before = false;
    for char in name.chars() {
        if !char.is_ascii_alphanumeric() {
            parts.push(String::new());
        } else {
            if parts.is_empty() || (lower_before && char.is_ascii_uppercase()) {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(char.to_ascii_uppercase());
            }
        }
        lower_before = char.is_ascii_lowercase();
    }
    let place = parts.last().is_some_and(|last| PLACES.contains(&last.as_str()));
    let pair = |pair: &[String]| SECRET_PAIRS.iter().any(|(one, other)| pair[0] == *one && pair[1] == *other);
    !place && (parts.iter().any(|part| SECRET_WORDS.contains(&part.as_str())) || parts.windows(2).any(pair))
}

/// Returns whether a value under such a name is the secret itself, not a path, a reference or a setting.
fn looks_secret(name: &str, value: &str) -> bool {
    let reference = value.starts_with(['/', '$', '%', '{', '<', '~', '@'])
        || value.contains("://")
        || value.contains("$CREDENTIALS");
    let setting =
        value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || value.contains(char::is_whitespace);
    if reference || setting || value.len() < 6 {
        return false;
    }
    // A password is a secret however simple it is; a token that is none of chance is a setting, such as `bearer`.
    let upper = name.to_ascii_uppercase();
    let password = ["PASSWORD", "PASSWD", "PASSPHRASE"].iter().any(|word| upper.contains(word));
    let mixed = value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic());
    password || (mixed && value.len() >= 8 && entropy(value) > 2.5) || (value.len() >= 20 && entropy(value) > 3.5)
}

/// Returns Shannon's entropy of a text in bits per byte.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = text.len().max(1) as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::masked;
    use serde_json::{Value, json};

    use super::super::testing::{findings, found, service};

    fn of(patch: Value) -> Vec<String> {
        found(json!({ "services": { "a": service(patch) } }))
    }

    /// Made up, and cut in two so that scanners of this repository stay calm.
    fn token() -> String {
        ["hf", "_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"].concat()
    }

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let token = token();
        for (patch, place) in [
            (json!({ "environment": { "ANYTHING": token } }), "services.a.environment.ANYTHING"),
            (
                json!({ "exec": { "command": ["/bin/x", "--header", format!("Bearer {token}")] } }),
                "services.a.exec.command[2]",
            ),
            (json!({ "systemd": { "Service": { "X-Note": token } } }), "services.a.systemd.Service.X-Note"),
        ] {
            let lines: Vec<String> = of(patch).into_iter().filter(|line| line.starts_with("C028")).collect();
            assert_eq!(lines, [format!("C0280 error {place}: a Hugging Face token stands in clear in {place}")]);
        }
        let lines = found(json!({ "files": { "/etc/x.conf": { "text": format!("a = 1\nb = {token}\n") } } }));
        assert!(lines[0].starts_with("C0280 error files.\"/etc/x.conf\".text"), "{lines:?}");
    }

    #[test]
    fn a_text_of_nothing_but_beginnings_is_read_once() {
        for beginning in ["hf_", "sk-", "eyJ", "AKIA"] {
            assert_eq!(masked(&beginning.repeat(1_000_000)).find('*'), None);
        }
    }

    #[test]
    fn every_shape_is_known() {
        for secret in [
            ["sk", "-proj-a1B2c3D4e5F6g7H8i9J0"].concat(),
            ["gh", "p_0123456789abcdefghijABCDEFGHIJ456789"].concat(),
            ["AKI", "AIOSFODNN7EXAMPL2"].concat(),
            ["xox", "b-1234567890-abcdef"].concat(),
            ["glp", "at-a1B2c3D4e5F6g7H8i9J0"].concat(),
            ["-----BEGIN RSA ", "PRIVATE KEY-----\nMII"].concat(),
            ["eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghij123"].concat(),
            ["redis://:hunter2", "@localhost:6379/0"].concat(),
            ["postgres://app:s3cret", "@db/app"].concat(),
        ] {
            let lines = of(json!({ "environment": { "X": secret } }));
            assert_eq!(lines.len(), 1, "{secret} {lines:?}");
            assert!(lines[0].starts_with("C0280"), "{lines:?}");
        }
    }

    #[test]
    fn what_is_under_a_secret_name_is_judged_by_its_look() {
        for (name, value, secret) in [
            ("DB_PASSWORD", "hunter2", true),
            ("OPENAI_API_KEY", "a1b2c3d4e5f6", true),
            ("SESSION_SECRET", "Zq8xK2mN4pR6", true),
            ("HF_TOKEN_PATH", "/run/credentials/a.service/hf", false),
            ("HF_TOKEN", "%d/hf", false),
            ("MAX_TOKENS", "a1b2c3d4e5f6", false),
            ("TOKENIZERS_PARALLELISM", "false", false),
            ("TOKEN_TTL", "86400000", false),
            ("AUTH_TOKEN", "bearer", false),
        ] {
            let lines = of(json!({ "environment": { name: value } }));
            assert_eq!(!lines.is_empty(), secret, "{name} {lines:?}");
        }
    }

    #[test]
    fn arguments_are_judged_by_the_option_in_front_of_them() {
        for (command, at) in
            [(json!(["/bin/x", "--api-key", "a1b2c3d4e5f6"]), 2), (json!(["/bin/x", "--api-key=a1b2c3d4e5f6"]), 1)]
        {
            assert_eq!(
                of(json!({ "exec": { "command": command } })),
                [format!("C0281 error services.a.exec.command[{at}]: the value of api-key looks like a secret")]
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_left_alone() {
        for text in [
            "sk-",
            "disk-a1B2c3D4e5F6g7H8i9J0k1",
            "http://user@host/",
            "redis://localhost:6379",
            "redis://:$PASSWORD@localhost",
            "-----BEGIN CERTIFICATE-----",
            "hf_transfer",
        ] {
            assert_eq!(of(json!({ "environment": { "X": text } })), [""; 0]);
        }
    }

    #[test]
    fn secrets_are_masked_byte_for_byte() {
        let token = token();
        let text =
            format!("a = \"{token}\", b = \"postgres://me:grüezi@host\"\nkey = \"-----BEGIN PRIVATE KEY-----\nMII\"");
        let shown = masked(&text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains(&token) && !shown.contains("grüezi") && !shown.contains("MII"), "{shown}");
        assert!(shown.starts_with("a = \"***") && shown.contains("b = \"postgres://me:***"), "{shown}");
        assert!(matches!(masked("nothing here"), Cow::Borrowed(_)));
        for (text, shown) in [
            (r#"environment.DB_PASSWORD = "hunter2" x"#, r#"environment.DB_PASSWORD = "*******" x"#),
            (r#"command = ["/bin/x", "--password=hunter2"]"#, r#"command = ["/bin/x", "--password********"]"#),
            (r#"{ "password": "hunter2" }"#, r#"{ "password": "*******" }"#),
            (r#"["/bin/x", "--api-key", "hunter2"]"#, r#"["/bin/x", "--api-key", "*******"]"#),
            (r#"environment.MODE = "fast""#, r#"environment.MODE = "fast""#),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let token = token();
        let found = findings(json!({ "services": { "a": service(json!({ "environment": { "X": token } })) } }));
        assert!(!format!("{found:?}").contains(&token[..8]));
        assert!(format!("{found:?}").contains("hf_…"));
    }
}
