//! The examples in `docs/checks/`: the first of a page causes its finding and no other, the second causes none.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use citadel::compile::compile;
use citadel::compile::evaluate::Limits;
use citadel::compile::project::ProfilePath;

/// Returns what is found in an example, as codes with messages.
fn findings(folder: &Path, example: &str) -> Vec<String> {
    let profile = folder.join("profile.ncl");
    let text = format!(
        "let citadel = import \"citadel/lib.ncl\" in\n((import \"machine.ncl\") & {{\n{example}\n}}) | citadel.Profile\n"
    );
    fs::write(&profile, text).unwrap();
    let profile = ProfilePath::find(profile.to_str().unwrap(), folder).map_err(|error| error.message).unwrap();
    let diagnostics = match compile(&profile, Limits::default(), folder) {
        Ok(compiled) => compiled.warnings,
        Err(failure) => failure.diagnostics,
    };
    diagnostics.iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
}

/// Returns the blocks of Nickel in a page.
fn examples(page: &str) -> Vec<&str> {
    page.split("```nickel\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_of_every_check_do_what_their_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root.join("tests/fixtures/check_page.ncl"), folder.path().join("machine.ncl")).unwrap();
    let mut pages: Vec<_> = fs::read_dir(root.join("docs/checks")).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    for page in pages.iter().filter(|page| !page.ends_with("README.md")) {
        let code = page.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(page).unwrap();
        let examples = examples(&text);
        if let Some(wrong) = examples.first() {
            let found = findings(folder.path(), wrong);
            assert!(matches!(found.as_slice(), [only] if only.starts_with(code)), "{code}, first example: {found:#?}");
        }
        if let Some(right) = examples.get(1) {
            assert_eq!(findings(folder.path(), right), [""; 0], "{code}, second example");
        }
    }
}
