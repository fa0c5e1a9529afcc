//! The tables of the README are what the crate says of itself.

#[test]
fn the_tables_are_up_to_date() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    telephony_testkit::readme::check(readme, &telephony_acme::DESCRIPTOR).unwrap();
}
