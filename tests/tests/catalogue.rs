//! Each behaviour that Ceph tests is covered by a test of ours, or has a reason not to be.

use std::path::Path;

use system_tests::catalogue::Catalogue;

#[test]
fn every_row_of_the_catalogue_names_a_test_or_a_reason() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(package.join("catalogue.toml")).unwrap();
    let root = package.parent().unwrap();
    let problems = Catalogue::parse(&text).unwrap().problems(root);
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
