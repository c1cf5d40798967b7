//! Every command in the documentation does what the documentation says.

#[test]
fn documentation() {
    trycmd::TestCases::new().case("README.md").case("docs/*.md").case("docs/reference/*.md");
}
