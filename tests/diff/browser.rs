//! The page in a real browser: that it fits, in the reader's colours, and that nothing in it is broken.
//!
//! `CITADEL_SCREENSHOTS=DIR` keeps pictures of it, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::repository::Repository;
use super::skip::skipped;

/// Shows the page in a frame of this width, and says in the title what came of it. The page itself allows no scripts, so
/// the frame's copy is one without that policy.
const MEASURE: &str = r#"<!doctype html><meta charset="utf-8"><title>not yet</title>
<style>body{margin:0}iframe{border:0;width:WIDTHpx;height:4000px;display:block}</style><iframe id="page"></iframe>
<script>
const frame = document.getElementById("page");
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = [...page.querySelectorAll("body *")].filter(it => !it.closest(".graph") && !it.closest(".lines"));
  const wide = all.filter(it => it.getBoundingClientRect().right > WIDTH + 1 && !it.closest("thead"));
  const svg = page.querySelector(".graph svg");
  const boxes = [...svg.querySelectorAll(".unit rect")].map(it => it.getBoundingClientRect());
  const overlap = boxes.some((one, at) => boxes.slice(at + 1).some(two =>
    one.left < two.right - 1 && two.left < one.right - 1 && one.top < two.bottom - 1 && two.top < one.bottom - 1));
  const spills = [...svg.querySelectorAll(".unit")].filter(unit => {
    const box = unit.querySelector("rect").getBoundingClientRect();
    return [...unit.querySelectorAll("text")].some(it => it.getBoundingClientRect().width > box.width);
  });
  document.title = "measured " + JSON.stringify({
    scroll: page.documentElement.scrollWidth, wide: wide.slice(0, 3).map(it => it.outerHTML.slice(0, 200)),
    paper: view.getComputedStyle(page.body).backgroundColor, ink: view.getComputedStyle(page.body).color,
    drawn: boxes.length, changed: svg.querySelectorAll(".unit.changed, .unit.added, .unit.removed").length,
    overlap, spills: spills.length, headings: page.querySelectorAll("h2, h3").length,
  });
};
frame.srcdoc = PAGE;
</script>"#;

fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

fn chromium(name: &str, folder: &Path, arguments: &[&str], page: &Path) -> String {
    let output = Command::new(name)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn page(repository: &Repository) -> PathBuf {
    repository.diff(&["--git", "main..change", "--format", "html", "--exposure", "--output", "diff.html"]);
    repository.path().join("diff.html")
}

#[test]
fn the_page_fits_every_screen_in_both_themes() {
    let Some(browser) = browser() else { return skipped("chromium is missing") };
    let repository = Repository::new().with_pull_request();
    let text = fs::read_to_string(page(&repository)).unwrap();
    let policy = text.lines().find(|line| line.contains("Content-Security-Policy")).expect("the page has a policy");
    let open = text.replace(policy, "");
    let mut themes = Vec::new();
    for (theme, setting) in
        [("light", "--blink-settings=preferredColorScheme=1"), ("dark", "--blink-settings=preferredColorScheme=0")]
    {
        for width in [320, 390, 800, 1600] {
            let quoted = serde_json::to_string(&open).unwrap().replace("</script", "<\\/script");
            let harness = repository.path().join("harness.html");
            fs::write(&harness, MEASURE.replace("WIDTH", &width.to_string()).replace("PAGE", &quoted)).unwrap();
            let size = "--window-size=1700,1200";
            let dumped = chromium(
                browser,
                repository.path(),
                &["--dump-dom", "--virtual-time-budget=10000", size, setting],
                &harness,
            );
            let title =
                dumped.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or_default();
            let measured = title.strip_prefix("measured ").unwrap_or_else(|| panic!("nothing was measured: {title:?}"));
            let measured: Value =
                serde_json::from_str(&measured.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
                    .unwrap();
            assert!(measured["scroll"].as_u64().unwrap() <= width, "{theme} {width}: {measured:#}");
            assert_eq!(measured["wide"], serde_json::json!([]), "{theme} {width}");
            assert_eq!(measured["overlap"], false, "{theme} {width}: boxes of units overlap");
            assert_eq!(measured["spills"], 0, "{theme} {width}: text is wider than its box");
            assert!(measured["drawn"].as_u64() >= Some(5) && measured["changed"].as_u64() >= Some(4), "{measured:#}");
            themes.push((theme, measured["paper"].to_string(), measured["ink"].to_string()));
        }
    }
    themes.dedup();
    assert_eq!(themes.len(), 2, "{themes:?}");
    assert!(
        themes[0].1 == themes[1].1.replace("13, 17, 23", "255, 255, 255") && themes[0].2 != themes[1].2,
        "{themes:?}"
    );
}

#[test]
fn nothing_is_loaded_and_nothing_complains() {
    let Some(browser) = browser() else { return skipped("chromium is missing") };
    let repository = Repository::new().with_pull_request();
    let page = page(&repository);
    let log = repository.path().join("log.json");
    let log_argument = format!("--log-net-log={}", log.display());
    let picture = |name: &str| match std::env::var_os("CITADEL_SCREENSHOTS") {
        Some(folder) => PathBuf::from(folder).join(name),
        None => repository.path().join(name),
    };
    for (name, size, setting) in [
        ("wide-light.png", "1600,3000", "--blink-settings=preferredColorScheme=1"),
        ("wide-dark.png", "1600,3000", "--blink-settings=preferredColorScheme=0"),
        ("narrow-light.png", "500,4000", "--blink-settings=preferredColorScheme=1"),
        ("narrow-dark.png", "500,4000", "--blink-settings=preferredColorScheme=0"),
    ] {
        let picture = picture(name);
        let (size, shot) = (format!("--window-size={size}"), format!("--screenshot={}", picture.display()));
        chromium(browser, repository.path(), &[&size, &shot, setting, &log_argument], &page);
        assert!(fs::metadata(&picture).is_ok_and(|it| it.len() > 10_000), "there is no picture {name}");
    }
    // The browser itself asks its maker for things; the page asks nobody.
    let asked = fs::read_to_string(&log).unwrap_or_default();
    assert!(!asked.contains("\"initiator\":\"file://"), "the page loads something");
}
