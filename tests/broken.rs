//! Broken profiles, each with everything that citadel says about it.
//!
//! The cases are the files of `tests/broken`, by subject; the profiles of `NAME.md` lie in `NAME.in`. After a change of a
//! message `TRYCMD=overwrite cargo test --test broken` writes the files anew: read what changed as the person who
//! made the mistake.

#![cfg(feature = "compiler")]

#[test]
fn broken_profiles_are_explained() {
    trycmd::TestCases::new().case("tests/broken/*.md").run();
}
