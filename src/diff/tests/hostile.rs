//! Content that is made to do harm where it is shown.

use super::bundles::{Service, add, bundle, diff, service};
use crate::bundle::Bundle;
use crate::bundle::manifest::FileKind;
use crate::diff::Diff;
use crate::diff::show::{html, json, markdown, terminal};

const NASTY: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}</code></details><script>alert(1)</script><img src=x onerror=alert(1)>\
                     ```\n````\n[x](javascript:alert(1)) @everyone | `b` {{ 7 * 7 }} {% raw %} &amp; \"'> \u{e0041}\r\n# title\n- [ ] task";

fn hostile() -> (Bundle, Bundle) {
    let line = NASTY.replace(['\r', '\n'], " ");
    let old = bundle(&[service("chat", 8000)]);
    let more = format!("Environment={line}\nReadWritePaths=/{line}\nX-{line}={line}");
    let mut new = bundle(&[Service { more, ..service("chat", 8000) }]);
    add(&mut new, "files/nasty.conf", FileKind::Raw, NASTY.as_bytes());
    add(&mut new, &format!("files/{line}"), FileKind::Raw, b"x");
    add(
        &mut new,
        "files/nasty.json",
        FileKind::Raw,
        serde_json::json!({ NASTY: NASTY, "a": [NASTY] }).to_string().as_bytes(),
    );
    add(
        &mut new,
        "files/broken.conf",
        FileKind::Raw,
        b"a line of text with one byte that is none: \xff, and more text\x1b[31m\n",
    );
    add(&mut new, "files/bytes.bin", FileKind::Raw, b"\0\xff\x1b[31m");
    add(&mut new, "files/long.conf", FileKind::Raw, "long ".repeat(1 << 20).as_bytes());
    add(&mut new, "files/many.conf", FileKind::Raw, "a\n".repeat(100_000).as_bytes());
    let profile =
        serde_json::json!({ "services": { NASTY: { "vllm": { "model": NASTY }, NASTY: [NASTY] } }, NASTY: NASTY });
    add(&mut new, "profile.json", FileKind::Profile, profile.to_string().as_bytes());
    new.manifest.profile = NASTY.to_owned();
    new.manifest.description = Some(NASTY.to_owned());
    new.manifest.phases[0].name = NASTY.to_owned();
    if let Some(unit) = new.manifest.units.get_mut("chat.service") {
        unit.phase = Some(NASTY.to_owned());
        unit.service = Some(NASTY.to_owned());
    }
    (old, new)
}

fn shown() -> (Bundle, Bundle, Diff) {
    let (old, new) = hostile();
    let mut diff = diff(&old, &new);
    diff.new.label = NASTY.to_owned();
    (old, new, diff)
}

/// What a terminal would obey, or what nobody would see.
fn is_dangerous(character: char) -> bool {
    character != '\n' && character.escape_debug().len() > 1 && !"\"'\\".contains(character)
}

#[test]
fn terminals_get_text_only() {
    let (.., diff) = shown();
    let look = terminal::Look { width: 100, colour: false, stat: false };
    let text = terminal::render(std::slice::from_ref(&diff), look);
    assert!(!text.chars().any(is_dangerous));
    assert!(text.contains("\\u{1b}]0;owned\\u{7}") && text.contains("one byte that is none: \\xff"), "{text}");
    assert!(text.len() < 400_000, "{}", text.len());
    let coloured = terminal::render(&[diff], terminal::Look { colour: true, ..look });
    let mut parts = coloured.split('\u{1b}').skip(1);
    let own = |part: &str| {
        ["[0m", "[1m", "[2m", "[31m", "[32m", "[33m", "[31;7m", "[32;7m"].iter().any(|it| part.starts_with(it))
    };
    assert!(parts.all(own), "a sequence that is not citadel's own");
}

#[test]
fn comments_have_no_foreign_markup() {
    let (.., diff) = shown();
    let text = markdown::render(&[diff], &markdown::Options::default());
    assert!(text.len() <= markdown::GITHUB_LIMIT, "{}", text.len());
    assert!(!text.chars().any(is_dangerous));
    let outside = outside_of_code(&text);
    for wrong in ["<script", "<img", "javascript:", "@everyone", "# title", "task", "{{"] {
        assert!(!outside.contains(wrong), "{wrong} stands outside of code:\n{outside}");
    }
    let (opened, closed) = (outside.matches("<details").count(), outside.matches("</details>").count());
    assert_eq!(opened, closed);
}

/// Returns Markdown without what stands in fences, spans, and HTML elements for code.
fn outside_of_code(text: &str) -> String {
    let mut out = String::new();
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|it| *it == '`').collect();
        match &fence {
            Some(open) if ticks.len() >= open.len() && line.trim_matches('`').is_empty() => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && !line[ticks.len()..].contains('`') => fence = Some(ticks),
            None => {
                out.push_str(&without_spans(line));
                out.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "a fence is not closed");
    out
}

fn without_spans(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['`', '<']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(code) = rest.strip_prefix("<code>") {
            let end = code.find("</code>").expect("code is closed");
            assert!(!code[..end].contains(['<', '>']), "markup in code: {}", &code[..end]);
            rest = &code[end + 7..];
        } else if rest.starts_with('`') {
            let ticks = rest.chars().take_while(|it| *it == '`').count();
            let inside = &rest[ticks..];
            let mut from = 0;
            // The next run of exactly as many.
            rest = loop {
                let Some(at) = inside[from..].find('`').map(|at| at + from) else { break "" };
                let run = inside[at..].chars().take_while(|it| *it == '`').count();
                if run == ticks {
                    break &inside[at + run..];
                }
                from = at + run;
            };
        } else {
            out.push('<');
            rest = &rest[1..];
        }
    }
    out + rest
}

#[test]
fn pages_have_no_foreign_elements() {
    let (old, new, diff) = shown();
    let graph = html::graph(&diff, Some(&old), Some(&new));
    let page = html::render(&[diff], &[graph], NASTY).unwrap();
    assert!(!page.chars().any(is_dangerous));
    for wrong in
        ["<script", "<img", "<a href=\"j", "http://", "https://", "url(http", "@import", "<link", "<iframe", "{{", "49"]
    {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        let own = page.matches(wrong).count();
        let harmless = ["{{", "49"].contains(&wrong);
        assert!(harmless || own == 0, "{wrong} is in the page");
    }
    assert!(page.contains("{{ 7 * 7 }}") && page.contains("&lt;script&gt;"));
}

#[test]
fn json_says_it_all() {
    let (.., diff) = shown();
    let text = json::render(&[diff], false);
    assert!(!text.chars().any(is_dangerous));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["diffs"][0]["new"]["label"], NASTY);
}
